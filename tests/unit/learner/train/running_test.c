/* Running values across rounds and restarts: what a checkpoint has of them is where a replay goes
 * on, to the same digests. */
#include "base/json.h"
#include "unit/learner/train_kit.h"

static void remove_checkpoint(const struct site *site, uint64_t version)
{
    SCOPED_MEM char *path = checkpoint_path(site->directory, version);
    assert_ok(file_remove_tree(path));
}

static struct site *trained(const char *set)
{
    struct site *site = site_new(NULL);
    recipe_free(site->recipe);
    site->recipe = site_recipe_of(site, "run.rounds=5", set);
    process_open(site);
    deliver(site, 5 * B);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    return site;
}

static struct running running_of(const struct site *site, uint64_t version)
{
    struct checkpoint_info info;
    SCOPED_MEM char *path = checkpoint_path(site->directory, version);
    assert_ok(checkpoint_read(path, 0, &info));
    return info.running;
}

static void rewards_of_the_run_so_far_are_kept(void **)
{
    struct site *site = trained("learner.reward.normalize=mean_std learner.optimizer.clip_norm=0");
    process_close(site);
    const struct running end = running_of(site, 10), middle = running_of(site, 8);
    assert_near(running_or(&middle, RUNNING_rewards, 0), 4 * B * K, 0);
    assert_near(running_or(&end, RUNNING_rewards, 0), 5 * B * K, 0);
    assert_true(running_reward_std(&end) > 0);
    assert_recorded(site, 5);
    remove_checkpoint(site, 10);
    process_open(site); // the last round is trained again
    assert_int_equal(train_at(site->train)->round, 4);
    assert_memory_equal(&train_at(site->train)->running, &middle, sizeof middle);
    assert_int_equal(process_run(site), TRAIN_ENDED);
    process_close(site);
    const struct running again = running_of(site, 10);
    assert_memory_equal(&again, &end, sizeof end);
    site_free(site);
}

/* The learner that forgets them comes to other weights, and says so. */
static void without_them_a_replay_makes_other_weights(void **)
{
    struct site *site = trained("learner.reward.normalize=mean_std learner.optimizer.clip_norm=0");
    process_close(site);
    remove_checkpoint(site, 10);
    process_open(site);
    site->train->at.running = (struct running){0};
    assert_int_equal(process_run(site), TRAIN_FAILED);
    assert_err(ERR_DATA_LOSS, "", site->why);
    process_close(site);
    site_free(site);
}

static void a_run_that_keeps_none_has_a_manifest_as_before(void **)
{
    struct site *site = trained("learner.reward.normalize=none");
    process_close(site);
    SCOPED_JSON json_t *manifest = NULL;
    SCOPED_MEM char *path = checkpoint_path(site->directory, 10);
    SCOPED_MEM char *file = file_join(path, "manifest.json");
    assert_ok(json_read_file(file, 1 << 20, &manifest));
    assert_null(json_object_get(manifest, "running"));
    site_free(site);
}

TESTS(cmocka_unit_test(rewards_of_the_run_so_far_are_kept),
      cmocka_unit_test(without_them_a_replay_makes_other_weights),
      cmocka_unit_test(a_run_that_keeps_none_has_a_manifest_as_before))
