/* Policy and critic on the real training thread: recorded digests of both, checkpoints, restarts,
 * the way back, warm-up; and a critic of another shape than the recorded. */
#include "learner/job/explain.h"
#include "unit/learner/train_kit.h"

#define WARM_UP 2
#define PPO     "learner.objective=ppo learner.critic.head=normal learner.critic.warmup_rounds=2"
static const char *const kinds[] = {PPO " learner.critic.model=separate",
                                    PPO " learner.critic.model=shared"};
enum { KINDS = 2 };

static void set_recipe(struct site *site, const char *rounds, const char *more)
{
    recipe_free(site->recipe);
    site->recipe = site_recipe_of(site, rounds, more);
}

static struct site *critic_site(int kind, const char *rounds)
{
    struct site *site = site_new(rounds);
    set_recipe(site, rounds, kinds[kind]);
    return site;
}

static void run_through(struct site *site)
{
    process_open(site);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
}

static void remove_checkpoint(const struct site *site, uint64_t version)
{
    SCOPED_MEM char *path = checkpoint_path(site->directory, version);
    assert_ok(file_remove_tree(path));
}

/* The recorded digest of a trainee's weights at a version. */
static struct digest recorded(const struct site *site, const char *name, uint64_t version)
{
    SCOPED(store) store = NULL;
    struct trainee_digests digests;
    assert_ok(store_read(site->store, &store));
    assert_ok(store_digests_of(store, version, &digests));
    assert_int_equal(digests.count, 2);
    return *trainee_digests_find(&digests, name);
}

/* Until the warm-up ends each version has the policy's first weights and another critic. */
static void assert_warm_up(const struct site *site, uint64_t versions)
{
    for (uint64_t v = 2; v <= versions; v++) {
        const struct digest policy = recorded(site, "policy", v),
                            before = recorded(site, "policy", v - 1),
                            critic = recorded(site, "critic", v),
                            critic_before = recorded(site, "critic", v - 1);
        assert_true(digest_equal(&policy, &before) == (v <= WARM_UP * UPDATES));
        assert_false(digest_equal(&critic, &critic_before));
    }
}

static void assert_explained(const struct site *site, uint64_t version)
{
    SCOPED(store) store = NULL;
    SCOPED_JSON json_t *explained = NULL;
    SCOPED_VALUE(bytes) said = {0};
    char text[DIGEST_TEXT];
    const struct digest critic = recorded(site, "critic", version);
    SCOPED_MEM char *line = mem_printf("weights      %s  version %d, critic\n",
                                       digest_text(&critic, text), (int)version);
    assert_ok(store_read(site->store, &store));
    assert_ok(explain_version(site->recipe, store, version, &explained));
    explain_text(explained, &said);
    assert_non_null(memmem(said.data, said.len, line, strlen(line)));
}

/* Restarts from the checkpoint after the warm-up, from the one within it, and from nothing. */
static void a_restart_makes_both_again(void **)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct site *site = critic_site(kind, "run.rounds=5");
        process_open(site);
        deliver(site, 5 * B);
        assert_int_equal(process_run(site), TRAIN_ENDED);
        process_close(site);
        assert_warm_up(site, 5 * UPDATES);
        assert_explained(site, 3);
        remove_checkpoint(site, 10);
        run_through(site);
        remove_checkpoint(site, 10);
        remove_checkpoint(site, 8);
        run_through(site);
        assert_recorded(site, 5);
        site_free(site);
    }
}

static void go_back(struct train *train, void *arg)
{
    assert_ok(train_go_back(train, 4, NULL, NULL, arg));
}

static void training_goes_back_with_both(void **)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct site *site = critic_site(kind, "run.rounds=6");
        struct checkpoint_info at;
        process_open(site);
        deliver(site, 4 * B);
        process_start(site);
        wait_round(site, 4);
        ask(site, go_back, &at);
        assert_int_equal(at.version, 4);
        deliver(site, 4 * B);
        assert_int_equal(process_run(site), TRAIN_ENDED);
        process_close(site);
        assert_recorded(site, 6);
        site_free(site);
    }
}

static err_t record_job(void *arg, struct store *store)
{
    struct site *site = arg;
    SCOPED_MEM char *fingerprint = load_fingerprint(&site->train->start.trainees);
    SCOPED(round) round = NULL;
    enum idle idle;
    struct round_plan plan = {UPDATES, 7, live_text(site->live), fingerprint};
    TRY(deliver_job(&(struct delivery){site, B}, store));
    TRY(store_form_round(store, 0, &plan, &idle, &round));
    assert_non_null(round);
    const struct trainee_digests digests = trainees_digests(&site->train->start.trainees);
    return store_update_done(store, 1, &digests, false);
}

/* A round that waits to be trained again was recorded with a critic of its own. */
static void a_critic_of_another_shape_is_refused(void **)
{
    struct site *site = critic_site(0, "run.rounds=5");
    process_open(site);
    assert_ok(storage_call(site->storage, record_job, site));
    process_close(site);
    set_recipe(site, "run.rounds=5", kinds[1]);
    assert_err(ERR_PRECONDITION, "critic=", process_try(site));
    set_recipe(site, "run.rounds=5", "");
    assert_err(ERR_PRECONDITION, "the store of this run has the trainee 'critic'",
               process_try(site));
    site_free(site);
}

TESTS(cmocka_unit_test(a_restart_makes_both_again), cmocka_unit_test(training_goes_back_with_both),
      cmocka_unit_test(a_critic_of_another_shape_is_refused))
