/* A pairwise preference model: a language model that is shown two answers of a prompt and says
 * which label it expects, that of the first or of the second. Such a model reads texts, so its
 * tokenizer may be another than the policy's. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/backend_recipe.h"
#include "model/device_memory.h"
#include "model/files/fit.h"
#include "model/odds.h"
#include "model/text/rows/comparison.h"
#include "rewarder/exchange.h"
#include "rewarder/scorer.h"
#include "svc/cell.h"
#include "svc/metrics.h"
#include "svc/recipe/recipe.h"
#include "svc/svc.h"
#include <math.h>
#include <string.h>

enum { TEMPLATE_MOST = 64 << 10, PAIRS_AT_ONCE = 32 };

enum compare { COMPARE_PAIRS, COMPARE_RING, COMPARE_COLUMN }; // in the order of their words

struct preference_keys {
    char *path, *template, *column;
    struct recipe_texts labels;
    int format, compare;
    bool bos;
    int64_t opponents, max_tokens;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct preference_keys, path, path, "",
              "absolute name of a Hugging Face directory of a language model, or of an adapter "
              "beside it; its tokenizer may be its own",
              .required = true),
    STAGE_KEY(struct preference_keys, text, template, "",
              "as learner.preference_model.template, with which it was trained",
              .max = TEMPLATE_MOST),
    STAGE_KEY(struct preference_keys, choice, format, "auto", "as learner.preference_model.format",
              .words = COMPARISON_FORMATS),
    STAGE_KEY(struct preference_keys, texts, labels, "[]", "as learner.preference_model.labels",
              .min = 1, .max = 64),
    STAGE_KEY(struct preference_keys, flag, bos, "true", "as learner.preference_model.bos"),
    STAGE_KEY(struct preference_keys, choice, compare, "pairs",
              "pairs: each completion with each of its group; ring: with `opponents` of them; "
              "column: with the row's column",
              .words = "pairs|ring|column"),
    STAGE_KEY(struct preference_keys, count, opponents, "2",
              "of ring: how many each completion meets, half of them before it and half behind; an "
              "odd number counts as one more",
              .min = 1, .max = 1024),
    STAGE_KEY(struct preference_keys, text, column, "",
              "of the row, for compare: column; and of pairs and ring for groups of one "
              "completion, as in evaluation",
              .max = 256),
    STAGE_KEY(struct preference_keys, count, max_tokens, "4096",
              "of a prompt with two answers; a longer one is no comparison, and its group leaves",
              .min = 16, .max = 1 << 20),
};

struct preference_model {
    const struct preference_keys *keys;
    struct backend *be;
    struct model *model;
    struct odds *odds;
    struct tokenizer *tokenizer;
    struct comparison *comparison;
    int longest; // tokens of a comparison
};

static struct metric pairs = METRIC_COUNTER("rlhfd_preference_model_pairs_total",
                                            "pairs that a preference model saw in both orders");
static struct metric flips = METRIC_COUNTER("rlhfd_preference_model_flips_total",
                                            "pairs of those whose winner changed with the order");
static struct metric seconds =
    METRIC_HISTOGRAM("rlhfd_preference_model_seconds",
                     "comparisons of one group by a preference model", 0.01, 0.1, 1, 10, 100);
static struct metric *const rows[] = {&pairs, &flips, &seconds};

static void preference_model_free(struct preference_model *pm)
{
    if (!pm)
        return;
    odds_free(pm->odds);
    model_free(pm->model);
    backend_free(pm->be);
    comparison_free(pm->comparison);
    tokenizer_free(pm->tokenizer);
    mem_free(pm);
}
DEFINE_SCOPED(preference_model)

/* ---- opening */

static err_t open_comparison(const struct recipe *recipe, const char *base,
                             struct preference_model *pm)
{
    const struct preference_keys *k = pm->keys;
    const struct comparison_config config = {.template = k->template,
                                             .format = (enum comparison_format)k->format,
                                             .labels = &k->labels,
                                             .bos = k->bos,
                                             .names = {.prompt = recipe->data.prompt_column,
                                                       .completion = recipe->data.completion_column,
                                                       .text = recipe->data.text_column},
                                             .now_s = recipe->data.now};
    TRY(err_wrap(tokenizer_load(base, &pm->tokenizer), "path"));
    TRY(err_wrap(tokenizer_check(pm->tokenizer, &pm->model->config), "path"));
    return comparison_open(base, pm->tokenizer, &config, &pm->comparison);
}

static err_t load(const struct recipe *recipe, const char *base, struct preference_model *pm)
{
    struct backend_config config = backend_of_rewarder(recipe);
    config.told = svc_told_backend;
    TRY(err_wrap(backend_open(NULL, &config, &pm->be), "rewarder.backend"));
    struct model_config shapes;
    struct device_memory memory;
    TRY(err_wrap(config_read(base, &shapes), "path"));
    device_memory_of_odds(&shapes, pm->keys->max_tokens, &memory);
    TRY(device_memory_fits(pm->be, &memory, "a preference model", NULL));
    TRY(fit_model(pm->be, base, sizeof(bf16), "a preference model's weights"));
    TRY(err_wrap(adapter_open(pm->be, pm->keys->path, true, &pm->model), "path"));
    pm->longest = odds_longest(&pm->model->config, pm->keys->max_tokens);
    return odds_new(pm->model, SCORES_GROUP_TOKENS, pm->longest, &pm->odds);
}

static err_t preference_open(const struct stage_context *context, void **ret_state)
{
    const struct preference_keys *k = context->keys;
    SCOPED(preference_model) pm = mem_new(sizeof *pm);
    SCOPED_MEM char *base = NULL;
    pm->keys = k;
    if (*k->path != '/')
        return err_new(ERR_INVALID, "path: '%s' is not absolute", k->path);
    if (k->compare == COMPARE_COLUMN && !*k->column)
        return err_new(ERR_INVALID, "compare: column needs column");
    metrics_register(rows, sizeof rows / sizeof *rows);
    TRY(err_wrap(adapter_under(k->path, &base), "path"));
    TRY(load(context->recipe, base, pm));
    TRY(open_comparison(context->recipe, base, pm));
    log_info("preference model", "directory=\"%s\" parameters=%zu", k->path,
             pm->model->params->layout->parameters);
    *ret_state = STEAL(pm);
    return OK;
}

/* ---- a group */

/* Two answers by their numbers; that of the row's column is one behind the completions'. */
struct pair {
    uint32_t first, second;
    double wins; // probability that the first is the better one
};

struct match {
    struct preference_model *pm;
    struct stage_call *call;
    json_t *messages, *answers; // prompt; (completions, and the column's) strings
    struct pair *pair;
    size_t pairs;
};

static void match_done(struct match *match)
{
    json_decref(match->messages);
    json_decref(match->answers);
    mem_free(match->pair);
}

static void add_pair(struct match *match, uint32_t first, uint32_t second)
{
    match->pair[match->pairs++] = (struct pair){first, second, 0.5};
}

/* Each with those that come 1 to `strides` places behind it. Half of a ring meets the other half
 * once. */
static void add_ring(struct match *match, uint32_t all, uint32_t strides)
{
    for (uint32_t stride = 1; stride <= strides; stride++)
        for (uint32_t i = 0; i < (2 * stride == all ? stride : all); i++)
            add_pair(match, i, (i + stride) % all);
}

static err_t add_pairs(struct match *match, uint32_t all)
{
    const struct preference_keys *k = match->pm->keys;
    const uint32_t half = ((uint32_t)k->opponents + 1) / 2;
    if (k->compare != COMPARE_COLUMN && all == 1 && !*k->column)
        return err_new(ERR_INVALID, "a group of 1 completion has no pairs, and there is no column");
    match->pair = mem_array((size_t)all * (all / 2 + 1), sizeof *match->pair);
    if (k->compare == COMPARE_COLUMN || all == 1)
        for (uint32_t i = 0; i < all; i++)
            add_pair(match, i, all);
    else
        add_ring(match, all, k->compare == COMPARE_RING && half < all / 2 ? half : all / 2);
    return OK;
}

static err_t gather(struct match *match)
{
    const struct group *group = match->call->group;
    const char *column = match->pm->keys->column;
    match->answers = json_array();
    TRY(comparison_prompt(match->pm->comparison, match->call->row, "row", &match->messages));
    for (uint32_t i = 0; i < group->completions; i++) {
        json_t *text;
        TRY(exchange_text(&group->completion[i], i, &text));
        json_array_append_new(match->answers, text);
    }
    if (*column) {
        struct text_slice text;
        TRY(scorer_column(match->call->row, column, &text));
        json_array_append_new(match->answers, json_stringn(text.data, text.len));
    }
    return add_pairs(match, group->completions);
}

static err_t look(void *context, size_t done)
{
    const struct stage_call *call = context;
    (void)done;
    if (call->stop && cell_get(call->stop) != 0)
        return err_new(ERR_DEADLINE, "stopped between comparisons");
    if (call->deadline_s > 0 && clock_s() > call->deadline_s)
        return err_new(ERR_DEADLINE, "late between comparisons");
    return OK;
}

/* Tokens of some pairs, each in both orders. */
struct shown {
    struct odds_prompt prompt[2 * PAIRS_AT_ONCE];
    size_t count;
};

static void shown_done(struct shown *shown)
{
    for (size_t i = 0; i < shown->count; i++)
        mem_free((void *)shown->prompt[i].token);
}

static err_t show(const struct match *match, uint32_t first, uint32_t second, struct shown *shown)
{
    SCOPED_MEM char *name = mem_printf("completions %u and %u", first, second);
    int32_t *id;
    int count;
    TRY(comparison_encode(match->pm->comparison, match->messages,
                          json_array_get(match->answers, first),
                          json_array_get(match->answers, second), name, &id, &count));
    shown->prompt[shown->count++] = (struct odds_prompt){id, count};
    if (count > match->pm->longest)
        return err_new(ERR_RANGE, "%s are %d tokens with their prompt; at most %d fit", name, count,
                       match->pm->longest);
    return OK;
}

/* Two equal texts are a tie, whatever a model says of places. */
static bool are_equal(const struct match *match, const struct pair *pair)
{
    return json_equal(json_array_get(match->answers, pair->first),
                      json_array_get(match->answers, pair->second));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* As many of the pairs from `pair` on as go at once; *ret_taken: how many. */
static err_t compare_some(const struct match *match, struct pair *pair, size_t count,
                          size_t *ret_taken)
{
    struct preference_model *pm = match->pm;
    const int32_t label[] = {comparison_label(pm->comparison, 0),
                             comparison_label(pm->comparison, 1)};
    const struct scores_watch watch = {look, match->call};
    struct pair *asked[PAIRS_AT_ONCE];
    double log_odds[2 * PAIRS_AT_ONCE];
    SCOPED_VALUE(shown) shown = {0};
    size_t n = 0, taken = 0;
    for (; taken < count && n < PAIRS_AT_ONCE; taken++) {
        if (are_equal(match, &pair[taken]))
            continue;
        TRY(show(match, pair[taken].first, pair[taken].second, &shown));
        TRY(show(match, pair[taken].second, pair[taken].first, &shown));
        asked[n++] = &pair[taken];
    }
    TRY(odds_run(pm->odds, shown.prompt, shown.count, label, &watch, log_odds));
    for (size_t i = 0; i < n; i++) {
        asked[i]->wins = (sigmoid(log_odds[2 * i]) + sigmoid(-log_odds[2 * i + 1])) / 2;
        metric_add(&flips, (log_odds[2 * i] > 0) == (log_odds[2 * i + 1] > 0));
    }
    metric_add(&pairs, (double)n);
    *ret_taken = taken;
    return OK;
}

/* Means over opponents. */
static void put_scores(const struct match *match)
{
    const uint32_t all = match->call->group->completions;
    double *score = group_add(match->call->added, COLUMN_SCORES, 1);
    SCOPED_MEM double *met = mem_array(all, sizeof *met);
    for (size_t i = 0; i < match->pairs; i++) {
        const struct pair *pair = &match->pair[i];
        score[pair->first] += pair->wins;
        met[pair->first]++;
        if (pair->second == all)
            continue;
        score[pair->second] += 1 - pair->wins;
        met[pair->second]++;
    }
    for (uint32_t i = 0; i < all; i++)
        score[i] /= met[i];
}

static err_t score_group(struct preference_model *pm, struct stage_call *call)
{
    SCOPED_VALUE(match) match = {.pm = pm, .call = call};
    const double begun_s = clock_s();
    TRY(gather(&match));
    for (size_t at = 0, taken; at < match.pairs; at += taken)
        TRY(compare_some(&match, match.pair + at, match.pairs - at, &taken));
    put_scores(&match);
    metric_observe(&seconds, clock_s() - begun_s);
    return OK;
}

static void preference_start(void *state, struct stage_call *call)
{
    call->done(call, score_group(state, call));
}

static void preference_close(void *state)
{
    preference_model_free(state);
}

const struct stage_class scorer_preference_model = {
    .name = "preference_model",
    .help = "The probability that the completion beats an opponent, as a pairwise preference model "
            "says that is shown both in both orders; mean over opponents.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct preference_keys, keys),
    .thread = STAGE_ALONE,
    .forwards = true,
    .fills = STAGE_SCORES,
    .deadline_ms = 600000,
    .open = preference_open,
    .start = preference_start,
    .close = preference_close,
};
