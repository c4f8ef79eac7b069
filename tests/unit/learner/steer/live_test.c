/* Each LIVE option reaches its place; a wrong value changes nothing; all outlive a restart. */
#include "base/file.h"
#include "learner/settings.h"
#include "learner/steer/live.h"
#include "learner/train/restart.h"
#include "svc/recipe/recipe_live.h"
#include "unit/learner/steer/live_preferences.h"
#include "unit/learner/store_kit.h"

enum { ROWS = 100 };

struct scene {
    char *run, *path;
    struct recipe *given;
    struct live *live;
    struct store *store;
};

static struct recipe *recipe_with(const struct scene *scene, const char *const *sets, size_t count)
{
    struct recipe *recipe = NULL;
    struct recipe_source source = {.run = scene->run, .sets = sets, .sets_count = count};
    static const char text[] = "data: {epochs: 1}\nlearner: {groups: 4}\n";
    assert_ok(recipe_parse(text, sizeof text - 1, "recipe.yaml", ".", &source, &recipe));
    return recipe;
}

static void open_live(struct scene *scene)
{
    struct store_options options = kit_options(ROWS);
    assert_ok(live_open(scene->given, &scene->live));
    struct store_rules rules = settings_store(live_recipe(scene->live));
    assert_ok(store_open(scene->path, &options, &rules, 0, &scene->store));
}

static void close_live(struct scene *scene)
{
    store_free(STEAL(scene->store));
    live_free(STEAL(scene->live));
}

/* sets: "a=b c=d" */
static struct scene scene_new(const char *sets)
{
    struct scene scene = {.run = mem_string(kit_directory())};
    char *words[16], *copy = mem_string(sets), *rest = copy;
    size_t count = 0;
    for (char *word; (word = strsep(&rest, " "));)
        if (*word)
            words[count++] = word;
    scene.path = file_join(scene.run, "store");
    scene.given = recipe_with(&scene, (const char *const *)words, count);
    open_live(&scene);
    free(copy);
    return scene;
}

static void scene_done(struct scene *scene)
{
    close_live(scene);
    recipe_free(scene->given);
    free(scene->path);
    free(scene->run);
}

static struct live_result change(struct scene *scene, const char *key, const char *value)
{
    struct live_assignment at = {key, value};
    struct live_result result;
    assert_ok(live_update(scene->live, scene->store,
                          &(struct live_request){.at = &at, .count = 1, .kind = "settings"},
                          &result));
    return result;
}

static void assert_value(const struct recipe *recipe, const char *key, const char *value)
{
    SCOPED_MEM char *is = NULL;
    assert_ok(recipe_get(recipe, key, &is));
    assert_string_equal(is, value);
}

/* ---- each LIVE option takes effect */

/* What reads it: RECORD is training itself, at each round, from the round's record. */
#define DPO "learner.objective=online_dpo rewarder.reference=frozen"
enum read_by { STORE, OBJECTIVE, OPTIMIZER, SCHEDULE, RECORD };
static const struct {
    const char *key, *value, *base;
    enum read_by reader;
} table[] = {
    {"run.rounds", "77", "", STORE},
    {"learner.lease_ms", "2000", "", STORE},
    {"learner.lease_grace_ms", "0", "", RECORD},
    GROUP_KEYS,
    {"learner.epsilon", "0.3", "learner.objective=grpo", OBJECTIVE},
    {"learner.epsilon_high", "0.4", "learner.objective=grpo", OBJECTIVE},
    {"learner.advantage_epsilon", "0.01", "learner.objective=grpo", OBJECTIVE},
    {"learner.delta", "3", "learner.objective=grpo", OBJECTIVE},
    {"learner.cap", "5", "learner.gate=cap", OBJECTIVE},
    {"learner.reduction_length", "64", "learner.reduction=const_norm", OBJECTIVE},
    {"learner.mask_truncated_completions", "true", "", RECORD},
    {"learner.max_token_lag", "4", "", RECORD},
    {"learner.optimizer.lr", "0.01", "", SCHEDULE},
    {"learner.optimizer.weight_decay", "0.1", "", OPTIMIZER},
    {"learner.optimizer.clip_norm", "0.5", "", OPTIMIZER},
    {"learner.correction.low", "0.5", "learner.ratio_to=proximal", OBJECTIVE},
    {"learner.correction.high", "3", "learner.ratio_to=proximal", OBJECTIVE},
    {"learner.dpo.beta", "0.2", DPO, OBJECTIVE},
    {"learner.dpo.margin", "0.25", DPO, RECORD},
    OBJECTIVE_KEYS,
    {"learner.ppo.gamma", "0.9", "learner.objective=ppo", OBJECTIVE},
    {"learner.ppo.lambda", "1", "learner.objective=ppo", OBJECTIVE},
    {"learner.ppo.rho_bar", "2", "learner.objective=ppo", OBJECTIVE},
    {"learner.ppo.c_bar", "2", "learner.objective=ppo", OBJECTIVE},
    {"learner.ppo.cliprange_value", "0.5", "learner.objective=ppo", OBJECTIVE},
    {"learner.ppo.vf_coef", "0.1", "learner.objective=ppo", OBJECTIVE},
    {"learner.critic.optimizer.lr", "0.01", "learner.objective=ppo", SCHEDULE},
    {"learner.critic.optimizer.weight_decay", "0.1", "learner.objective=ppo", OPTIMIZER},
    {"learner.critic.optimizer.clip_norm", "0.5", "learner.objective=ppo", OPTIMIZER},
    {"learner.kl.coef", "0.05", "rewarder.reference=frozen", OBJECTIVE},
    {"learner.kl.target", "6", "rewarder.reference=frozen learner.kl.coef=0.1", RECORD},
    {"learner.kl.horizon", "100", "rewarder.reference=frozen learner.kl.coef=0.1", RECORD},
    {"lag.max", "3", "", STORE},
    {"lag.straggler", "drop", "", STORE},
    {"lag.on_stale", "keep", "lag.hard_max=5", STORE},
    {"lag.hard_max", "7", "lag.on_stale=keep", STORE},
    {"lag.auto_at", "3", "lag.max=auto", STORE},
    {"lag.auto_min", "2", "lag.max=auto", STORE},
    {"lag.auto_max", "0", "lag.max=auto", STORE},
    {"lag.auto_idle", "[0.1, 0.2]", "", RECORD},
    {"lag.auto_ess", "[0.5, 0.6]", "", RECORD},
    {"lag.auto_kl", "[0.2, 0.3]", "", RECORD},
    {"lag.auto_rounds", "3", "", RECORD},
    {"publish.every", "2", "", RECORD},
    {"replay.min_free_bytes", "12345", "", STORE},
    {"checkpoint.every", "7", "", RECORD},
    {"checkpoint.keep", "9", "", RECORD},
};

static struct objective_config objective_of(const struct recipe *recipe)
{
    const struct objective *objective;
    struct objective_config config;
    memset(&config, 0, sizeof config);
    assert_ok(settings_objective(recipe, &objective, &config));
    return config;
}

static bool read_differs(enum read_by reader, const struct recipe *a, const struct recipe *b)
{
    if (reader == STORE) {
        struct store_rules x = settings_store(a), y = settings_store(b);
        return memcmp(&x, &y, sizeof x) != 0;
    }
    if (reader == OBJECTIVE) {
        struct objective_config x = objective_of(a), y = objective_of(b);
        return memcmp(&x, &y, sizeof x) != 0;
    }
    const struct recipe_optimizer *p[] = {&a->learner.optimizer, &a->learner.critic.optimizer},
                                  *q[] = {&b->learner.optimizer, &b->learner.critic.optimizer};
    bool differs = reader == RECORD;
    for (int i = 0; i < 2; i++) {
        struct optimizer_config x = settings_optimizer(p[i]), y = settings_optimizer(q[i]);
        differs |= reader == OPTIMIZER
                       ? memcmp(&x, &y, sizeof x) != 0
                       : settings_schedule(p[i], 9).lr != settings_schedule(q[i], 9).lr;
    }
    return differs;
}

static void each_live_option_takes_effect(void **)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct scene scene = scene_new(table[i].base);
        struct live_result result = change(&scene, table[i].key, table[i].value);
        assert_true(result.change == 1 && result.first_round == 0);
        assert_value(live_recipe(scene.live), table[i].key, table[i].value);
        SCOPED(recipe) trained = NULL; // what the round is trained with
        assert_ok(restart_settings(scene.given, live_text(scene.live), false, &trained));
        assert_value(trained, table[i].key, table[i].value);
        if (!read_differs(table[i].reader, scene.given, trained))
            fail_msg("%s does not reach its reader", table[i].key);
        scene_done(&scene);
    }
}

static void find_row(void *, const struct recipe_setting *setting)
{
    bool found = !setting->live;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        found = found || strcmp(table[i].key, setting->key) == 0;
    if (!found)
        fail_msg("%s is LIVE and has no row here", setting->key);
}

static void the_table_is_whole(void **)
{
    struct scene scene = scene_new("");
    recipe_describe(scene.given, find_row, NULL);
    scene_done(&scene);
}

/* The store's rules are in force at once: leases follow a higher limit. */
static void leases_follow_the_limit(void **)
{
    struct scene scene = scene_new("lag.max=0");
    struct grants grants = kit_lease(scene.store, "g", 0, 100);
    assert_int_equal(grants.count, 4);
    grants_done(&grants);
    change(&scene, "lag.max", "2");
    grants = kit_lease(scene.store, "g", 0, 100);
    assert_int_equal(grants.count, 8);
    grants_done(&grants);
    scene_done(&scene);
}

/* ---- what is wrong */

static void assert_refused(struct scene *scene, const struct live_request *request,
                           enum err_code code, const char *field, const char *allowed)
{
    SCOPED_MEM char *text = mem_string(live_text(scene->live));
    SCOPED_VALUE(standing) standing = {0};
    struct live_result result;
    err_t e = live_update(scene->live, scene->store, request, &result);
    if (err_code(e) != code || !err_field_name(e) || strcmp(err_field_name(e), field) != 0 ||
        !strstr(err_field_allowed(e), allowed))
        fail_msg("code %s field %s allowed '%s': %s", err_code_name(err_code(e)), err_field_name(e),
                 err_field_allowed(e), err_message(e));
    err_free(e);
    assert_string_equal(live_text(scene->live), text);
    assert_ok(store_standing(scene->store, &standing));
    assert_int_equal(standing.changes, 0);
}

static void assert_key_refused(struct scene *scene, const char *key, const char *value,
                               enum err_code code, const char *field, const char *allowed)
{
    struct live_assignment at[] = {{"learner.optimizer.lr", "0.5"}, {key, value}};
    struct live_request request = {.at = at, .count = 2, .kind = "settings"};
    assert_refused(scene, &request, code, field, allowed);
}

static void what_is_wrong_changes_nothing(void **)
{
    struct scene scene = scene_new("");
    assert_key_refused(&scene, "lag.mx", "1", ERR_NOT_FOUND, "lag.mx", "did you mean 'lag.max'");
    assert_key_refused(&scene, "lag", "1", ERR_NOT_FOUND, "lag", "section");
    assert_key_refused(&scene, "learner.groups", "8", ERR_INVALID, "learner.groups", "fixed");
    assert_key_refused(&scene, "lag.max", "1001", ERR_INVALID, "lag.max", "from 0 to 1000");
    assert_key_refused(&scene, "lag.max", "", ERR_INVALID, "lag.max", "from 0 to 1000");
    assert_key_refused(&scene, "lag.straggler", "wiat", ERR_INVALID, "lag.straggler", "wait, drop");
    assert_key_refused(&scene, "publish.every", "3", ERR_INVALID, "publish.every",
                       "at most lag.max");
    assert_key_refused(&scene, "learner.kl.coef", "1", ERR_INVALID, "learner.kl.coef", "reference");
    struct live_assignment at = {"lag.max", "2"};
    struct live_request stale = {.at = &at, .count = 1, .kind = "settings", .etag = "0"};
    assert_refused(&scene, &stale, ERR_ABORTED, "etag", live_etag(scene.live));
    struct live_request lines = {.at = &at, .count = 1, .kind = "settings", .author = "a\nb"};
    assert_refused(&scene, &lines, ERR_INVALID, "author", "one line of UTF-8");
    struct live_request bytes = {.at = &at, .count = 1, .kind = "settings", .reason = "\xff"};
    assert_refused(&scene, &bytes, ERR_INVALID, "reason", "one line of UTF-8");
    scene_done(&scene);
    scene = scene_new("replay.max_groups=8");
    assert_key_refused(&scene, "lag.max", "2", ERR_INVALID, "replay.max_groups", "(lag.max + 1)");
    scene_done(&scene);
    scene = scene_new("learner.objective=grpo learner.ratio_to=proximal");
    assert_key_refused(&scene, "learner.correction.low", "9", ERR_INVALID, "learner.correction.low",
                       "above learner.correction.high");
    scene_done(&scene);
}

/* Rewarders have left out references by the recipe that they were started with. */
static void pairs_stay_within_what_is_referred(void **)
{
    struct scene scene = scene_new("learner.objective=online_dpo rewarder.reference=frozen "
                                   "learner.dpo.margin=0.5");
    assert_key_refused(&scene, "learner.kl.coef", "0.1", ERR_INVALID, "learner.kl.coef", "0, as");
    assert_key_refused(&scene, "learner.dpo.margin", "0.4", ERR_INVALID, "learner.dpo.margin",
                       "or more");
    assert_int_equal(change(&scene, "learner.dpo.margin", "0.6").change, 1);
    scene_done(&scene);
    scene = scene_new(DPO " learner.dpo.ties=first");
    assert_key_refused(&scene, "learner.dpo.margin", "0.4", ERR_INVALID, "learner.dpo.margin",
                       "started with");
    scene_done(&scene);
}

static void validate_only_changes_nothing(void **)
{
    struct scene scene = scene_new("");
    SCOPED_MEM char *etag = mem_string(live_etag(scene.live));
    struct live_assignment at = {"lag.max", "2"};
    struct live_request request = {
        .at = &at, .count = 1, .kind = "settings", .etag = etag, .validate_only = true};
    struct live_result result;
    assert_ok(live_update(scene.live, scene.store, &request, &result));
    assert_int_equal(result.change, 0);
    assert_string_equal(live_etag(scene.live), etag);
    request.validate_only = false;
    assert_ok(live_update(scene.live, scene.store, &request, &result));
    assert_int_equal(result.change, 1);
    assert_string_not_equal(live_etag(scene.live), etag);
    scene_done(&scene);
}

/* ---- restarts */

static void changes_outlive_the_process_and_the_recipes_edits(void **)
{
    struct scene scene = scene_new("");
    change(&scene, "lag.max", "3");
    change(&scene, "learner.optimizer.lr", "0.25");
    SCOPED_MEM char *etag = mem_string(live_etag(scene.live));
    close_live(&scene);
    open_live(&scene);
    assert_string_equal(live_etag(scene.live), etag);
    assert_value(live_recipe(scene.live), "lag.max", "3");
    struct grants grants = kit_lease(scene.store, "g", 0, 100);
    assert_int_equal(grants.count, 16); // the store was opened with them
    grants_done(&grants);
    close_live(&scene);
    recipe_free(scene.given); // edited
    static const char *const sets[] = {"lag.max=5", "learner.optimizer.clip_norm=0.5"};
    scene.given = recipe_with(&scene, sets, 2);
    open_live(&scene);
    assert_value(live_recipe(scene.live), "lag.max", "3");
    assert_value(live_recipe(scene.live), "learner.optimizer.lr", "0.25");
    assert_value(live_recipe(scene.live), "learner.optimizer.clip_norm", "0.5");
    change(&scene, "lag.max", NULL); // taken back: the recipe's as it is now
    assert_value(live_recipe(scene.live), "lag.max", "5");
    close_live(&scene);
    open_live(&scene);
    assert_value(live_recipe(scene.live), "lag.max", "5");
    assert_value(live_recipe(scene.live), "learner.optimizer.lr", "0.25");
    scene_done(&scene);
}

static void a_recipe_that_does_not_go_with_the_changes_is_refused(void **)
{
    struct scene scene = scene_new("");
    change(&scene, "lag.max", "3");
    close_live(&scene);
    recipe_free(scene.given);
    static const char *const sets[] = {"replay.max_groups=8"};
    scene.given = recipe_with(&scene, sets, 1);
    assert_err(ERR_INVALID, "change the recipe: replay.max_groups: 8 is too few",
               live_open(scene.given, &scene.live));
    scene_done(&scene);
}

static struct live_result ask(struct scene *scene, const char *id, const char *value)
{
    struct live_assignment at = {"learner.optimizer.lr", value};
    struct live_request request = {.at = &at, .count = 1, .kind = "settings", .request_id = id};
    struct live_result result;
    assert_ok(live_update(scene->live, scene->store, &request, &result));
    return result;
}

static void a_repeated_request_is_answered_as_before(void **)
{
    struct scene scene = scene_new("");
    assert_int_equal(ask(&scene, "a", "0.5").change, 1);
    assert_int_equal(ask(&scene, "b", "0.5").change,
                     0); // nothing to change, which is remembered too
    assert_int_equal(ask(&scene, "c", "0.25").change, 3);
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_int_equal(ask(&scene, "a", "0.5").change, 1);
        assert_int_equal(ask(&scene, "b", "0.5").change, 0);
        assert_value(live_recipe(scene.live), "learner.optimizer.lr", "0.25");
        struct live_assignment at = {"learner.optimizer.lr", "0.125"};
        struct live_request other = {.at = &at, .count = 1, .kind = "settings", .request_id = "a"};
        struct live_result result;
        assert_err(ERR_INVALID, "'a' has asked something else",
                   live_update(scene.live, scene.store, &other, &result));
        close_live(&scene);
        open_live(&scene);
    }
    char id[16];
    for (int i = 0; i < LIVE_REMEMBERED; i++) {
        snprintf(id, sizeof id, "%d", i);
        ask(&scene, id, i % 2 ? "0.5" : "0.25");
    }
    assert_int_equal(ask(&scene, "0", "0.25").first_round, 0); // the oldest that is remembered
    assert_value(live_recipe(scene.live), "learner.optimizer.lr", "0.5");
    assert_int_equal(ask(&scene, "c", "0.25").change, 4 + LIVE_REMEMBERED); // forgotten: done again
    scene_done(&scene);
}

static void a_pause_outlives_the_process(void **)
{
    struct scene scene = scene_new("");
    struct live_request request = {.kind = "pause", .author = "me"};
    struct live_result result;
    assert_ok(live_pause(scene.live, scene.store, &request, true, false, LIVE_PAUSED, &result));
    assert_int_equal(result.change, 1);
    assert_ok(live_pause(scene.live, scene.store, &request, true, false, LIVE_PAUSED, &result));
    assert_int_equal(result.change, 0);
    change(&scene, "lag.max", "2"); // and other changes
    close_live(&scene);
    open_live(&scene);
    assert_true(live_generation_paused(scene.live));
    assert_false(live_training_paused(scene.live) || live_decoding_held(scene.live));
    assert_ok(live_pause(scene.live, scene.store, &request, true, false, LIVE_HELD, &result));
    assert_int_equal(result.change, 3);
    close_live(&scene);
    open_live(&scene);
    change(&scene, "lag.max", "2");
    assert_true(live_generation_paused(scene.live) && live_decoding_held(scene.live));
    request.kind = "resume";
    assert_ok(live_pause(scene.live, scene.store, &request, true, true, LIVE_GOES_ON, &result));
    assert_int_equal(result.change, 4);
    assert_false(live_generation_paused(scene.live) || live_decoding_held(scene.live));
    assert_value(live_recipe(scene.live), "lag.max", "2");
    scene_done(&scene);
}

/* ---- the list */

static void assert_page(struct store *store, uint64_t after, bool newest_first, size_t most,
                        uint64_t first, size_t count)
{
    SCOPED_VALUE(change_page) page = {0};
    assert_ok(store_changes(store, after, newest_first, most, &page));
    assert_int_equal(page.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(page.at[i].id, newest_first ? first - i : first + i);
}

static void changes_are_listed_either_way(void **)
{
    struct scene scene = scene_new("");
    assert_page(scene.store, 0, false, 10, 0, 0);
    assert_page(scene.store, 0, true, 10, 0, 0);
    for (int i = 0; i < 5; i++)
        change(&scene, "lag.max", i % 2 ? "2" : "3");
    assert_page(scene.store, 0, false, 2, 1, 2);
    assert_page(scene.store, 2, false, 2, 3, 2);
    assert_page(scene.store, 4, false, 2, 5, 1);
    assert_page(scene.store, 5, false, 2, 0, 0);
    assert_page(scene.store, UINT64_MAX, false, 2, 0, 0);
    assert_page(scene.store, 0, true, 2, 5, 2);
    assert_page(scene.store, 4, true, 2, 3, 2);
    assert_page(scene.store, 2, true, 2, 1, 1);
    assert_page(scene.store, 1, true, 2, 0, 0);
    SCOPED_VALUE(change_page) page = {0};
    assert_ok(store_changes(scene.store, 1, false, 1, &page));
    assert_string_equal(page.at[0].value[0].key, "lag.max");
    assert_string_equal(page.at[0].value[0].before, "3");
    assert_string_equal(page.at[0].value[0].after, "2");
    scene_done(&scene);
}

/* A record cut anywhere, or longer, is damage and nothing else. */
static void damaged_records_are_refused(void **)
{
    struct change_value value = {(char *)"k", (char *)"1", (char *)"2"};
    struct change change = {.id = 7,
                            .kind = (char *)"settings",
                            .author = (char *)"a",
                            .reason = (char *)"",
                            .request_id = (char *)"r",
                            .values = 1,
                            .value = &value};
    struct override override = {(char *)"k", (char *)"2"};
    struct standing standing = {.changes = 7, .overrides = 1, .override = &override};
    SCOPED_VALUE(bytes) one = {0};
    SCOPED_VALUE(bytes) two = {0};
    change_encode(&change, &one);
    standing_encode(&standing, &two);
    struct change read;
    struct standing now;
    for (size_t len = 0; len < one.len; len++)
        assert_err(ERR_DATA_LOSS, "change 7", change_decode(7, one.data, len, &read));
    for (size_t len = 0; len < two.len; len++)
        assert_err(ERR_DATA_LOSS, "in force", standing_decode(two.data, len, &now));
    assert_ok(change_decode(7, one.data, one.len, &read));
    assert_string_equal(read.value[0].after, "2");
    change_done(&read);
    assert_ok(standing_decode(two.data, two.len, &now));
    assert_string_equal(now.override[0].value, "2");
    standing_done(&now);
    bytes_u8(&one, 0);
    bytes_u8(&two, 0);
    assert_err(ERR_DATA_LOSS, "change 7", change_decode(7, one.data, one.len, &read));
    assert_err(ERR_DATA_LOSS, "in force", standing_decode(two.data, two.len, &now));
}

TESTS(cmocka_unit_test(each_live_option_takes_effect), cmocka_unit_test(the_table_is_whole),
      cmocka_unit_test(leases_follow_the_limit), cmocka_unit_test(what_is_wrong_changes_nothing),
      cmocka_unit_test(pairs_stay_within_what_is_referred),
      cmocka_unit_test(validate_only_changes_nothing),
      cmocka_unit_test(changes_outlive_the_process_and_the_recipes_edits),
      cmocka_unit_test(a_recipe_that_does_not_go_with_the_changes_is_refused),
      cmocka_unit_test(a_repeated_request_is_answered_as_before),
      cmocka_unit_test(a_pause_outlives_the_process),
      cmocka_unit_test(changes_are_listed_either_way),
      cmocka_unit_test(damaged_records_are_refused))
