/* Rows of preferences as comparisons: both orders of each pair, and the labels. Then a step on them
 * is held against PyTorch's: its loss, and the change of every tensor. tests/golden/pairwise.py
 * made the file. */
#include "base/file.h"
#include "base/mem.h"
#include "learner/offline/comparisons.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "model/files/safetensors.h"
#include "unit/model/tiny.h"
#include <math.h>

#define MODEL TEST_GOLDEN "/pairwise"
enum { GROUPS_MAX = 32 };

struct read {
    struct recipe *recipe;
    struct tokenizer *tokenizer;
    struct comparison *comparison;
    struct dataset_rules rules;
    struct group *group[GROUPS_MAX];
    size_t count;
};

static struct recipe *recipe_of(const char *more)
{
    struct recipe *recipe = NULL;
    SCOPED_MEM char *text =
        mem_printf("model: {path: " MODEL "}\n"
                   "learner: {objective: pairwise_preference, groups: 16, micro_tokens: 200,\n"
                   "          optimizer: {lr: 0.1, eps: 1.0, clip_norm: 0}}\n"
                   "data: {max_prompt_tokens: 200}\n%s",
                   more);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", NULL, &recipe));
    return recipe;
}

static void read_open(struct read *r)
{
    *r = (struct read){.recipe = recipe_of("")};
    assert_ok(tokenizer_load(MODEL, &r->tokenizer));
    assert_ok(comparisons_open(r->recipe, r->tokenizer, &r->comparison));
    r->rules = (struct dataset_rules){
        .prompt_tokens = 200, .tokens = 4, .temperature = 1, .comparison = r->comparison};
}

static void read_close(struct read *r)
{
    for (size_t i = 0; i < r->count; i++)
        group_free(r->group[i]);
    comparison_free(r->comparison);
    tokenizer_free(r->tokenizer);
    recipe_free(r->recipe);
}

static void put(void *to, struct group *group)
{
    struct read *r = to;
    assert_true(r->count < GROUPS_MAX);
    r->group[r->count++] = group;
}

/* Returns how many groups the row makes. */
static uint64_t take(struct read *r, const json_t *row)
{
    struct comparisons comparisons = {&r->rules, put, r};
    uint64_t made = 0;
    assert_ok(comparisons_take(&comparisons, row, "r:1", &made));
    return made;
}

static json_t *golden(void)
{
    json_t *file;
    assert_ok(json_read_file(MODEL "/pairwise.json", 1 << 20, &file));
    return file;
}

static const json_t *shown_as(const json_t *entry, int first, int second)
{
    size_t i;
    json_t *shown;
    json_array_foreach (json_object_get(entry, "chat"), i, shown)
        if (json_integer_value(json_object_get(shown, "first")) == first &&
            json_integer_value(json_object_get(shown, "second")) == second)
            return json_object_get(shown, "ids");
    fail_msg("answers %d and %d are not in the file", first, second);
    return NULL;
}

/* Shows these answers, and prefers the label of the one shown at `better`. */
static void assert_group(const struct read *r, const struct group *group, const json_t *ids,
                         int better, double share)
{
    assert_int_equal(group->prompt_tokens, json_array_size(ids));
    for (uint32_t i = 0; i < group->prompt_tokens; i++)
        assert_int_equal(group->prompt_token[i], json_integer_value(json_array_get(ids, i)));
    assert_int_equal(group->completions, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(group->completion[i].tokens, 1);
        assert_int_equal(group->completion[i].token[0],
                         comparison_label(r->comparison, i ? !better : better));
    }
    assert_true(group_value(group, COLUMN_REWARD, 1) == 0);
    assert_near(1 / (1 + exp(-group_value(group, COLUMN_REWARD, 0))), share, 1e-15);
}

static void a_row_is_shown_in_both_orders(void **)
{
    SCOPED_JSON json_t *file = golden();
    static const double share[] = {1, 0.75, 1.0 / 3}; // of annotators
    struct read r;
    uint64_t made = 0;
    read_open(&r);
    for (size_t i = 0; i < 3; i++) {
        const json_t *entry = json_array_get(json_object_get(file, "rows"), i);
        assert_int_equal(take(&r, json_object_get(entry, "row")), 2);
        assert_group(&r, r.group[made], shown_as(entry, 0, 1), 0, share[i]);
        assert_group(&r, r.group[made + 1], shown_as(entry, 1, 0), 1, share[i]);
        made += 2;
    }
    /* Of four answers five pairs: two are equally good. */
    const json_t *ranked = json_array_get(json_object_get(file, "rows"), 3);
    assert_int_equal(take(&r, json_object_get(ranked, "row")), 10);
    assert_group(&r, r.group[made], shown_as(ranked, 0, 1), 0, 1);
    assert_group(&r, r.group[made + 5], shown_as(ranked, 2, 1), 1, 1);
    assert_int_equal(r.count, made + 10);
    read_close(&r);
}

static void a_row_that_is_too_long_is_skipped_whole(void **)
{
    SCOPED_JSON json_t *file = golden();
    struct read r;
    read_open(&r);
    const json_t *ranked = json_array_get(json_object_get(file, "rows"), 3);
    const json_t *row = json_object_get(ranked, "row");
    const size_t longest = json_array_size(shown_as(ranked, 0, 1)); // the long one and another
    r.rules.prompt_tokens = (int)longest;
    assert_int_equal(take(&r, row), 10);
    r.rules.prompt_tokens = (int)longest - 1;
    assert_int_equal(take(&r, row), 0);
    SCOPED_JSON json_t *last =
        json_pack("{s:s, s:[s, s, s], s:[i, i, i]}", "prompt", "2+2=", "completions", "4", "5",
                  " it is four, and I am sure of it", "scores", 3, 2, 1);
    assert_int_equal(take(&r, last), 0); // its first pair alone would fit
    assert_int_equal(r.count, 10);
    read_close(&r);
}

/* Labels of nobody, or none at all. */
static void labels_are_read_or_refused(void **)
{
    static const char *const bad[] = {"[]", "1", "[1, 2]", "[\"1\"]"};
    struct read r;
    read_open(&r);
    struct comparisons comparisons = {&r.rules, put, &r};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SCOPED_MEM char *text = mem_printf(
            "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\", \"labels\": %s}", bad[i]);
        SCOPED_JSON json_t *row = json_loads(text, 0, NULL);
        uint64_t made = 0;
        assert_err(ERR_INVALID, "labels", comparisons_take(&comparisons, row, "r:1", &made));
        assert_int_equal(made + r.count, 0);
    }
    read_close(&r);
}

static void keys_that_make_no_comparison_are_refused(void **)
{
    static const struct {
        const char *keys, *why;
    } cases[] = {
        {"generator: {temperature: 0.7}", "generator.temperature: 0.7; a preference model's"},
        {"learner.preference_model.labels", "labels: 'A' and 'A' are the same token"},
        {"learner.reward.clip", "learner.reward: shapes rewards"},
    };
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED(comparison) none = NULL;
    assert_ok(tokenizer_load(MODEL, &tokenizer));
    SCOPED(recipe) warm = recipe_of(cases[0].keys);
    assert_err(ERR_INVALID, cases[0].why, comparisons_open(warm, tokenizer, &none));
    SCOPED(recipe) same = NULL;
    static const char text[] = "model: {path: " MODEL "}\n"
                               "learner: {preference_model: {labels: [A, A]}}\n";
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", NULL, &same));
    assert_err(ERR_INVALID, cases[1].why, comparisons_open(same, tokenizer, &none));
    SCOPED(recipe) shaped = recipe_of("");
    shaped->learner.reward.clip = 1;
    assert_err(ERR_INVALID, cases[2].why, comparisons_open(shaped, tokenizer, &none));
}

/* ---- a step */

static err_t ignore(void *arg, uint32_t u)
{
    (void)arg, (void)u;
    return OK;
}

/* The optimizer's file after one step on all of the file's rows. */
static struct safetensors *after_step(const json_t *file, double *ret_loss)
{
    SCOPED(backend) be = tiny_backend(1);
    SCOPED_VALUE(trainees) trainees = {0};
    SCOPED(updates) updates = NULL;
    struct round_group place[GROUPS_MAX] = {0};
    struct round_report report = {0};
    struct safetensors *made;
    struct model *model;
    struct read r;
    size_t i;
    json_t *entry;
    read_open(&r);
    const struct optimizer_config optimizer = settings_optimizer(&r.recipe->learner.optimizer);
    SCOPED_MEM char *path = file_join(testing_directory(), "optimizer.safetensors");
    json_array_foreach (json_object_get(file, "rows"), i, entry)
        take(&r, json_object_get(entry, "row"));
    const double all = (double)r.count;
    SCOPED_JSON json_t *halves = json_pack("{s:s, s:s, s:s, s:[i, i]}", "prompt", "a", "chosen",
                                           "b", "rejected", "c", "labels", 0, 1);
    assert_int_equal(take(&r, halves), 2); // and trains nothing
    assert_ok(model_load(be, MODEL, &model));
    assert_ok(model_keep_kv(model, KV_F32)); // as PyTorch does
    assert_ok(trainees_add(&trainees, "policy", model, &optimizer, NULL));
    r.recipe->generator.num_generations = 2;
    const struct round round = {
        .updates = 1, .first_version = 1, .seed = 1, .groups = r.count, .group = place};
    assert_ok(updates_new(r.recipe, &trainees, &updates));
    assert_ok(updates_run(updates, &round, r.group, ignore, NULL, &report));
    assert_ok(optimizer_save(trainees_first(&trainees)->optimizer, path));
    assert_ok(safetensors_open(path, &made));
    entry = json_object_get(json_object_get(file, "step"), "comparisons");
    assert_true(report.figures.pairs == all && json_number_value(entry) == all);
    *ret_loss = report.figures.loss;
    read_close(&r);
    return made;
}

static float *values_of(const struct safetensors *in, const char *prefix, const char *name,
                        size_t *ret_count)
{
    SCOPED_MEM char *full = mem_printf("%s%s", prefix, name);
    const struct tensor_info *info = safetensors_find(in, full);
    assert_non_null(info);
    float *values = mem_array(info->count, sizeof *values);
    assert_ok(safetensors_read_f32(in, info, values));
    *ret_count = info->count;
    return values;
}

/* Every tensor by itself, relative to the norm of its change. Steps in float32 agree to 1e-6; the
 * promise is 1e-4. */
static void assert_changed(const struct safetensors *made, const struct safetensors *begin,
                           const char *name, const json_t *want, size_t stride)
{
    size_t count, i;
    json_t *sample;
    double squares = 0, apart = 0;
    SCOPED_MEM float *after = values_of(made, "master.", name, &count);
    SCOPED_MEM float *before = values_of(begin, "", name, &count);
    const double norm = json_number_value(json_object_get(want, "norm"));
    for (size_t j = 0; j < count; j++)
        squares += pow((double)after[j] - before[j], 2);
    json_array_foreach (json_object_get(want, "at"), i, sample)
        apart += pow((double)after[i * stride] - before[i * stride] - json_number_value(sample), 2);
    if (!(norm > 0 && fabs(sqrt(squares) / norm - 1) <= 1e-5 && sqrt(apart) / norm <= 1e-5))
        fail_msg("%s: the change's norm is %.9g, wanted %.9g; samples are %.1e of it apart", name,
                 sqrt(squares), norm, sqrt(apart) / norm);
}

static void a_step_is_that_of_pytorch(void **)
{
    SCOPED_JSON json_t *file = golden();
    SCOPED(safetensors) begin = NULL;
    const json_t *step = json_object_get(file, "step");
    const char *name;
    json_t *want;
    double loss;
    SCOPED(safetensors) made = after_step(file, &loss);
    assert_ok(safetensors_open_model(MODEL, &begin));
    assert_near(loss, json_number_value(json_object_get(step, "loss")), 1e-5);
    assert_int_equal(json_object_size(json_object_get(step, "change")), 20);
    json_object_foreach (json_object_get(step, "change"), name, want)
        assert_changed(made, begin, name, want,
                       (size_t)json_integer_value(json_object_get(file, "stride")));
}

TESTS(cmocka_unit_test(a_row_is_shown_in_both_orders),
      cmocka_unit_test(a_row_that_is_too_long_is_skipped_whole),
      cmocka_unit_test(labels_are_read_or_refused),
      cmocka_unit_test(keys_that_make_no_comparison_are_refused),
      cmocka_unit_test(a_step_is_that_of_pytorch))
