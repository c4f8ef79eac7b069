#include "weights/stream/intake.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "weights/stream/subscriber_inside.h"
#include <stdlib.h>

struct intake {
    struct subscriber *subscriber;
    struct subscriber_handlers handlers;
    void *user;
    struct attend *attend;
    /* From buffer to received or ended. */
    bool lent;
    uint8_t *packed; // changes, each after its length; NULL: all values, in place
    uint64_t bytes, used;
    uint64_t chunk;
    bool hello_due;
};

/* ---- what has come becomes chunks */

static err_t give_values(struct intake *intake, const struct manifest *coming, uint64_t have)
{
    while (intake->chunk < coming->chunks) {
        const uint64_t first = intake->chunk * WEIGHTS_CHUNK, left = coming->elements - first;
        const uint64_t count = left < WEIGHTS_CHUNK ? left : WEIGHTS_CHUNK;
        if ((first + count) * sizeof(uint16_t) > have)
            break;
        const struct weights_event event = {
            .kind = WEIGHTS_CHUNK_OF_FULL, .first = first, .count = count};
        intake->chunk++;
        TRY(subscriber_chunk(intake->subscriber, NULL, &event));
    }
    return OK;
}

static void keep(void *arg)
{
    (void)arg;
}

static err_t give_changes(struct intake *intake, const struct manifest *coming, uint64_t have)
{
    while (intake->chunk < coming->chunks) {
        struct reader in = {intake->packed + intake->used, have - intake->used};
        uint32_t len;
        if (!read_be32(&in, &len) || in.left < len)
            break;
        SCOPED(rpc_message) message = rpc_message_borrow(in.data, len, keep, NULL);
        const struct weights_event event = {
            .kind = WEIGHTS_CHUNK_OF_DELTA, .first = intake->chunk, .count = len};
        intake->used += sizeof len + len;
        intake->chunk++;
        TRY(subscriber_chunk(intake->subscriber, message, &event));
    }
    return OK;
}

/* Those that are whole among the first `have` bytes. */
static err_t give(struct intake *intake, uint64_t have)
{
    const struct manifest *coming = subscriber_coming(intake->subscriber);
    if (!coming)
        return OK; // its stream broke meanwhile
    return intake->packed ? give_changes(intake, coming, have) : give_values(intake, coming, have);
}

/* NCCL is through with the buffer. */
static void let_go(struct intake *intake)
{
    intake->lent = false;
    free(STEAL(intake->packed));
    if (!intake->hello_due)
        return;
    intake->hello_due = false;
    subscriber_hello(intake->subscriber);
}

/* ---- what attend asks */

static void on_send(struct rpc_message *message, void *user)
{
    const struct intake *intake = user;
    subscriber_send(intake->subscriber, message);
}

static uint8_t *on_buffer(const struct epoch_message *announce, void *user)
{
    struct intake *intake = user;
    const struct manifest *coming = subscriber_coming(intake->subscriber);
    if (!coming || coming->first_chunk || coming->lineage != announce->lineage ||
        coming->version != announce->version)
        return NULL;
    const uint64_t whole = coming->elements * sizeof(uint16_t);
    uint8_t *to;
    if (coming->kind == WEIGHTS_FULL)
        to = announce->bytes == whole ? (uint8_t *)subscriber_incoming(intake->subscriber) : NULL;
    else
        to = intake->packed = announce->bytes <= whole ? malloc(announce->bytes) : NULL;
    intake->lent = to != NULL;
    intake->bytes = announce->bytes;
    intake->used = intake->chunk = 0;
    return to;
}

/* The last chunk waits: it ends the version, and NCCL still has the buffer. */
static void on_arrived(uint64_t have, void *user)
{
    struct intake *intake = user;
    if (have == intake->bytes)
        return;
    err_t e = give(intake, have);
    if (err_failed(e))
        subscriber_break(intake->subscriber, e);
}

/* What came whole and wrong is sent again; changes that are wrong have poisoned everything. */
static bool on_received(const struct epoch_message *announce, void *user)
{
    struct intake *intake = user;
    const bool whole = !intake->packed;
    (void)announce;
    err_t e = give(intake, intake->bytes);
    if (!err_failed(e) && subscriber_coming(intake->subscriber))
        e = err_new(ERR_INVALID, "weights: a broadcast of fewer chunks than the manifest says");
    if (err_code(e) == ERR_DATA_LOSS && whole) {
        err_free(e);
        subscriber_again(intake->subscriber);
        let_go(intake);
        return false;
    }
    const bool right = !err_failed(e);
    if (!right)
        subscriber_break(intake->subscriber, e);
    let_go(intake);
    return right;
}

static void on_ended(uint64_t have, void *user)
{
    struct intake *intake = user;
    err_t e = give(intake, have);
    if (err_failed(e))
        subscriber_break(intake->subscriber, e);
    let_go(intake);
}

static void on_note(const char *text, void *user)
{
    const struct intake *intake = user;
    if (intake->handlers.note)
        intake->handlers.note(intake->subscriber, text, intake->user);
}

static void on_entered(enum member_state state, void *user)
{
    const struct intake *intake = user;
    if (state == MEMBER_BROKEN && intake->lent && intake->handlers.stuck)
        intake->handlers.stuck(intake->subscriber, intake->user);
}

/* ---- what the subscriber asks */

err_t intake_new(const struct attend_options *options, const struct subscriber_handlers *handlers,
                 struct subscriber *subscriber, void *user, struct intake **ret)
{
    struct intake *intake = mem_new(sizeof *intake);
    struct attend_options attend = *options;
    *intake = (struct intake){.subscriber = subscriber, .handlers = *handlers, .user = user};
    attend.send = on_send;
    attend.buffer = on_buffer;
    attend.arrived = on_arrived;
    attend.received = on_received;
    attend.ended = on_ended;
    attend.note = on_note;
    attend.entered = on_entered;
    attend.user = intake;
    err_t e = attend_new(&attend, &intake->attend);
    if (err_failed(e)) {
        free(intake);
        return e;
    }
    *ret = intake;
    return OK;
}

void intake_up(struct intake *intake)
{
    if (intake)
        attend_up(intake->attend);
}

void intake_lost(struct intake *intake)
{
    if (!intake)
        return;
    intake->hello_due = false;
    attend_lost(intake->attend);
}

err_t intake_hear(struct intake *intake, struct rpc_message *message, bool *ret_is_epoch)
{
    struct epoch_message epoch;
    if (!intake || rpc_message_len(message) > EPOCH_MESSAGE_MAX) // chunks stay in their pieces
        return OK;
    err_t e =
        epoch_message_decode_down(rpc_message_data(message), rpc_message_len(message), &epoch);
    *ret_is_epoch = err_code(e) != ERR_NOT_FOUND;
    if (!*ret_is_epoch) {
        err_free(e);
        return OK;
    }
    TRY(e);
    attend_hear(intake->attend, &epoch);
    return OK;
}

bool intake_is_lent(const struct intake *intake)
{
    return intake && intake->lent;
}

bool intake_owes_hello(struct intake *intake)
{
    if (!intake_is_lent(intake))
        return false;
    intake->hello_due = true;
    return true;
}

uint64_t intake_received(const struct intake *intake)
{
    return intake ? attend_stats(intake->attend).received : 0;
}

void intake_free(struct intake *intake)
{
    if (!intake)
        return;
    if (attend_free(intake->attend)) // else nccl_is_stuck, and what is written to stays
        free(intake->packed);
    free(intake);
}
