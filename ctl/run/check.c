/* check: a recipe and every file that it names, before anything is started. */
#include "ctl/run/check.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/make/scoring.h"
#include "ctl/run/check_plan.h"
#include "ctl/run/check_size.h"
#include "ctl/words/command.h"
#include "model/adapter.h"
#include "model/engine/decoder.h"
#include "model/likelihood.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/recipe/recipe_place.h"
#include <inttypes.h>

/* The recipe, and the model that the first step loads for the others. */
struct checking {
    const struct recipe *recipe;
    FILE *notes; // NULL: none
    struct backend *be;
    struct model *model;
    struct tokenizer *tokenizer;
    struct row_chat chat;
    struct bytes kinds; // of the files: told once all is in order
};

static void checking_done(struct checking *c)
{
    tokenizer_free(c->tokenizer);
    row_chat_done(&c->chat);
    bytes_done(&c->kinds);
    model_free(c->model);
    backend_free(c->be);
}

/* The checks that a generator makes at its start. */
static err_t check_generator(const struct checking *c)
{
    const struct recipe *r = c->recipe;
    const struct model_config *config = &c->model->config;
    const struct decoder_options options = decoder_options_of(r);
    const struct engine_config plan = decoder_plan(&options, config);
    SCOPED(stops) stops = NULL;
    TRY(recipe_place(r, "generator.stop_tokens",
                     stops_new(c->tokenizer, config, &options.stop, &stops)));
    TRY(recipe_place(r, "generator.max_tokens", config_room(config, options.max_tokens)));
    c->model->kv = options.kv;
    return recipe_place(r, "generator.kv_bytes", engine_check(c->model, &plan));
}

/* Whether the model's tokens are the policy's, and it takes sequences as long. */
static err_t comparable(const struct checking *c, const char *path)
{
    const struct recipe *r = c->recipe;
    return likelihood_comparable(
        r->model.path, path,
        config_context(&c->model->config, r->data.max_prompt_tokens, r->generator.max_tokens));
}

/* The names of modules that the family has, or an adapter that fits. */
static err_t check_lora(const struct checking *c)
{
    const struct recipe *r = c->recipe;
    return recipe_place(r, *r->lora.path ? "lora.path" : "lora.target_modules",
                        adapter_begin(c->model, r->model.path, r, (uint64_t)r->run.seed));
}

static err_t check_reference(const struct checking *c)
{
    const struct recipe *r = c->recipe;
    const char *path = r->rewarder.reference_path;
    SCOPED(model) model = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED_VALUE(row_chat) chat = {0};
    if (!recipe_has_reference(r) || !*path)
        return OK;
    err_t failed = decoder_load(c->be, path, &model, &tokenizer, &chat);
    if (!err_failed(failed))
        failed = comparable(c, path);
    return recipe_place(r, "rewarder.reference_path", failed);
}

static err_t check_critic(const struct checking *c)
{
    const struct recipe *r = c->recipe;
    const char *path = r->learner.critic.path;
    SCOPED(model) model = NULL;
    bool fresh;
    if (!objective_has_critic(objective_row(r->learner.objective)) || !*path)
        return OK;
    err_t failed = model_load_critic(c->be, path, &model, &fresh);
    if (!err_failed(failed))
        failed = comparable(c, path);
    return recipe_place(r, "learner.critic.path", failed);
}

static err_t look_at_prompt(void *arg, const json_t *row, const char *name)
{
    SCOPED_VALUE(prompt_row) prompt = {0};
    return prompt_row_read(arg, row, name, &prompt);
}

static void note_kind(struct checking *c, const char *key, const struct jsonl *rows,
                      const struct row_names *names)
{
    char text[ROW_KIND_TEXT];
    struct row_kind kind;
    err_t unknown = row_kind_of_file(rows, names, &kind);
    if (!err_failed(unknown))
        bytes_printf(&c->kinds, "%s: %s: %" PRIu64 " rows, %s\n", key, jsonl_path(rows),
                     jsonl_rows(rows), row_kind_text(&kind, text));
    err_free(unknown);
}

/* Rows with prompts that generators can take. */
static err_t check_prompts(struct checking *c, const char *key, const struct jsonl *rows)
{
    const struct recipe *r = c->recipe;
    SCOPED_MEM char *note = NULL;
    const struct decoder_options options = decoder_options_of(r);
    struct prompt_rules rules = decoder_rules(&options, &c->model->config, c->tokenizer, &c->chat);
    TRY(recipe_place(r, key, jsonl_probe(rows, "decoded", look_at_prompt, &rules, &note)));
    note_kind(c, key, rows, &rules.rows.names);
    if (note && c->notes)
        fprintf(c->notes, "%s: %s\n", key, note);
    return OK;
}

/* Tokens that are no text, as those that only fill a vocabulary up, count with none. */
static double mean_text(const struct tokenizer *tokenizer)
{
    const int vocabulary = tokenizer_vocab(tokenizer);
    SCOPED_VALUE(bytes) text = {0};
    for (int32_t id = 0; id < vocabulary; id++)
        err_free(tokenizer_decode(tokenizer, &id, 1, true, &text));
    return (double)text.len / vocabulary;
}

/* The rows of an evaluation go round with one completion: they fit where those of training do. */
static err_t check_group(const struct checking *c, const struct mixture *train)
{
    const struct decoder_options options = decoder_options_of(c->recipe);
    const struct check_size facts = {.row_bytes = mixture_longest(train),
                                     .token_text = mean_text(c->tokenizer),
                                     .truncates = sampling_alters(&options.sampling)};
    return check_size(c->recipe, &facts);
}

static err_t check_data(struct checking *c)
{
    const struct recipe *r = c->recipe;
    SCOPED(mixture) train = NULL;
    SCOPED(jsonl) eval = NULL;
    TRY(recipe_place(r, "data.train", recipe_train_rows(r, &train)));
    for (size_t i = 0; i < mixture_files(train); i++)
        TRY(check_prompts(c, "data.train", mixture_file(train, i)));
    TRY(check_plan(r, mixture_rows(train), c->notes));
    TRY(check_group(c, train));
    if (!*r->data.eval)
        return OK;
    TRY(recipe_place(r, "data.eval", jsonl_open(r->data.eval, &eval)));
    return check_prompts(c, "data.eval", eval);
}

err_t check_ring(const struct recipe *recipe, char *const *argv, FILE *notes)
{
    SCOPED_VALUE(checking) c = {.recipe = recipe, .notes = notes};
    TRY(recipe_require(recipe, "model.path"));
    TRY(recipe_require(recipe, "data.train"));
    TRY(recipe_require_policy(recipe));
    if (!recipe->rewarder.scorers.count)
        return err_new(ERR_INVALID,
                       "%s: rewarder.scorers is empty: without a scorer there is no reward",
                       recipe->file);
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &c.be));
    struct model_config config;
    TRY(recipe_place(recipe, "model.path", config_read(recipe->model.path, &config)));
    TRY(recipe_place(recipe, "model.path",
                     decoder_load(c.be, recipe->model.path, &c.model, &c.tokenizer, &c.chat)));
    TRY(check_lora(&c));
    TRY(check_generator(&c));
    TRY(check_reference(&c));
    TRY(check_critic(&c));
    TRY(check_data(&c));
    TRY(scorers_check(recipe, argv, notes));
    if (notes && c.kinds.len)
        fprintf(notes, "%s", (const char *)c.kinds.data);
    return OK;
}

/* The run may be meant for another machine. */
static void note(err_t elsewhere)
{
    if (err_failed(elsewhere))
        printf("%s\n", err_message(elsewhere));
    err_free(elsewhere);
}

err_t command_check(int argc, char **argv)
{
    struct recipe_cli cli = {.program = "rlhfctl check",
                             .purpose =
                                 "Checks a recipe and every file that it names; starts nothing."};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(check_listens(recipe));
    note(check_cores(recipe));
    err_t backends = check_backends(recipe);
    if (err_code(backends) == ERR_UNIMPLEMENTED)
        return backends; // wherever it runs
    note(backends);
    TRY(check_ring(recipe, argv, stdout));
    printf("%s: in order\n", recipe->file);
    return OK;
}
