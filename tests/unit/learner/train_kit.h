/* A learner without its network: real recipe, store, storage thread, live settings and training
 * thread, on a model of a few thousand parameters. Groups are appended by hand.
 *
 *     struct site *site = site_new("run.rounds=4");
 *     process_open(site); deliver(site, 8); process_run(site);       -- until training has ended
 *     process_close(site);                                           -- and may be opened again: a restart
 *     site_free(site);                                               -- the store is audited */
#pragma once
#include "base/clock.h"
#include "base/file.h"
#include "learner/store/history.h"
#include "learner/train/inner.h"
#include "learner/train/load.h"
#include "svc/loop.h"
#include "unit/learner/round_kit.h"
#include "unit/learner/store_kit.h"
#include <stdatomic.h>

enum { B = 2, UPDATES = 2, WAIT_MS = 60000 };

struct site {
    char *directory, *model, *store;
    struct recipe *recipe;
    const char *rounds; // asked for, of a test of its own
    uint64_t spoilt;    // a slot whose reward no gradient survives; 0: none
    /* of one process */
    struct loop *loop;
    struct live *live;
    struct storage *storage;
    struct leasing *leasing;
    struct publish *publish;
    struct train *train;
    bool started, ended;
    enum train_end end;
    err_t why;
};

/* set: one "section.key=value"; more: others, between spaces. */
static inline struct recipe *site_recipe_of(const struct site *site, const char *set,
                                            const char *more)
{
    SCOPED_MEM char *text = mem_printf(
        "run: {name: run, seed: 7}\n"
        "model: {path: %s}\n"
        "learner: {groups: %d, updates_per_round: %d, micro_tokens: 64, threads: 1, optimizer: {lr: 1e-2}}\n"
        "generator: {num_generations: %d, max_tokens: 12, temperature: 0.8}\n"
        "data: {max_prompt_tokens: 20, epochs: 1}\n"
        "lag: {max: 50}\n"
        "checkpoint: {every: 2, keep: 10}\n"
        "rewarder: {reference: frozen, scorers: [{kind: exact, column: completion}]}\n",
        site->model, B, UPDATES, K);
    const char *sets[16] = {"learner.objective=rloo", set ? set : "run.rounds=0"};
    struct recipe_source source = {.run = site->directory, .sets = sets, .sets_count = 2};
    struct recipe *recipe = NULL;
    SCOPED_MEM char *words = mem_string(more);
    for (char *at = NULL, *word = strtok_r(words, " ", &at); word;
         word = strtok_r(NULL, " ", &at)) {
        assert_true(source.sets_count < sizeof sets / sizeof *sets);
        sets[source.sets_count++] = word;
    }
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
    return recipe;
}

static inline struct recipe *site_recipe(const struct site *site, const char *set)
{
    return site_recipe_of(site, set, "");
}

static inline struct site *site_new(const char *set)
{
    struct site *site = mem_new(sizeof *site);
    const struct model_config shape = config_default(37, 32, 16, 1, 2, 1, 96, true);
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    site->directory = mem_string(kit_directory());
    site->model = file_join(site->directory, "model");
    site->store = file_join(site->directory, "store");
    assert_ok(model_new(be, &shape, 3, &model));
    assert_ok(model_save(model, site->model));
    assert_ok(file_make_directories(site->store));
    site->recipe = site_recipe(site, set);
    return site;
}

static inline void site_free(struct site *site)
{
    kit_audit(site->store);
    recipe_free(site->recipe);
    mem_free(site->directory);
    mem_free(site->model);
    mem_free(site->store);
    mem_free(site);
}

/* ---- a process */

static inline void training_ended(void *arg, enum train_end end, err_t why)
{
    struct site *site = arg;
    site->ended = true;
    site->end = end;
    site->why = why;
    loop_stop(site->loop);
}

static inline void storage_failed(void *arg, err_t why)
{
    (void)arg;
    assert_ok(why);
}

/* In main's order. *ret: of train_new; then there is nothing to close. */
static inline err_t process_try(struct site *site)
{
    site->started = site->ended = false;
    TRY(live_open(site->recipe, &site->live));
    err_t failed = train_new(site->recipe, &site->train);
    if (err_failed(failed)) {
        live_free(STEAL(site->live));
        return failed;
    }
    struct storage_options storage = {.directory = site->store,
                                      .store = kit_options(100),
                                      .rules = settings_store(live_recipe(site->live)),
                                      .failed = storage_failed,
                                      .arg = site};
    assert_ok(loop_new(&site->loop));
    storage.loop = site->loop;
    assert_ok(storage_start(&storage, &site->storage));
    site->leasing = leasing_new(&(struct leasing_options){
        .loop = site->loop, .storage = site->storage, .run = "run", .live = site->live});
    return publish_open(
        &(struct publish_options){.loop = site->loop,
                                  .recipe = site->recipe,
                                  .layout = train_model(site->train)->params->layout},
        &site->publish);
}

static inline void process_open(struct site *site)
{
    assert_ok(process_try(site));
}

static inline void process_start(struct site *site)
{
    struct train_options options = {.loop = site->loop,
                                    .storage = site->storage,
                                    .leasing = site->leasing,
                                    .live = site->live,
                                    .ended = training_ended,
                                    .arg = site};
    assert_ok(train_start(site->train, &options, site->publish));
    site->started = true;
}

/* Until training has ended. */
static inline enum train_end process_run(struct site *site)
{
    if (!site->started)
        process_start(site);
    while (!site->ended)
        assert_ok(loop_run(site->loop));
    if (site->end != TRAIN_FAILED)
        assert_ok(site->why);
    return site->end;
}

static inline void process_close(struct site *site)
{
    train_join(site->train);
    storage_free(STEAL(site->storage));
    loop_run_posted(site->loop);
    publish_free(STEAL(site->publish)); // its lists lie in the model's memory
    train_free(STEAL(site->train));
    leasing_free(STEAL(site->leasing));
    live_free(STEAL(site->live));
    loop_free(STEAL(site->loop));
}

/* ---- groups */

static inline struct group *site_group(const struct site *site, const struct grant *grant,
                                       uint64_t version)
{
    struct group *group = kit_random_group(grant->slot, version);
    group->id = grant->id;
    group->run = mem_string("run");
    group->lineage = grant->lineage;
    group->slot = grant->slot;
    group->attempt = grant->attempt;
    group->prompt = grant->prompt;
    group->epoch = grant->epoch;
    group->start_round = grant->start_round;
    group->row = mem_string("{}");
    group->generator = mem_string("g");
    if (site->spoilt && site->spoilt == grant->slot)
        *(double *)group_values(group, COLUMN_REWARD, 0) =
            1e200; // finite, as a slope in float it is not
    return group;
}

struct delivery {
    const struct site *site;
    size_t groups;
};

static inline err_t deliver_job(void *arg, struct store *store)
{
    const struct delivery *delivery = arg;
    const uint64_t version = store_last_version(store);
    SCOPED_VALUE(grants) grants = kit_lease(store, "g", version, delivery->groups);
    assert_int_equal(grants.count, delivery->groups);
    for (size_t i = 0; i < grants.count; i++) {
        SCOPED(group) group = site_group(delivery->site, &grants.grant[i], version);
        assert_int_equal(kit_append(store, group, 0).outcome, OUTCOME_STORED);
    }
    return OK;
}

static inline void deliver(struct site *site, size_t groups)
{
    struct delivery delivery = {site, groups};
    assert_ok(storage_call(site->storage, deliver_job, &delivery));
}

/* ---- on the compute thread, between two rounds */

struct asking {
    void (*fn)(struct train *train, void *arg);
    void *arg;
    atomic_bool done;
};

static inline void ask_job(void *train, void *arg)
{
    struct asking *asking = arg;
    asking->fn(train, asking->arg);
    atomic_store(&asking->done, true);
}

static inline void ask(struct site *site, void (*fn)(struct train *train, void *arg), void *arg)
{
    struct asking asking = {.fn = fn, .arg = arg};
    assert_true(train_post(site->train, ask_job, &asking));
    for (int64_t until = clock_ms() + WAIT_MS; !atomic_load(&asking.done); clock_sleep_ms(1))
        assert_true(clock_ms() < until);
}

static inline void tell_at(struct train *train, void *arg)
{
    *(struct checkpoint_info *)arg = *train_at(train);
}

static inline struct checkpoint_info wait_round(struct site *site, uint64_t round)
{
    struct checkpoint_info at = {0};
    for (int64_t until = clock_ms() + WAIT_MS; at.round < round; clock_sleep_ms(1)) {
        assert_true(clock_ms() < until);
        ask(site, tell_at, &at);
    }
    assert_int_equal(at.round, round);
    return at;
}

/* ---- the witness: a plain loop over what the store has, with memory of its own for each round */

struct witness {
    struct site *site;
    struct store *store;
    struct trainees trainees;
    struct running running;
    const struct round *round;
};

static inline err_t compare_version(void *arg, uint32_t u)
{
    struct witness *w = arg;
    struct trainee_digests recorded, made = trainees_digests(&w->trainees);
    assert_ok(store_digests_of(w->store, w->round->first_version + u + 1, &recorded));
    assert_null(trainee_digests_differ(&recorded, &made));
    return OK;
}

static inline void witness_round(struct witness *w, uint64_t number)
{
    bool voided;
    SCOPED(round) round = NULL;
    SCOPED(recipe) recipe = NULL;
    SCOPED(updates) updates = NULL;
    struct round_report report = {0};
    struct group *groups[B];
    assert_ok(store_round_voided(w->store, number, &voided, NULL));
    if (voided)
        return;
    assert_ok(store_round(w->store, number, &round));
    assert_int_equal(round->groups, B);
    for (size_t i = 0; i < B; i++) // the store drops them once checkpoints cover the round
        groups[i] = kit_random_group(round->group[i].slot, round->group[i].age * UPDATES);
    assert_ok(restart_settings(w->site->recipe, round->settings, true, &recipe));
    assert_ok(updates_new(recipe, &w->trainees, &updates));
    w->round = round;
    updates_set_running(updates, &w->running);
    assert_ok(updates_run(updates, round, groups, compare_version, w, &report));
    w->running = *updates_running(updates);
    for (size_t i = 0; i < B; i++)
        group_free(groups[i]);
}

/* The process is closed: rounds 0 to rounds - 1 are recorded, and the digests of their versions are
 * those of a plain loop. */
static inline void assert_recorded(struct site *site, uint64_t rounds)
{
    struct witness w = {.site = site};
    SCOPED(backend) be = tiny_backend(1);
    assert_ok(load_trainees(site->recipe, be, site->model, NULL, &w.trainees));
    assert_ok(store_read(site->store, &w.store));
    assert_int_equal(store_rounds_done(w.store), rounds);
    for (uint64_t number = 0; number < rounds; number++)
        witness_round(&w, number);
    store_free(w.store);
    trainees_done(&w.trainees);
}
