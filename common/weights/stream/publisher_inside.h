/* What the files of a publisher share: publisher.c (streams), publisher_nccl.c (epochs),
 * publisher_relay.c (who is served by others). For them alone. */
#pragma once
#include "weights/stream/publisher.h"

struct history;

/* One stream. Without a name until its first message. */
struct peer {
    struct publisher *publisher;
    struct peer *next;
    uint64_t id;           // never used again
    struct rpc_call *call; // borrowed: the peer ends in its close handler
    bool dismissed;        // finished; its close handler comes
    bool compressed;       // deltas
    char *generator;
    char *serves;           // address; NULL: no others
    double suspect_until_s; // it has failed one that was sent on to it
    uint64_t incarnation;
    bool holds; // applied
    uint32_t lineage;
    uint64_t version;
    bool has; // there complete, or sent to its end over this stream
    uint32_t has_lineage;
    uint64_t has_version;
    bool has_partial; // what an earlier stream left; for the first that is sent
    struct manifest partial;
    uint64_t partial_chunks;
    /* Of what it has, as its hello said; or, as it has nothing, of what it loaded from elsewhere */
    bool has_digest;
    struct digest digest;
    struct snapshot *sending; // NULL: none
    size_t next_message;      // of it
    uint64_t first_chunk;     // those before it are there
    double progress_s;        // when a message was last queued
    uint64_t waiting; // for its turn to be sent all values, since so many asked; 0: it is not
};

struct publisher {
    struct publisher_options options;
    struct digest layout;
    char *run;
    struct snapshot *newest;
    /* relays: its versions above the newest, up to lost_up_to, exist no more; 0: none are lost */
    uint32_t lost_lineage;
    uint64_t lost_up_to;
    struct history *history;
    struct broadcast *broadcast; // NULL: all goes over gRPC
    double published_s;
    bool settled;
    struct peer *peers;
    uint64_t ids; // of peers
    uint64_t placings;
    uint64_t turns; // given to those who wait
    struct publisher_stats stats;
};

bool publisher_has_newest(const struct publisher *publisher, bool any, uint32_t lineage,
                          uint64_t version);

/* Sends on, up to the queue's limit: what is under way, then what it has not. And those who wait
 * for their turn. */
void publisher_pump(struct peer *peer);
void publisher_pump_waiting(struct publisher *publisher);
void publisher_end(struct peer *peer); // what was being sent is all sent

/* Takes why; what is queued for it still goes out first */
void publisher_dismiss(struct peer *peer, err_t why);

/* Its hello has come: true if it was sent on to another. */
bool publisher_place(struct peer *peer, const struct subscription *hello);

/* Without effect, or false, where there is no NCCL. */
err_t publisher_open_broadcast(struct publisher *publisher); // options.nccl
void publisher_close_broadcast(struct publisher *publisher);
void publisher_offer(struct publisher *publisher); // the newest version, to an epoch's members
err_t publisher_hear_epoch(struct peer *peer, struct rpc_message *message, bool *ret_is_epoch);
void publisher_leave_epoch(struct peer *peer);

/* A version is on its way to it beside this stream: nothing is to be sent before that is over. */
bool publisher_is_carried(const struct peer *peer);
