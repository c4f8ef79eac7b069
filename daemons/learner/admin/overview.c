/* The learner's status beside metrics: groups by their lag, why it waits. */
#include "base/mem.h"
#include "learner/admin/services.h"
#include "learner/lease/leasing.h"
#include "learner/replay/storage.h"
#include "learner/round/draw.h"
#include "learner/steer/live.h"
#include "learner/store/leases.h"
#include "learner/store/rounds.h"
#include "learner/train/train.h"
#include "model/numerics.h"
#include "svc/loop.h"
#include <stdio.h>
#include <stdlib.h>

enum { TEXTS = 4 };

struct overview {
    struct desk *desk;
    struct rpc_admin_asking *asking;
    struct admin_details details;
    struct admin_text text[TEXTS];
    char etag[64], waits_for[128];
    char *forward; // owned
};

/* ---- storage thread */

static struct admin_lag *lag_at(struct overview *overview, uint64_t lag)
{
    struct admin_details *details = &overview->details;
    for (size_t i = 0; i < details->lags; i++)
        if (details->lag[i].lag == lag)
            return &details->lag[i];
    details->lag = mem_grow(details->lag, details->lags + 1, sizeof *details->lag);
    details->lag[details->lags] = (struct admin_lag){.lag = lag};
    return &details->lag[details->lags++];
}

static int by_lag(const void *a, const void *b)
{
    const struct admin_lag *x = a, *y = b;
    return (x->lag > y->lag) - (x->lag < y->lag);
}

static void count_lags(struct overview *overview, const struct store *store)
{
    size_t ages, lags;
    const struct lag_age *age = store_ages(store, &ages);
    const uint64_t *trained = draw_trained(train_draw(overview->desk->train), &lags);
    for (size_t i = 0; i < lags; i++)
        lag_at(overview, i)->trained = trained[i];
    for (size_t i = 0; i < ages; i++) {
        struct admin_lag *at = lag_at(overview, lag_of(store_next_round(store), age[i].round));
        at->stored += age[i].stored;
        at->leased += age[i].leased;
    }
    if (overview->details.lags)
        qsort(overview->details.lag, overview->details.lags, sizeof *overview->details.lag, by_lag);
}

/* Why there are no groups, where that is known here. */
static const char *why_no_groups(const struct desk *desk, const struct store *store)
{
    struct store_counts counts;
    store_counts(store, &counts);
    if (live_generation_paused(desk->live))
        return live_decoding_held(desk->live) ? ": decoding is held" : ": generation is paused";
    if (counts.disk_low)
        return ": the disk is low, nothing is leased";
    if (!leasing_totals(desk->leasing).generators)
        return ": no generator is connected";
    return counts.leased ? "" : ": nothing is leased";
}

static void say(struct overview *overview, const char *name, const char *value)
{
    overview->text[overview->details.texts++] = (struct admin_text){name, value};
}

static void fill_texts(struct overview *overview, const struct store *store)
{
    const struct desk *desk = overview->desk;
    overview->forward = model_forward_id(train_model(desk->train));
    enum idle idle = draw_waits_for(train_draw(desk->train));
    bool generation = live_generation_paused(desk->live),
         training = live_training_paused(desk->live);
    snprintf(overview->waits_for, sizeof overview->waits_for, "%s%s", idle_name(idle),
             idle == IDLE_NO_GROUPS ? why_no_groups(desk, store) : "");
    snprintf(overview->etag, sizeof overview->etag, "%s", live_etag(desk->live));
    if (idle != IDLE_NONE)
        say(overview, "waits_for", overview->waits_for);
    if (live_decoding_held(desk->live))
        say(overview, "paused",
            training ? "generation (decoding is held), training" : "generation (decoding is held)");
    else if (generation || training)
        say(overview, "paused",
            generation && training ? "generation, training"
            : generation           ? "generation"
                                   : "training");
    say(overview, "settings_etag", overview->etag);
    say(overview, "numerics_forward", overview->forward);
}

static void answer(void *arg);

static err_t gather(void *arg, struct store *store)
{
    struct overview *overview = arg;
    count_lags(overview, store);
    fill_texts(overview, store);
    loop_post(overview->desk->loop, answer, overview);
    return OK;
}

/* ---- loop thread */

static void answer(void *arg)
{
    struct overview *overview = arg;
    overview->details.text = overview->text;
    rpc_admin_answer(overview->asking, &overview->details);
    mem_free(overview->details.lag);
    mem_free(overview->forward);
    mem_free(overview);
}

void overview_collect(struct desk *desk, struct rpc_admin_asking *asking)
{
    struct overview *overview = mem_new(sizeof *overview);
    overview->desk = desk;
    overview->asking = asking;
    storage_post(desk->storage, gather, overview);
}
