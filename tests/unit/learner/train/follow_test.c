/* A reference that moves: when, by how much, in which record; restarts and the way back make it
 * again to the same digests. */
#include "unit/learner/train_kit.h"
#include <math.h>

static void remove_checkpoint(const struct site *site, uint64_t version)
{
    SCOPED_MEM char *path = checkpoint_path(site->directory, version);
    assert_ok(file_remove_tree(path));
}

static struct digest recorded(const struct site *site, const char *name, uint64_t version)
{
    SCOPED(store) store = NULL;
    struct trainee_digests list;
    assert_ok(store_read(site->store, &store));
    assert_ok(store_digests_of(store, version, &list));
    const struct digest *found = trainee_digests_find(&list, name);
    assert_non_null(found);
    return *found;
}

static struct site *site_of(const char *rounds, const char *more)
{
    struct site *site = site_new(NULL);
    SCOPED_MEM char *sets = mem_printf("rewarder.reference=none %s", more);
    recipe_free(site->recipe);
    site->recipe = site_recipe_of(site, rounds, sets);
    return site;
}

static void run_through(struct site *site, size_t groups)
{
    process_open(site);
    if (groups)
        deliver(site, groups);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
}

static bool same(struct digest a, struct digest b)
{
    return digest_equal(&a, &b);
}

/* Versions 3, 6 and 9 are in rounds 1, 2 and 4, whose last ones are 4, 6 and 10. */
static void a_reset_makes_it_the_policy_behind_a_round(void **)
{
    struct site *site = site_of("run.rounds=5", "learner.objective=online_dpo "
                                                "learner.reference.kind=reset "
                                                "learner.reference.sync_steps=3");
    run_through(site, 5 * B);
    const struct digest first = recorded(site, "reference", 1);
    for (uint64_t v = 1; v <= 10; v++) {
        const struct digest is = recorded(site, "reference", v);
        const uint64_t at = v < 4 ? 0 : v < 6 ? 4 : v < 10 ? 6 : 10;
        assert_true(same(is, at ? recorded(site, "policy", at) : first));
    }
    assert_false(same(first, recorded(site, "policy", 1)));
    assert_recorded(site, 5);
    site_free(site);
}

static const char *const averaging = "learner.objective=online_dpo learner.reference.kind=ema "
                                     "learner.reference.sync_steps=2 "
                                     "learner.reference.mixup_alpha=0.3 "
                                     "learner.reward.normalize=std "
                                     "learner.reward.squash=sigmoid "
                                     "learner.reward.length_penalty=0.01 "
                                     "learner.reward.overlong_buffer=4 "
                                     "learner.reward.repeat_ngram=1 "
                                     "learner.rows.entropy_coef=0.01 "
                                     "learner.rows.entropy_target=2.5";

static void an_average_is_made_again_to_the_same_digests(void **)
{
    struct site *site = site_of("run.rounds=5", averaging);
    run_through(site, 5 * B);
    assert_false(same(recorded(site, "reference", 10), recorded(site, "reference", 8)));
    assert_false(same(recorded(site, "reference", 10), recorded(site, "policy", 10)));
    remove_checkpoint(site, 10);
    run_through(site, 0);
    remove_checkpoint(site, 10);
    remove_checkpoint(site, 8);
    run_through(site, 0);
    assert_recorded(site, 5);
    site_free(site);
}

/* Its bf16 weights are the same to a digit or two, its masters are not. */
static void an_average_that_lost_its_masters_is_found(void **)
{
    struct site *site = site_of("run.rounds=5", averaging);
    run_through(site, 5 * B);
    remove_checkpoint(site, 10);
    process_open(site);
    struct trainee *reference = trainees_find(&site->train->start.trainees, TRAINEE_REFERENCE);
    assert_null(reference->gradient);
    assert_ok(optimizer_follow(reference->optimizer, reference->model, 1)); // rounded
    assert_int_equal(process_run(site), TRAIN_FAILED);
    assert_err(ERR_DATA_LOSS, "", site->why);
    process_close(site);
    site_free(site);
}

static void go_back(struct train *train, void *arg)
{
    assert_ok(train_go_back(train, 4, NULL, NULL, arg));
}

static void it_goes_back_with_the_policy(void **)
{
    struct site *site = site_of("run.rounds=6", averaging);
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

/* One that stands still gives the digests of a rewarder's reference at the same weights. */
static void one_that_stands_still_is_in_no_record(void **)
{
    struct site *site = site_of("run.rounds=3", "learner.objective=online_dpo "
                                                "learner.reference.kind=frozen");
    run_through(site, 3 * B);
    SCOPED(store) store = NULL;
    struct trainee_digests list;
    assert_ok(store_read(site->store, &store));
    assert_ok(store_digests_of(store, 6, &list));
    assert_int_equal(list.count, 1);
    assert_recorded(site, 3);
    store_free(STEAL(store));
    recipe_free(site->recipe);
    site->recipe = site_recipe_of(site, "run.rounds=4",
                                  "rewarder.reference=none learner.objective=online_dpo "
                                  "learner.reference.kind=ema");
    assert_err(ERR_PRECONDITION, "has no trainee 'reference'", process_try(site));
    site_free(site);
}

static void assert_refused(const char *sets, const char *part)
{
    const char *list[8];
    size_t count = 0;
    struct recipe *recipe = NULL;
    SCOPED_MEM char *words = mem_string(sets);
    for (char *at = NULL, *word = strtok_r(words, " ", &at); word; word = strtok_r(NULL, " ", &at))
        list[count++] = word;
    struct recipe_source source = {.sets = list, .sets_count = count};
    static const char text[] = "rewarder: {scorers: [{kind: exact, column: completion}]}\n";
    assert_err(ERR_INVALID, part,
               recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
}

static void what_a_recipe_cannot_have(void **)
{
    assert_refused("learner.reference.kind=ema rewarder.reference=frozen",
                   "is a second reference beside rewarder.reference");
    assert_refused("learner.reference.kind=ema lora.r=4", "with an adapter");
    assert_refused("learner.reference.path=x", "goes with learner.reference.kind");
    assert_refused("learner.objective=tdpo2 rewarder.reference=frozen",
                   "set learner.reference.kind: frozen");
    assert_refused("learner.objective=gkd", "set learner.reference.kind: frozen");
    assert_refused("learner.rows.distance=reverse", "set learner.reference.kind: frozen");
    assert_refused("learner.rows.beta=0", "between 0 and 1");
    assert_refused("learner.reference.mixup_alpha=1.5", "mixup_alpha");
}

TESTS(cmocka_unit_test(a_reset_makes_it_the_policy_behind_a_round),
      cmocka_unit_test(an_average_is_made_again_to_the_same_digests),
      cmocka_unit_test(an_average_that_lost_its_masters_is_found),
      cmocka_unit_test(it_goes_back_with_the_policy),
      cmocka_unit_test(one_that_stands_still_is_in_no_record),
      cmocka_unit_test(what_a_recipe_cannot_have))
