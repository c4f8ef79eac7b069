/* eval: a model's completions of held-out prompts, their scores, their distance from the reference
 * model, and how likely the answers are that people gave. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/make/measure.h"
#include "ctl/make/scoring.h"
#include "ctl/words/choose.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct options {
    struct choose_flags model;
    const char *data, *reference, *prompts, *temperature, *out;
    bool json;
};

struct eval {
    const struct recipe *recipe;
    const char *data, *reference; // reference NULL: none
    double temperature;
    long prompts;
    struct choice choice;
    struct prompt_set set;
    struct collected collected;
    struct decoder_options options;
    struct decoder *decoder;
    struct score_figures scores;
    struct distance distance; // with a reference
    size_t distance_tokens;
    double likelihood; // sum over the demonstrations' tokens, nats
    size_t rows, rows_skipped, row_tokens;
    double seconds;
};

static void eval_done(struct eval *e)
{
    score_figures_done(&e->scores);
    decoder_free(e->decoder);
    collected_done(&e->collected);
    prompt_set_done(&e->set);
    choice_done(&e->choice);
}

/* ---- what is asked */

/* The recipe's own reference, or where training began; the latter only where it can be compared at
 * all. */
static err_t choose_reference(struct eval *e, const char *flag)
{
    const struct recipe *recipe = e->recipe;
    const int tokens = (int)(e->options.max_prompt_tokens + e->options.max_tokens);
    bool frozen = recipe_has_reference(recipe);
    if (flag && strcmp(flag, "none") == 0)
        return OK;
    e->reference = flag                                         ? flag
                   : frozen && *recipe->rewarder.reference_path ? recipe->rewarder.reference_path
                                                                : recipe->model.path;
    if (!*e->reference) {
        e->reference = NULL;
        return OK;
    }
    err_t failed = likelihood_comparable(e->choice.directory, e->reference, tokens);
    if (flag || frozen || !err_failed(failed))
        return err_wrap(failed, "%s", flag ? "--reference" : "rewarder.reference");
    SCOPED_MEM char *why = printable_text(err_message(failed), "");
    fprintf(stderr, "no distance from model.path: %s\n", why);
    err_free(failed);
    e->reference = NULL;
    return OK;
}

static err_t read_options(struct eval *e, const struct options *o)
{
    const struct recipe *recipe = e->recipe;
    e->temperature = recipe->eval.temperature;
    e->prompts = (long)recipe->eval.prompts;
    e->data = o->data ? o->data : recipe->data.eval;
    if (o->prompts)
        TRY(flag_int("--prompts", o->prompts, 1, 10000000, &e->prompts));
    if (o->temperature)
        TRY(flag_number("--temperature", o->temperature, 0, 100, &e->temperature));
    if (!o->data)
        TRY(recipe_require(recipe, "data.eval"));
    TRY(choose_model(recipe, &o->model, &e->choice));
    e->options = complete_options(recipe, e->choice.directory, e->temperature, 1);
    return choose_reference(e, o->reference);
}

/* ---- measuring */

static err_t measure_distance(struct eval *e)
{
    SCOPED_VALUE(texts) texts = {0};
    SCOPED(model) reference = NULL;
    struct model *policy = decoder_model(e->decoder);
    int micro = (int)e->recipe->learner.micro_tokens;
    float inverse = sampling_inverse(&e->options.sampling);
    TRY(model_load_compact(policy->be, e->reference, &reference));
    reference->kv = policy->kv;
    TRY(texts_completions(e->decoder, &e->collected, &texts));
    SCOPED_MEM float *ours = mem_array(texts.targets, sizeof *ours);
    SCOPED_MEM float *theirs = mem_array(texts.targets, sizeof *theirs);
    SCOPED_MEM double *each = mem_array(texts.count, sizeof *each);
    TRY(texts_logp(&texts, policy, micro, inverse, "completions under the policy", ours));
    TRY(texts_logp(&texts, reference, micro, inverse, "completions under the reference", theirs));
    e->distance = texts_distance(&texts, ours, theirs, each);
    e->distance_tokens = texts.targets;
    for (size_t i = 0; i < texts.count; i++)
        json_object_set_new(e->collected.line[texts.line[i]], "kl", json_real(each[i]));
    return OK;
}

static err_t measure_likelihood(struct eval *e)
{
    SCOPED_VALUE(texts) texts = {0};
    TRY(texts_demonstrations(e->decoder, &e->set, &texts));
    SCOPED_MEM float *logp = mem_array(texts.targets, sizeof *logp);
    TRY(texts_logp(&texts, decoder_model(e->decoder), (int)e->recipe->learner.micro_tokens, 1.0f,
                   "demonstrations", logp));
    size_t at = 0;
    for (size_t i = 0; i < texts.count; i++) {
        double sum = 0;
        for (int t = 0; t < texts.at[i].tokens; t++)
            sum += (double)logp[at++];
        e->likelihood += sum;
        json_object_set_new(e->collected.line[texts.line[i]], "demonstration_logp", json_real(sum));
    }
    e->rows = texts.count;
    e->rows_skipped = texts.skipped;
    e->row_tokens = texts.targets;
    return OK;
}

static err_t measure(struct eval *e, char **argv)
{
    double begun = clock_s();
    TRY(prompt_set_read(e->data, (uint64_t)e->prompts, &e->set));
    TRY(decoder_open(&e->options, &e->decoder));
    TRY(complete(e->decoder, &e->set, &e->collected));
    if (e->reference)
        TRY(err_wrap(measure_distance(e), "reference '%s'", e->reference));
    TRY(measure_likelihood(e));
    if (e->recipe->rewarder.scorers.count)
        TRY(score_lines(e->recipe, argv, &e->collected));
    score_figures(e->recipe, &e->collected, &e->scores);
    e->seconds = clock_s() - begun;
    return OK;
}

/* ---- saying it */

static const char *scorer_name(const struct eval *e, size_t s)
{
    const struct recipe_scorer *scorer = &e->recipe->rewarder.scorers.at[s];
    return *scorer->name ? scorer->name : scorer->kind;
}

static void print_text(const struct eval *e)
{
    const struct score_figures *s = &e->scores;
    printf("model %s  prompts %zu  temperature %g", e->choice.directory, e->set.count,
           e->temperature);
    if (e->choice.version >= 0)
        printf("  version %" PRId64, e->choice.version);
    if (e->set.skipped)
        printf("  prompts skipped %zu", e->set.skipped);
    printf("\n");
    if (s->scorers)
        printf("reward %.4f (std %.4f)  success %.4f  ", s->reward, s->reward_std, s->success);
    printf("tokens %.1f  ended %.3f  %.1f s\n", s->tokens, s->ended, e->seconds);
    for (size_t i = 0; i < s->scorers; i++)
        printf("scorer %s %.4f  success %.4f\n", scorer_name(e, i), s->score[i], s->reached[i]);
    if (e->reference)
        printf(
            "kl %.4f nats a completion (k1, standard error %.4f)  %.5f a token (k3)  reference %s%s\n",
            e->distance.k1, e->distance.k1_error, e->distance.k3, e->reference,
            e->temperature > 0 ? "" : "  (of the likeliest texts, not a mean over samples)");
    if (e->rows)
        printf("log-likelihood %.5f nats a token  rows %zu  tokens %zu  column %s\n",
               e->likelihood / (double)e->row_tokens, e->rows, e->row_tokens,
               e->recipe->data.completion_column);
    if (e->rows && e->rows_skipped)
        printf("rows skipped %zu: without the column, or too long\n", e->rows_skipped);
}

/* null where something was not measured, here and below. */
static json_t *scored(const struct eval *e, double figure)
{
    return e->scores.scorers ? json_real(figure) : json_null();
}

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *scorers_json(const struct eval *e)
{
    json_t *all = json_array();
    for (size_t i = 0; i < e->scores.scorers; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:f, s:o, s:o}", "name", scorer_name(e, i),
                                             "kind", e->recipe->rewarder.scorers.at[i].kind,
                                             "weight", e->recipe->rewarder.scorers.at[i].weight,
                                             "mean", number_or_null(e->scores.score[i]), "success",
                                             number_or_null(e->scores.reached[i])));
    return all;
}

static json_t *distance_json(const struct eval *e)
{
    if (!e->reference)
        return json_null();
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:I}", "reference", e->reference, "temperature",
                     e->temperature > 0 ? e->temperature : 1, "k1_per_completion", e->distance.k1,
                     "k1_standard_error", e->distance.k1_error, "k3_per_token", e->distance.k3,
                     "tokens", (json_int_t)e->distance_tokens);
}

static json_t *likelihood_json(const struct eval *e)
{
    if (!e->rows)
        return json_null();
    return json_pack("{s:s, s:f, s:f, s:I, s:I, s:I}", "column", e->recipe->data.completion_column,
                     "nats_per_token", e->likelihood / (double)e->row_tokens, "nats_per_row",
                     e->likelihood / (double)e->rows, "rows", (json_int_t)e->rows, "tokens",
                     (json_int_t)e->row_tokens, "rows_skipped", (json_int_t)e->rows_skipped);
}

static void print_json(const struct eval *e)
{
    const struct score_figures *s = &e->scores;
    SCOPED_JSON json_t *json = json_pack(
        "{s:s, s:o, s:s, s:I, s:I, s:f, s:o, s:o, s:o, s:f, s:f, s:o, s:o, s:o, s:f}", "model",
        e->choice.directory, "version",
        e->choice.version < 0 ? json_null() : json_integer(e->choice.version), "data", e->data,
        "prompts", (json_int_t)e->set.count, "prompts_skipped", (json_int_t)e->set.skipped,
        "temperature", e->temperature, "reward", scored(e, s->reward), "reward_std",
        scored(e, s->reward_std), "success", scored(e, s->success), "tokens", s->tokens, "ended",
        s->ended, "scorers", scorers_json(e), "kl", distance_json(e), "log_likelihood",
        likelihood_json(e), "seconds", e->seconds);
    SCOPED_MEM char *text = json_to_text(json);
    puts(text);
}

static err_t write_lines(const struct eval *e, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return err_errno(errno, "cannot create '%s'", path);
    err_t failed = collected_write(file, &e->collected);
    fclose(file);
    return failed;
}

err_t command_eval(int argc, char **argv)
{
    struct options o = {0};
    struct recipe_flag flags[] = {
        {"version", "N", "the run's weights after N updates, from RUN/checkpoints/vN",
         .text = &o.model.version},
        {"checkpoint", "DIR", "a checkpoint", .text = &o.model.checkpoint},
        {"model", "DIR", "a model directory; else the run's newest checkpoint, else model.path",
         .text = &o.model.model},
        {"data", "FILE", "JSON lines with prompts and answers; else data.eval", .text = &o.data},
        {"prompts", "N", "rows to use, from its beginning; else eval.prompts", .text = &o.prompts},
        {"temperature", "T", "sampling temperature, 0: the likeliest token; else eval.temperature",
         .text = &o.temperature},
        {"reference", "DIR",
         "reference model of the KL; else the recipe's, else model.path; none: no KL",
         .text = &o.reference},
        {"json", NULL, "print one JSON object", .flag = &o.json},
        {"out", "FILE", "write every completion with its scores as JSON lines", .text = &o.out},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl eval",
        .purpose =
            "Completes held-out prompts with the settings of generator.*. Shows the scores by rewarder.scorers,\n"
            "the distance from the reference model (KL from sampled tokens: k1 a completion, k3 a token), and the\n"
            "log-likelihood of the answers in data.completion_column.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    SCOPED_VALUE(eval) eval = {.recipe = recipe};
    eval.collected.set = &eval.set;
    eval.collected.completions = 1;
    TRY(read_options(&eval, &o));
    TRY(measure(&eval, argv));
    if (o.json)
        print_json(&eval);
    else
        print_text(&eval);
    return o.out ? write_lines(&eval, o.out) : OK;
}
