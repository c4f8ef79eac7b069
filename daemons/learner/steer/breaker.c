#include "learner/steer/breaker.h"
#include "base/mem.h"
#include "svc/held.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WHO = 64, WHY = 200 };

struct said {
    char who[WHO], why[WHY];
};

struct breaker {
    struct breaker_options options;
    struct said said[REASONS]; // last, by the slot's reason
    bool paused;               // generation was, when it was looked at last
};

struct breaker *breaker_new(const struct breaker_options *options)
{
    struct breaker *breaker = mem_new(sizeof *breaker);
    breaker->options = *options;
    return breaker;
}

void breaker_told(struct breaker *breaker, enum reason reason, const char *who, const char *why)
{
    if (!breaker)
        return;
    struct said *said = &breaker->said[reason];
    snprintf(said->who, sizeof said->who, "%s", who);
    snprintf(said->why, sizeof said->why, "%s", why);
}

void breaker_rejected(void *breaker, enum reason reason, const char *who, const char *why)
{
    breaker_told(breaker, reason, who, why);
}

struct hold breaker_sample(const struct breaker *breaker, const struct store_unusable *last)
{
    const struct said *said = &breaker->said[last->reason];
    const struct mixture *data = breaker->options.data;
    SCOPED_MEM char *row = mixture_name(data, last->slot / mixture_rows(data), last->prompt);
    if (!*said->why)
        return hold_make(HOLD_UNUSABLE, "slot %" PRIu64 " (%s), %s: its leases expired", last->slot,
                         row, reason_name(last->reason));
    return hold_make(HOLD_UNUSABLE, "slot %" PRIu64 " (%s), %s by %s: %s", last->slot, row,
                     reason_name(last->reason), said->who, said->why);
}

err_t breaker_none(const struct breaker *breaker, const struct store *store)
{
    struct store_counts counts;
    struct store_unusable last = store_unusable(store);
    const struct recipe *recipe = live_recipe(breaker->options.live);
    store_counts(store, &counts);
    if (counts.gone[REASON_ENDED])
        return err_new(ERR_PRECONDITION,
                       "the run has ended without a round: %" PRIu64 " usable groups of %" PRIu64
                       " slots; a round takes %" PRId64
                       " (learner.groups), or fewer with learner.last_batch: short",
                       counts.gone[REASON_ENDED], counts.next_slot, recipe->learner.groups);
    if (!last.slots)
        return err_new(ERR_PRECONDITION,
                       "the run has ended without a round: none of its %" PRIu64
                       " slots left a usable group",
                       counts.next_slot);
    return err_new(ERR_PRECONDITION,
                   "the run has ended without a round: none of its %" PRIu64
                   " slots left a usable group; the last: %s",
                   counts.next_slot, breaker_sample(breaker, &last).text);
}

/* Groups were scored, and none was worth training. */
static struct hold filtered_hold(const struct store_unusable *last)
{
    return hold_make(HOLD_UNUSABLE,
                     "%" PRIu64 " groups in a row were filtered (learner.filter.patience): their "
                     "rewards were all the same, or they were cut off",
                     last->filtered);
}

static err_t open_breaker(struct breaker *breaker, struct store *store, bool filtered)
{
    struct store_unusable last = store_unusable(store);
    struct hold sample = breaker_sample(breaker, &last);
    struct hold reason = hold_make(HOLD_UNUSABLE,
                                   "%" PRIu64 " slots in a row left without a usable group "
                                   "(learner.unusable_slots); the last: %s",
                                   last.slots, sample.text);
    if (filtered)
        reason = filtered_hold(&last);
    struct live_assignment at[] = {{"generation", "true"}};
    struct live_request request = {
        .at = at, .count = 1, .kind = BREAKER_KIND, .author = "learner", .reason = reason.text};
    struct live_result result;
    return live_pause(breaker->options.live, store, &request, true, false, true, &result);
}

static err_t look(void *arg, struct store *store)
{
    struct breaker *breaker = arg;
    const struct live *live = breaker->options.live;
    const struct recipe_learner *learner = &live_recipe(live)->learner;
    const uint64_t most = (uint64_t)learner->unusable_slots;
    const uint64_t patience = (uint64_t)learner->filter.patience;
    if (!store_unusable(store).slots)
        memset(breaker->said, 0, sizeof breaker->said); // of slots that were leased again and used
    if (breaker->paused && !live_generation_paused(live))
        store_unusable_forget(store); // what was done about it is given the whole number again
    if (most && !live_generation_paused(live) && store_unusable(store).slots >= most)
        TRY(open_breaker(breaker, store, false));
    if (patience && !live_generation_paused(live) && store_unusable(store).filtered >= patience)
        TRY(open_breaker(breaker, store, true));
    breaker->paused = live_generation_paused(live);
    return OK;
}

void breaker_start(struct breaker *breaker)
{
    breaker->paused = live_generation_paused(breaker->options.live);
    storage_on_change(breaker->options.storage, look, NULL, breaker);
}

void breaker_free(struct breaker *breaker)
{
    mem_free(breaker);
}
