#include "learner/admin/holding.h"
#include "base/clock.h"
#include "base/mem.h"
#include "learner/replay/store_figures.h"
#include "learner/steer/breaker.h"
#include "svc/loop.h"
#include <stdio.h>
#include <string.h>

enum { TICK_MS = 500 };

struct holding {
    struct holding_options options;
    char *store;       // its directory
    struct face *face; // NULL: stopped
    struct loop_timer *timer;
    bool asking; // a job is under way
    double asked_s, leased_s;
    struct hold_facts facts; // of the last answer
    bool known;              // there was one
};

/* A job's result on its way to the loop. */
struct gathered {
    struct holding *holding;
    struct hold_facts facts;
};

/* ---- storage thread */

static void gather_pause(struct hold_facts *facts, const struct live *live)
{
    const struct pauser *pauser = live_pauser(live);
    facts->generation_paused = live_generation_paused(live);
    facts->training_paused = live_training_paused(live);
    if (!(facts->generation_paused || facts->training_paused) || !pauser->kind)
        return;
    facts->by_breaker = facts->generation_paused && strcmp(pauser->kind, BREAKER_KIND) == 0;
    snprintf(facts->paused_by, sizeof facts->paused_by, "%s", pauser->author);
    snprintf(facts->paused_why, sizeof facts->paused_why, "%s", pauser->reason);
}

static void gather_store(struct hold_facts *facts, struct store *store)
{
    struct store_counts counts;
    store_counts(store, &counts);
    store_figures_show(&counts);
    facts->disk_low = counts.disk_low;
    facts->disk_free = counts.disk_free_bytes;
    facts->disk_needed = counts.disk_needed_bytes;
    facts->leased = counts.leased;
    facts->stored = counts.stored;
    facts->needed = store_generates(store);
    facts->rounds = store_next_round(store);
    facts->newest = store_last_version(store);
    facts->unusable = store_unusable(store).slots;
    facts->has_lease = store_oldest_lease(store, clock_ms(), &facts->lease);
    if (facts->has_lease)
        snprintf(facts->lease_holder, sizeof facts->lease_holder, "%s", facts->lease.generator);
    facts->lease.generator = NULL; // the store's
}

static void answer(void *arg);

static err_t gather(void *arg, struct store *store)
{
    struct gathered *gathered = arg;
    const struct holding_options *o = &gathered->holding->options;
    struct hold_facts *facts = &gathered->facts;
    gather_pause(facts, o->live);
    gather_store(facts, store);
    leasing_facts(o->leasing, facts);
    facts->groups = (uint64_t)live_recipe(o->live)->learner.groups;
    facts->replaying = draw_again(train_draw(o->train), &facts->replayed, &facts->replays);
    facts->idle = draw_waits_for(train_draw(o->train));
    loop_post(o->loop, answer, gathered);
    return OK;
}

/* ---- loop thread */

static void say(struct holding *holding)
{
    const struct holding_options *o = &holding->options;
    struct hold_facts facts = holding->facts;
    enum holding_phase phase = o->phase(o->arg);
    if (!holding->face || phase == HOLDING_OVER)
        return;
    facts.run = o->run;
    facts.store = holding->store;
    facts.evaluating = phase == HOLDING_EVALUATES;
    facts.complete = phase == HOLDING_COMPLETE;
    facts.leaseless_s = clock_s() - holding->leased_s;
    facts.store_silent_s = holding->asking ? clock_s() - holding->asked_s : 0;
    ingest_facts(o->ingest, &facts.rewarders);
    struct hold hold = learner_hold(&facts);
    if (!holding->known && hold.cause != HOLD_STORE)
        return; // still starting
    face_hold(holding->face, &hold, (double)facts.rounds);
}

static void answer(void *arg)
{
    struct gathered *gathered = arg;
    struct holding *holding = gathered->holding;
    holding->asking = false;
    if (gathered->facts.leased || gathered->facts.rounds != holding->facts.rounds)
        holding->leased_s = clock_s();
    holding->facts = gathered->facts;
    holding->known = true;
    mem_free(gathered);
    say(holding);
}

static void tick(void *arg)
{
    struct holding *holding = arg;
    if (holding->asking) {
        say(holding);
        return;
    }
    struct gathered *gathered = mem_new(sizeof *gathered);
    gathered->holding = holding;
    holding->asking = true;
    holding->asked_s = clock_s();
    storage_post(holding->options.storage, gather, gathered);
}

struct holding *holding_new(const struct holding_options *options)
{
    struct holding *holding = mem_new(sizeof *holding);
    holding->options = *options;
    holding->store = mem_printf("%s/store", options->run);
    holding->timer = loop_timer_new(options->loop, tick, holding);
    return holding;
}

void holding_start(struct holding *holding, struct face *face)
{
    holding->face = face;
    holding->leased_s = clock_s();
    loop_timer_start(holding->timer, 0, TICK_MS);
}

const char *holding_state(const struct holding *holding)
{
    return !holding || !holding->known ? "STARTING"
           : holding->facts.replaying  ? "REPLAYING"
                                       : "TRAINING";
}

void holding_stop(struct holding *holding)
{
    if (!holding)
        return;
    holding->face = NULL;
    loop_timer_stop(holding->timer);
}

void holding_free(struct holding *holding)
{
    if (!holding)
        return;
    loop_timer_free(holding->timer);
    mem_free(holding->store);
    mem_free(holding);
}
