/* Changes by operators and controllers: a list that only grows, and the standing changes, which are
 * in force now. One write has both, with the rules that follow from them.
 *
 *     struct change change = {.id = standing.changes + 1, .kind = "settings", .value = value, .values = 1, ...};
 *     standing.changes++;
 *     TRY(store_change(store, &change, &standing, &rules, clock_ms()));        -- durable
 *     TRY(store_changes(store, 0, false, 100, &page));                         -- the first 100
 *
 * Owner: the storage thread; errors of writes as in store.h. */
#pragma once
#include "base/hash.h"
#include "learner/store/store.h"

enum {
    CHANGE_NAME_MAX = 128, // bytes of a kind, an author, a request id
    CHANGE_REASON_MAX = 1000,
    CHANGE_VALUE_MAX = 4096,
    CHANGE_VALUES_MAX = 256,
    CHANGE_PAGE_MAX = 1000
};

struct change_value {
    char *key, *before, *after;
};

struct change {
    uint64_t id;           // 1, 2, ...
    int64_t time_ms;       // since 1970
    uint64_t first_round;  // in which it counts
    struct digest request; // live_request_digest: the same request_id must have the same
    char *kind, *author, *reason, *request_id; // never NULL
    size_t values;
    struct change_value *value; // (values)
};
void change_done(struct change *change);

struct change_page {
    struct change *at; // (count)
    size_t count;
};
void change_page_done(struct change_page *page);

/* A live setting that differs from the recipe. */
struct override {
    char *key, *value;
};
struct standing {
    uint64_t changes; // so far
    bool generation_paused, training_paused;
    bool decoding_held; // generation is paused, and leased slots are not decoded either
    size_t overrides;
    struct override *override; // (overrides)
};
void standing_done(struct standing *standing);

/* Writes both and puts the rules in force (NULL: those that are). INVALID: over a limit above, or
 * rules. */
err_t store_change(struct store *store, const struct change *change,
                   const struct standing *standing, const struct store_rules *rules,
                   int64_t now_ms);

/* Into the write that follows (inner.h): for calls of the store that change something for an
 * operator. */
err_t change_put(struct store *store, const struct change *change, const struct standing *standing);

/* Changes after `after`, the oldest first; or before it, the newest first (0: all). At most `most`.
 * A store opened to read, too. */
err_t store_changes(struct store *store, uint64_t after, bool newest_first, size_t most,
                    struct change_page *ret);
err_t store_standing(struct store *store, struct standing *ret);

void change_encode(const struct change *change, struct bytes *ret);
void standing_encode(const struct standing *standing, struct bytes *ret);
/* DATA_LOSS: damaged. */
err_t change_decode(uint64_t id, const uint8_t *data, size_t len, struct change *ret);
err_t standing_decode(const uint8_t *data, size_t len, struct standing *ret);
