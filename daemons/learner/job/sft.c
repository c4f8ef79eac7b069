/* Supervised fine-tuning: an objective over demonstrations, one process, the same forward,
 * backward and optimizer as the ring's. */
#include "base/clock.h"
#include "base/cpus.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/job/demonstrations.h"
#include "learner/job/job.h"
#include "learner/round/step.h"
#include "learner/settings.h"
#include "learner/train/checkpoint.h"
#include "learner/train/load.h"
#include "model/adapter.h"
#include "model/backend_recipe.h"
#include "model/text/tokenizer.h"
#include "svc/recipe/recipe_place.h"
#include "svc/svc.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct sft {
    const struct recipe *recipe;
    const struct recipe_sft *options;
    char *output;
    struct backend *be;
    struct trainees trainees;
    struct model *model; // of the one trainee
    struct tokenizer *tokenizer;
    struct checkpoint_tokenizer files; // of the model's directory
    struct demonstrations rows;
    struct step *step;
    int64_t updates;
    int longest; // tokens of a row, at most
};

static void sft_done(struct sft *sft)
{
    demonstrations_done(&sft->rows);
    step_free(sft->step);
    trainees_done(&sft->trainees);
    tokenizer_free(sft->tokenizer);
    backend_free(sft->be);
    mem_free(sft->output);
}

/* ---- training */

/* Tokens in the loss weigh 1, the others of a prompt prompt_weight. */
static double weight_of(const struct sft *sft, const struct demonstration *row, int k)
{
    return row->loss[k] ? 1 : k < row->prompt_tokens ? sft->options->prompt_weight : 0;
}

/* Tokens before the first that counts are context alone: nothing is computed for them. */
static struct sequence sequence_of(const struct sft *sft, const struct demonstration *row)
{
    const bool learn_prompt = sft->options->prompt_weight > 0 && row->prompt_tokens;
    return (struct sequence){.prompt = row->token,
                             .prompt_tokens = row->first,
                             .token = row->token + row->first,
                             .tokens = row->tokens - row->first,
                             .context = learn_prompt ? 1 : row->first};
}

/* Without the column all weigh 1. */
static void weigh(const struct sft *sft, const struct demonstration *const *row,
                  const struct sequence *sequence, struct columns *columns)
{
    bool equal = true;
    for (size_t i = 0; i < columns->sequences && equal; i++)
        for (int k = sequence[i].context; k < row[i]->tokens; k++)
            equal = equal && weight_of(sft, row[i], k) == 1;
    double *weight = equal ? NULL : columns_add(columns, COLUMN_WEIGHT);
    for (size_t i = 0; i < columns->sequences && weight; i++)
        for (int k = sequence[i].context; k < row[i]->tokens; k++)
            *weight++ = weight_of(sft, row[i], k);
}

static err_t one_update(struct sft *sft, int64_t update, struct step_result *ret)
{
    const size_t batch = (size_t)sft->options->batch;
    SCOPED_MEM struct sequence *sequence = mem_array(batch, sizeof *sequence);
    SCOPED_MEM const struct demonstration **row = mem_array(batch, sizeof *row);
    SCOPED_MEM size_t *targets = mem_array(batch, sizeof *targets);
    for (size_t i = 0; i < batch; i++) {
        row[i] = demonstrations_at(&sft->rows, (uint64_t)update * batch + i);
        sequence[i] = sequence_of(sft, row[i]);
        targets[i] = (size_t)sequence_targets(&sequence[i]);
    }
    SCOPED(columns) columns = columns_new(batch, targets);
    weigh(sft, row, sequence, columns);
    const struct step_batch step = {
        .sequences = batch, .sequence = sequence, .columns = columns, .inverse_temperature = 1};
    return step_run(sft->step, &step, ret);
}

static void show(const struct sft *sft, int64_t update, const struct step_result *r, double begun,
                 double tokens)
{
    double seconds = clock_s() - begun,
           left = seconds / (double)(update + 1) * (double)(sft->updates - update - 1);
    printf("step %" PRId64 "/%" PRId64
           "  loss %.4f  lr %.2e  grad norm %.2f  %.0f tok/s  %.0f s left\n",
           update + 1, sft->updates, r->figures.loss, r->lr, r->grad_norm, tokens / seconds, left);
    fflush(stdout);
}

static err_t train(struct sft *sft)
{
    enum { SHOW_EVERY_MS = 5000 };
    double begun = clock_s(), tokens = 0;
    int64_t shown = clock_ms();
    for (int64_t update = 0; update < sft->updates; update++) {
        struct step_result result;
        TRY(err_wrap(one_update(sft, update, &result), "step %" PRId64, update + 1));
        tokens += result.targets;
        if (clock_ms() - shown >= SHOW_EVERY_MS || update == 0 || update + 1 == sft->updates) {
            shown = clock_ms();
            show(sft, update, &result, begun, tokens);
        }
    }
    return OK;
}

/* ---- the job */

static err_t open_policy(struct sft *sft)
{
    const struct optimizer_config config = load_optimizer(sft->be, &sft->options->optimizer);
    SCOPED(model) model = NULL;
    TRY(model_load(sft->be, sft->options->model, &model));
    TRY(model_keep_kv(model, (enum kv_format)sft->recipe->model.kv));
    const char *masters = sft->options->model, *from = sft->recipe->lora.path;
    if (sft->options->lora) {
        masters = *from ? from : NULL;
        TRY(err_wrap(
            adapter_begin(model, sft->options->model, sft->recipe, (uint64_t)sft->options->seed),
            "lora"));
    }
    TRY(trainees_add(&sft->trainees, "policy", STEAL(model), &config, masters));
    sft->model = trainees_first(&sft->trainees)->model;
    return OK;
}

static err_t read_rows(struct sft *sft)
{
    const int end = tokenizer_end(sft->tokenizer, &sft->model->config);
    SCOPED_VALUE(row_chat) chat = row_chat_open(sft->options->model);
    struct row_rules rules = row_rules_of(sft->recipe, sft->tokenizer, &chat, end);
    rules.prompt_loss = !sft->options->completion_only_loss;
    rules.assistant_only = sft->options->assistant_only_loss;
    return demonstrations_read(sft->recipe, &rules, sft->longest, &sft->rows);
}

static err_t open_inputs(struct sft *sft)
{
    const char *directory = sft->options->model;
    TRY(recipe_require(sft->recipe, "sft.model"));
    TRY(recipe_require(sft->recipe, "sft.data"));
    TRY(err_wrap(cpus_bind(sft->recipe->learner.cpus), "learner.cpus"));
    struct backend_config backend = backend_of_learner(sft->recipe);
    backend.threads = cpus_threads(sft->options->threads);
    backend.told = svc_told_backend;
    TRY(err_wrap(backend_open(NULL, &backend, &sft->be), "learner.backend"));
    TRY(open_policy(sft));
    TRY(tokenizer_load(directory, &sft->tokenizer));
    sft->files = checkpoint_tokenizer(directory);
    const struct model_config *config = &sft->model->config;
    TRY(err_wrap(tokenizer_check(sft->tokenizer, config), "sft.model '%s'", directory));
    if (!config->eos_count)
        return err_new(
            ERR_INVALID,
            "sft.model '%s': config.json names no eos_token_id: completions could not end",
            directory);
    sft->longest = sft->options->max_tokens < config->max_positions ? (int)sft->options->max_tokens
                                                                    : config->max_positions;
    return read_rows(sft);
}

/* Each demonstration is an answer to imitate: an objective that compares answers has none. */
static err_t choose_objective(const struct recipe *recipe, const struct objective **ret,
                              struct objective_config *ret_settings)
{
    const struct objective *objective = objective_find(recipe->sft.objective);
    if (!objective || objective->row.data != DATA_DEMONSTRATIONS)
        return recipe_wrong(recipe, "sft.objective",
                            "%s trains on other data than demonstrations; rlhfctl objectives list "
                            "says which",
                            recipe->sft.objective);
    *ret = objective;
    *ret_settings = objective->row.defaults;
    ret_settings->ift.gamma = recipe->learner.ift.gamma;
    ret_settings->ift.detached = recipe->learner.ift.detached;
    return OK;
}

static err_t open_step(struct sft *sft)
{
    const struct recipe_sft *o = sft->options;
    const struct objective *objective = NULL;
    struct objective_config settings;
    TRY(choose_objective(sft->recipe, &objective, &settings));
    const int64_t by_data =
        (int64_t)((sft->rows.plan.places * (uint64_t)o->epochs + (uint64_t)o->batch - 1) /
                  (uint64_t)o->batch);
    sft->updates = !o->steps || (o->epochs && by_data < o->steps) ? by_data : o->steps;
    struct step_config step = {.objective = objective,
                               .settings = settings,
                               .schedule = settings_schedule(&o->optimizer, sft->updates),
                               .micro_tokens = (int)sft->recipe->learner.micro_tokens,
                               .checkpointing = sft->recipe->learner.gradient_checkpointing,
                               .longest = sft->longest};
    return step_new(trainees_first(&sft->trainees), &step, &sft->step);
}

static bool is_empty(const char *directory)
{
    SCOPED_VALUE(file_names) names = {0};
    err_t failed = file_names(directory, &names);
    const bool empty = !err_failed(failed) && !names.count;
    err_free(failed);
    return empty;
}

/* The new model replaces whatever stands at the output's path: that may be a model, and nothing
 * else. */
static err_t choose_output(struct sft *sft)
{
    const char *given = *sft->options->output ? sft->options->output : sft->recipe->model.path;
    if (!*given)
        return err_new(ERR_INVALID, "%s: neither sft.output nor model.path says where to write",
                       sft->recipe->file);
    char *output = sft->output = mem_string(given);
    for (size_t len = strlen(output); len > 1 && output[len - 1] == '/';)
        output[--len] = 0; // the new model is written beside it, not in it
    const char *slash = strrchr(output, '/'), *last = slash ? slash + 1 : output;
    SCOPED_MEM char *config = file_join(output, "config.json");
    if (*last && strcmp(last, ".") != 0 && strcmp(last, "..") != 0 &&
        (!file_exists(output) || file_exists(config) || adapter_is(output) || is_empty(output)))
        return OK;
    return err_new(ERR_INVALID,
                   "sft.output '%s' is a directory that holds no model: it would be removed; give "
                   "a new one, or that of a model",
                   output);
}

/* The model that stood there is moved aside first and back if the new one cannot take its place. */
static err_t exchange(const char *aside, const char *output)
{
    SCOPED_MEM char *before = mem_printf("%s.before", output);
    TRY(file_remove_tree(before));
    if (env()->rename(output, before) && errno != ENOENT)
        return err_errno(errno, "cannot rename '%s' to '%s'", output, before);
    if (env()->rename(aside, output)) {
        err_t failed = err_errno(errno, "cannot rename '%s' to '%s'", aside, output);
        env()->rename(before, output);
        return failed;
    }
    TRY(file_sync_parent(output));
    return file_remove_tree(before);
}

/* The output directory is the old model or the new one. A process that dies between the two renames
 * leaves the old one at OUTPUT.before. */
static err_t write_output(const struct sft *sft)
{
    const char *output = sft->output;
    SCOPED_MEM char *aside = mem_printf("%s.writing", output);
    TRY(file_remove_tree(aside));
    TRY(model_save(model_trained(sft->model), aside));
    TRY(checkpoint_copy_tokenizer(&sft->files, aside));
    TRY(file_sync_directory(aside));
    TRY(exchange(aside, output));
    printf("wrote %s\n", output);
    return OK;
}

err_t job_sft(const struct job_options *options, const struct recipe *recipe)
{
    (void)options;
    SCOPED_VALUE(sft) sft = {.recipe = recipe, .options = &recipe->sft};
    TRY(choose_output(&sft));
    TRY(open_inputs(&sft));
    TRY(open_step(&sft));
    printf("%s%s: %" PRIu64 " rows", recipe->sft.data.at[0].path,
           recipe->sft.data.count > 1 ? " and others" : "", sft.rows.count);
    if (sft.rows.skipped)
        printf(" (%" PRIu64 " more are too long, or have nothing to learn)", sft.rows.skipped);
    printf("\n");
    TRY(train(&sft));
    return write_output(&sft);
}
