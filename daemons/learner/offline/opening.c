/* The start of an offline run: models, rows, and where it stands. */
#include "base/cpus.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/offline/begun.h"
#include "learner/offline/comparisons.h"
#include "learner/offline/inner.h"
#include "learner/offline/reward_run.h"
#include "learner/settings.h"
#include "learner/train/load.h"
#include "model/backend_recipe.h"
#include "svc/recipe/recipe_place.h"
#include "svc/svc.h"
#include <inttypes.h>

/* ---- what can be trained so */

/* Whether a row lacks a column that generators and rewarders fill: it has rewards, and the
 * reference is asked for. A ratio of pairs is to the first weights of the round here. */
static bool lacks_columns(const struct objective *objective,
                          const struct objective_config *settings)
{
    const bool ratio = objective->row.unit == OBJECTIVE_PAIR && settings->gate.gate != GATE_NONE;
    uint64_t needs = objective_needs(objective, settings) &
                     ~(COLUMN_BIT(COLUMN_REWARD) | NEEDS_OF_KL | (ratio ? NEEDS_OF_RATIO : 0));
    for (unsigned id = 0; id < COLUMNS; id++)
        if (needs & COLUMN_BIT(id) && column_row(id)->origin != ORIGIN_LEARNER)
            return true;
    return false;
}

static err_t check_objective(const struct recipe *recipe, bool reward)
{
    const struct objective *objective;
    struct objective_config settings;
    TRY(settings_objective(recipe, &objective, &settings));
    const struct objective_row *row = &objective->row;
    if (reward || objective_is_judge(row))
        return reward_check(recipe, row, reward);
    const bool imitates = row->data == DATA_DEMONSTRATIONS;
    if (imitates || objective_has_critic(row) || lacks_columns(objective, &settings))
        return recipe_wrong(recipe, "learner.objective",
                            "%s trains %s; rlhfctl train takes objectives on preferences, labels "
                            "and scores of completions that anybody wrote",
                            row->name,
                            imitates ? "demonstrations (rlhfctl sft)"
                                     : "completions that generators draw (rlhfctl up)");
    if (recipe->train.chunks != 1 && recipe->learner.reference.kind != RECIPE_REFERENCE_NONE)
        return recipe_wrong(recipe, "train.chunks",
                            "%" PRId64
                            " moves the reference, which learner.reference.kind keeps in "
                            "another way; allowed: 1, or kind: none",
                            recipe->train.chunks);
    if (recipe->learner.kl.coef > 0 && recipe->learner.kl.place == RECIPE_KL_IN_REWARD)
        return recipe_wrong(recipe, "learner.kl.place",
                            "reward: rows from a file have none; allowed: loss");
    return OK;
}

static err_t check_run(const struct recipe *recipe, bool reward)
{
    if (!*recipe->directory)
        return err_new(ERR_INVALID, "--run DIR is missing: for checkpoints and figures");
    SCOPED_MEM char *store = file_join(recipe->directory, "store");
    TRY(recipe_require(recipe, "model.path"));
    TRY(recipe_require(recipe, "data.train"));
    if (file_exists(store))
        return err_new(ERR_PRECONDITION,
                       "'%s' is the run of a ring (it has a store): choose another --run directory",
                       recipe->directory);
    return check_objective(recipe, reward);
}

/* Ratios have nothing to be taken to but the weights that a round begins with. */
static void take_recipe(const struct recipe *given, struct offline *o)
{
    o->given = given;
    o->recipe = *given;
    o->recipe.learner.ratio_to = RECIPE_TO_PROXIMAL;
}

/* ---- models */

/* *ret_path: the checkpoint to go on from; NULL: there is none. */
static err_t find_checkpoint(const struct recipe *recipe, struct checkpoint_info *ret,
                             char **ret_path)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    SCOPED_MEM char *damaged = NULL;
    TRY(checkpoint_list(recipe->directory, &list));
    TRY(checkpoint_newest(recipe->directory, &list, restart_tokenizer(recipe), ret_path, &damaged,
                          ret));
    if (damaged && *ret_path)
        log_warning("a damaged checkpoint is passed over", "why=\"%s\"", damaged);
    return damaged && !*ret_path ? err_new(ERR_DATA_LOSS, "%s", damaged) : OK;
}

static err_t open_backend(struct offline *o)
{
    struct backend_config backend = backend_of_learner(&o->recipe);
    backend.told = svc_told_backend;
    TRY(err_wrap(cpus_bind(o->recipe.learner.cpus), "learner.cpus"));
    TRY(err_wrap(backend_open(NULL, &backend, &o->start.be), "learner.backend"));
    return settings_repeatable(o->start.be);
}

static err_t open_models(struct offline *o)
{
    const struct recipe *recipe = &o->recipe;
    SCOPED_MEM char *path = NULL;
    struct checkpoint_info at;
    TRY(find_checkpoint(recipe, &at, &path));
    TRY(open_backend(o));
    TRY(load_trainees(recipe, o->start.be, path ? path : recipe->model.path,
                      path ? &at.trainees : NULL, &o->start.trainees));
    o->start.tokenizer = checkpoint_tokenizer(recipe->model.path).files;
    if (path)
        return restart_go_back(&o->start, path, &at);
    o->start.origin = mem_string(recipe->model.path);
    o->start.at = (struct checkpoint_info){.trainees = trainees_digests(&o->start.trainees),
                                           .lineage = 1,
                                           .kl_coef = recipe->learner.kl.coef};
    snprintf(o->start.at.run, sizeof o->start.at.run, "%s", recipe->run.name);
    return OK;
}

/* ---- rows */

static err_t read_held_out(struct offline *o, const struct dataset_rules *rules)
{
    struct mixture_file file = {.path = o->recipe.data.eval, .weight = 1};
    const struct recipe_files files = {1, &file};
    return o->recipe.eval.every ? dataset_read(&files, "data.eval", rules, false, 1, &o->held_out)
                                : OK;
}

static err_t read_rows(struct offline *o)
{
    const struct recipe *recipe = &o->recipe;
    struct model *model = o->start.trainees.at[0].model;
    const struct model_config *config = &model->config;
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED_VALUE(row_chat) chat = row_chat_open(recipe->model.path);
    TRY(tokenizer_load(recipe->model.path, &tokenizer));
    TRY(err_wrap(tokenizer_check(tokenizer, config), "model.path '%s'", recipe->model.path));
    if (o->reward)
        TRY(reward_pad(recipe, tokenizer, model));
    struct row_rules rows =
        row_rules_of(recipe, tokenizer, &chat, tokenizer_end(tokenizer, config));
    rows.prompt_loss = rows.assistant_only = false;
    SCOPED(comparison) comparison = NULL;
    if (objective_row(recipe->learner.objective)->data == DATA_COMPARISONS)
        TRY(comparisons_open(recipe, tokenizer, &comparison));
    const int64_t longest = settings_longest(recipe, config) - recipe->data.max_prompt_tokens;
    const struct objective_row *objective = objective_row(recipe->learner.objective);
    const struct dataset_rules rules = {.rows = &rows,
                                        .rated = o->reward ? objective : NULL,
                                        .prompt_tokens = (int)recipe->data.max_prompt_tokens,
                                        .tokens = (int)longest,
                                        .temperature = (float)recipe->generator.temperature,
                                        .comparison = comparison};
    TRY(dataset_read(&recipe->data.train, "data.train", &rules, recipe->data.shuffle,
                     (uint64_t)recipe->run.seed, &o->rows));
    TRY(read_held_out(o, &rules));
    if (o->reward)
        TRY(reward_standardize(recipe, &o->rows, &o->held_out));
    TRY(chunks_plan(recipe, &o->rows, &o->chunks));
    o->referred = mem_array(o->rows.count, sizeof *o->referred);
    o->held_referred = mem_array(o->held_out.count + 1, sizeof *o->held_referred);
    return OK;
}

/* ---- the run */

static err_t open_files(struct offline *o)
{
    const char *run = o->recipe.directory;
    const struct digest rows = dataset_digest(&o->rows);
    const struct branch branch = {.lineage = 1, .parent = 1};
    SCOPED_MEM char *fingerprint = load_fingerprint(&o->start.trainees);
    SCOPED_MEM char *updates = file_join(run, "updates.jsonl");
    SCOPED_MEM char *metrics = file_join(run, "metrics.jsonl");
    SCOPED_MEM char *evals = file_join(run, "evals.jsonl");
    TRY(begun_check(o->given, &rows, fingerprint));
    TRY(ledger_open(updates, &o->ledger));
    if (ledger_versions(o->ledger) < o->start.at.version)
        return err_new(ERR_DATA_LOSS,
                       "'%s' ends with version %" PRIu64 ", and a checkpoint has %" PRIu64
                       ": it has lost lines, or is another run's",
                       updates, ledger_versions(o->ledger), o->start.at.version);
    TRY(report_open(metrics, &branch, o->start.at.round, &o->report));
    return trials_open(evals, &o->trials);
}

static err_t open_updates(struct offline *o)
{
    const struct objective *objective;
    struct objective_config settings;
    const int64_t largest = o->rows.completions > o->held_out.completions ? o->rows.completions
                                                                          : o->held_out.completions;
    if (largest > 1) // of a group, to an objective that takes it whole
        o->recipe.generator.num_generations = largest;
    TRY(settings_objective(&o->recipe, &objective, &settings));
    const uint64_t needs = objective_needs(objective, &settings);
    o->asks = needs & COLUMN_BIT(COLUMN_MISMATCHED_REFERENCE);
    o->refers = needs & NEEDS_OF_KL || o->asks;
    return updates_new(&o->recipe, &o->start.trainees, &o->updates);
}

static void tell_rows(const struct offline *o)
{
    const struct recipe_files *files = &o->recipe.data.train;
    printf("%s%s: %" PRIu64 " rows", files->at[0].path, files->count > 1 ? " and others" : "",
           o->rows.count);
    if (o->rows.skipped)
        printf(" (%" PRIu64 " more are too long, or empty)", o->rows.skipped);
    printf(", %" PRIu64 " rounds", o->chunks.rounds);
    if (o->start.at.round)
        printf("; goes on after round %" PRIu64, o->start.at.round);
    printf("\n");
    fflush(stdout);
}

err_t offline_open(const struct recipe *recipe, bool reward, struct offline *o)
{
    TRY(check_run(recipe, reward));
    TRY(file_make_directories(recipe->directory));
    take_recipe(recipe, o);
    o->reward = objective_is_reward(objective_row(recipe->learner.objective));
    TRY(loop_new(&o->loop));
    TRY(open_models(o));
    TRY(read_rows(o));
    TRY(open_files(o));
    TRY(open_updates(o));
    tell_rows(o);
    return OK;
}

void offline_done(struct offline *o)
{
    updates_free(o->updates);
    report_free(o->report);
    ledger_free(o->ledger);
    trials_free(o->trials);
    frozen_free(o->frozen);
    chunks_done(&o->chunks);
    dataset_done(&o->rows);
    dataset_done(&o->held_out);
    mem_free(o->referred);
    mem_free(o->held_referred);
    restart_done(&o->start);
    loop_free(o->loop);
}
