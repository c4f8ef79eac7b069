/* Terms: a term belongs to the process that has a generator's name. Each process brings a random
 * nonce. A nonce that is new under the name is granted the next term, durably, and supersedes the
 * process before it. A superseded nonce stays refused, after a restart too.
 *
 *     TRY(store_join(store, "gpu-3", nonce, clock_ms(), &join));      -- at a hello
 *     if (join.how == JOIN_SUPERSEDED) ...                            -- refuse: join.term is the newest
 *
 * One counter serves all names. Only the learner counts it up, by one, so no client can exhaust it.
 * The last TERMS_MAX names are known, and the last TERMS_PAST superseded nonces of each. A
 * superseded process comes again with a new nonce, so no process uses a forgotten one. Owner: the
 * storage thread. */
#pragma once
#include "learner/store/store.h"

enum { TERMS_MAX = 4096, TERMS_PAST = 32 };

enum join_how {
    JOIN_AGAIN,      // the process that has the name
    JOIN_NEW,        // a process that has it from now on
    JOIN_SUPERSEDED, // another process came after this one
    JOIN_FULL        // TERMS_MAX names hold leases
};
struct join {
    enum join_how how;
    uint64_t term; // granted, or that of the newest process; 0: FULL
};

/* INVALID: a name of 0 or more than 255 bytes, a nonce of 0. */
err_t store_join(struct store *store, const char *generator, uint64_t nonce, int64_t now_ms,
                 struct join *ret);

/* Inside the store. */
struct term {
    char *name;
    uint64_t nonce, term, heard;
    uint64_t past[TERMS_PAST]; // superseded nonces, the newest first
    uint32_t pasts;
};
struct terms {
    struct term *at; // (count): the place is the record's key
    size_t count;
    uint64_t last, heards;
};
struct db;
err_t terms_load(struct db *db, struct terms *ret); // DATA_LOSS: damaged
void terms_done(struct terms *terms);
