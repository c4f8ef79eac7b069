/* values: what a critic expects of given completions, token by token, as JSON lines. */
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/make/measure.h"
#include "ctl/words/choose.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"
#include <inttypes.h>

/* In order of dependence: freed from the end. */
struct values {
    struct choice choice;
    struct prompt_set set; // of each line, its row
    struct collected collected;
    struct decoder *decoder;
    struct model *critic; // of its own, or a head on the policy's hidden states
};

static void values_done(struct values *v)
{
    model_free(v->critic);
    decoder_free(v->decoder);
    collected_done(&v->collected);
    prompt_set_done(&v->set);
    choice_done(&v->choice);
}

static err_t load_critic(struct values *v)
{
    const struct model *policy = decoder_model(v->decoder);
    SCOPED_MEM char *directory = file_join(v->choice.directory, "critic");
    if (file_exists(directory))
        return model_load_value(policy->be, directory, &policy->config, &v->critic);
    return err_new(ERR_NOT_FOUND,
                   "'%s' has no critic: needed is a checkpoint of a run whose objective trains one "
                   "(learner.objective: ppo)",
                   v->choice.directory);
}

/* ---- the completions */

static err_t check_ids(const json_t *line, const char *name, const struct model_config *config)
{
    const json_t *ids = json_object_get(line, "ids"), *id;
    size_t i;
    if (!json_is_array(ids) || !json_array_size(ids))
        return err_new(ERR_INVALID,
                       "%s: 'ids' must be a list of the completion's tokens, as rlhfctl generate "
                       "writes it",
                       name);
    json_array_foreach (ids, i, id)
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= config->V)
            return err_new(ERR_INVALID, "%s: ids[%zu]: allowed are the tokens 0 to %d", name, i,
                           config->V - 1);
    return OK;
}

/* Prompt and completion together are no longer than the model takes. */
static err_t check_line(const struct values *v, size_t i)
{
    const struct model_config *config = &decoder_model(v->decoder)->config;
    const json_t *line = v->collected.line[i];
    char name[PROMPT_NAME];
    SCOPED_VALUE(prompt_row) prompt = {0};
    prompt_name(&v->set, i, name);
    TRY(check_ids(line, name, config));
    TRY(decoder_read(v->decoder, v->set.at[i].row, name, &prompt));
    const size_t all = (size_t)prompt.tokens + json_array_size(json_object_get(line, "ids"));
    return all <= (size_t)config->max_positions
               ? OK
               : err_new(ERR_INVALID, "%s: %zu tokens with the prompt; the model takes %d", name,
                         all, config->max_positions);
}

static err_t read_line(struct values *v, const struct jsonl *lines, uint64_t i)
{
    SCOPED_VALUE(bytes) text = {0};
    char name[PROMPT_NAME];
    snprintf(name, sizeof name, "%s:%" PRIu64, v->set.path, i + 1);
    TRY(jsonl_row(lines, i, &text));
    TRY(json_parse_nul((const char *)text.data, text.len, name, &v->collected.line[i]));
    json_t *row = json_object_get(v->collected.line[i], "row");
    if (!json_is_object(row))
        return err_new(ERR_INVALID,
                       "%s: 'row' must be the row of data with the prompt, as rlhfctl generate "
                       "writes it",
                       name);
    prompt_set_add(&v->set, json_incref(row));
    return OK;
}

static err_t read_lines(struct values *v)
{
    SCOPED(jsonl) lines = NULL;
    TRY(jsonl_open_nul(v->set.path, &lines));
    const uint64_t count = jsonl_rows(lines);
    v->collected = (struct collected){
        .set = &v->set, .completions = 1, .line = mem_array(count, sizeof(json_t *))};
    for (uint64_t i = 0; i < count; i++)
        TRY(read_line(v, lines, i));
    for (uint64_t i = 0; i < count; i++)
        TRY(check_line(v, i));
    return OK;
}

/* ---- the values */

static json_t *list_of(const float *value, int count)
{
    json_t *list = json_array();
    for (int t = 0; t < count; t++)
        json_array_append_new(list, json_real((double)value[t]));
    return list;
}

static err_t measure(struct values *v, int micro_tokens)
{
    SCOPED_VALUE(texts) texts = {0};
    SCOPED(likelihood) likelihood = NULL;
    const bool head = !(v->critic->config.parts & PART_TRUNK);
    struct model *trunk = head ? decoder_model(v->decoder) : v->critic;
    TRY(texts_completions(v->decoder, &v->collected, &texts));
    TRY(likelihood_new(trunk, micro_tokens, texts.longest, &likelihood));
    SCOPED_MEM float *value = mem_array(texts.targets, sizeof *value);
    TRY(likelihood_values(likelihood, v->critic, texts.at, texts.count, value));
    const float *at = value;
    for (size_t i = 0; i < texts.count; at += texts.at[i++].tokens)
        json_object_set_new(v->collected.line[texts.line[i]], "values",
                            list_of(at, texts.at[i].tokens));
    return OK;
}

err_t command_values(int argc, char **argv)
{
    struct choose_flags which = {0};
    const char *data = NULL;
    struct recipe_flag flags[] = {
        {"data", "FILE", "JSON lines with completions, as generate and eval --out write them",
         .text = &data},
        {"version", "N", "the run's critic after N updates, from RUN/checkpoints/vN",
         .text = &which.version},
        {"checkpoint", "DIR", "a checkpoint; else the run's newest", .text = &which.checkpoint},
        {"model", "DIR", "a model directory with a critic in DIR/critic", .text = &which.model},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl values",
        .purpose =
            "Shows what a run's critic expects of given completions: each line comes back with \"values\", for each\n"
            "token of \"ids\" the value of what stands before it.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags};
    SCOPED(recipe) recipe = NULL;
    SCOPED_VALUE(values) values = {0};
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    if (!data)
        return err_new(ERR_INVALID, "--data FILE is missing: values of which completions?");
    TRY(choose_model(recipe, &which, &values.choice));
    const struct decoder_options options =
        complete_options(recipe, values.choice.directory, recipe->generator.temperature, 1);
    TRY(decoder_open(&options, &values.decoder));
    TRY(load_critic(&values));
    values.set.path = data;
    TRY(read_lines(&values));
    TRY(measure(&values, (int)recipe->learner.micro_tokens));
    return collected_write(stdout, &values.collected);
}
