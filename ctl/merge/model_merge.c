/* model merge: several model directories as one. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/merge/merging.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/adapter.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A method's name, and what it takes where nothing else is said. */
static const struct method {
    const char *name;
    enum merge_method method;
    bool normalize, based, by_token;
} methods[] = {
    {"linear", MERGE_LINEAR, .normalize = true},
    {"task_arithmetic", MERGE_TASK_ARITHMETIC, .based = true},
    {"ties", MERGE_TIES, .normalize = true, .based = true},
    {"doge_rm", MERGE_LINEAR, .normalize = true, .by_token = true},
};

struct merge_options {
    const char *words[MERGE_MODELS_MAX + 1]; // the models, then where to
    size_t count;
    const char *method, *base, *weights, *density, *lambda, *normalize, *dtype;
};

static err_t find_method(const char *name, const struct method **ret)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0) {
            *ret = &methods[i];
            return OK;
        }
    return err_new(ERR_INVALID,
                   "--method: '%.40s' must be linear, task_arithmetic, ties or doge_rm", name);
}

/* Numbers between commas: one for each model, or one for all. */
static err_t read_numbers(const char *flag, const char *text, double min, double max, int models,
                          double *ret)
{
    int count = 0;
    const char *at = text;
    for (const char *end; at; at = *end ? end + 1 : NULL) {
        end = strchrnul(at, ',');
        SCOPED_MEM char *one = mem_printf("%.*s", (int)(end - at), at);
        if (count == models)
            return err_new(ERR_INVALID, "%s: '%.200s' has more numbers than the %d models", flag,
                           text, models);
        TRY(flag_number(flag, one, min, max, &ret[count++]));
    }
    for (int i = 1; count == 1 && i < models; i++)
        ret[i] = ret[0];
    if (count != 1 && count != models)
        return err_new(ERR_INVALID,
                       "%s: '%.200s' has %d numbers; allowed are one, or one for each "
                       "of the %d models",
                       flag, text, count, models);
    return OK;
}

static err_t read_switch(const char *flag, const char *text, bool *ret)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return err_new(ERR_INVALID, "%s: '%.40s' must be yes or no", flag, text);
    *ret = strcmp(text, "yes") == 0;
    return OK;
}

static err_t refuse_others(const struct merge_options *o, const struct method *method)
{
    if (o->base && !method->based)
        return err_new(ERR_INVALID, "--base: %s has none: it is for task_arithmetic and ties",
                       method->name);
    if (!o->base && method->based)
        return err_new(ERR_INVALID,
                       "--base: %s needs the directory that the models were trained from",
                       method->name);
    if (o->lambda && !method->based)
        return err_new(ERR_INVALID, "--lambda: %s scales no task vectors", method->name);
    if (o->normalize && method->by_token)
        return err_new(ERR_INVALID, "--normalize: %s always divides by the weights", method->name);
    if (o->density && method->method != MERGE_TIES)
        return err_new(ERR_INVALID, "--density: ties alone leaves values out");
    return OK;
}

/* Everything that the command line says. */
static err_t read_options(const struct merge_options *o, const struct method **ret_method,
                          struct merging *m)
{
    const struct method *method = NULL;
    TRY(find_method(o->method, &method));
    TRY(refuse_others(o, method));
    m->count = (int)o->count - 1;
    m->rule = (struct merge_rule){method->method, .lambda = 1, .normalize = method->normalize};
    m->by_token = method->by_token;
    TRY(read_numbers("--weights", o->weights ? o->weights : "1", -1000, 1000, m->count, m->weight));
    TRY(read_numbers("--density", o->density ? o->density : "0.2", 1e-6, 1, m->count, m->density));
    if (o->lambda)
        TRY(flag_number("--lambda", o->lambda, -1000, 1000, &m->rule.lambda));
    if (o->normalize)
        TRY(read_switch("--normalize", o->normalize, &m->rule.normalize));
    if (strcmp(o->dtype, dtype_name(DTYPE_BF16)) != 0 &&
        strcmp(o->dtype, dtype_name(DTYPE_F32)) != 0)
        return err_new(ERR_INVALID, "--dtype: '%.40s' must be bfloat16 or float32", o->dtype);
    m->dtype = strcmp(o->dtype, dtype_name(DTYPE_F32)) == 0 ? DTYPE_F32 : DTYPE_BF16;
    *ret_method = method;
    return OK;
}

/* ---- sources */

/* A reward model's head is kept: DogeRM's other half has none. */
static err_t check_doge(const struct merging *m)
{
    const struct merge_source *first = m->model[0];
    if (first->config.parts != PARTS_CRITIC)
        return err_new(ERR_INVALID, "%s: doge_rm takes a reward model first (%s)", first->directory,
                       first->config.family->value_architecture);
    for (int i = 1; i < m->count; i++)
        if (m->model[i]->config.parts & PART_VALUE)
            return err_new(ERR_INVALID,
                           "%s: is a reward model; doge_rm takes language models after the first",
                           m->model[i]->directory);
    return OK;
}

static err_t open_sources(const struct merge_options *o, struct backend *be, struct merging *m)
{
    for (int i = 0; i < m->count; i++)
        TRY(merge_source_open(be, o->words[i], &m->model[i]));
    if (o->base)
        TRY(merge_source_open(be, o->base, &m->base));
    if (m->by_token)
        TRY(check_doge(m));
    return merging_check(m);
}

static void close_sources(struct merging *m)
{
    for (int i = 0; i < m->count; i++)
        merge_source_free(m->model[i]);
    merge_source_free(m->base);
}

/* ---- what is told */

static char *about(const struct merge_options *o, const struct method *method,
                   const struct merging *m)
{
    SCOPED_JSON json_t *json = json_pack("{s:s, s:b, s:f}", "method", method->name, "normalize",
                                         m->rule.normalize, "lambda", m->rule.lambda);
    json_t *models = json_array();
    if (o->base)
        json_object_set_new(json, "base", json_string(o->base));
    for (int i = 0; i < m->count; i++) {
        json_t *one = json_pack("{s:s*, s:f}", "model", o->words[i], "weight", m->weight[i]);
        if (m->rule.method == MERGE_TIES)
            json_object_set_new(one, "density", json_real(m->density[i]));
        json_array_append_new(models, one);
    }
    json_object_set_new(json, "models", models);
    return json_to_text(json);
}

static void print_model(const struct merge_options *o, const struct merging *m, int i)
{
    const struct merge_part *told = &m->told[i];
    const double size = m->squares > 0 ? sqrt(told->moved / m->squares) : 0;
    printf("  %s: weight %g, ", o->words[i], m->weight[i]);
    printf(m->base ? "its task vector is %.4g of the base's size" : "%.4g of its size away", size);
    if (m->rule.method == MERGE_TIES)
        printf(", %zu values kept, %zu of them outvoted", told->kept, told->outvoted);
    if (m->model[i]->rows.at)
        printf(", %d of %d rows of the vocabulary by token", m->model[i]->rows.shared,
               m->model[i]->rows.V);
    printf("\n");
}

static void print_merged(const struct merge_options *o, const struct method *method,
                         const struct merging *m)
{
    const struct merge_source *first = m->model[0];
    const struct model_family *family = first->config.family;
    printf("%s: %s of %zu parameters, %s, by %s\n", o->words[o->count - 1],
           first->config.parts & PART_VALUE ? family->value_architecture : family->architecture,
           first->params->layout->parameters, dtype_name(m->dtype), method->name);
    for (int i = 0; i < m->count; i++)
        print_model(o, m, i);
    if (m->apart)
        printf("  %d of %d tensors are not in all directories: the mean of those that have them\n",
               m->apart, m->tensors);
}

/* ---- the command */

static err_t write_merged(const struct merge_options *o, struct merging *m)
{
    const char *to = o->words[o->count - 1];
    SCOPED_MEM char *tokenizer = NULL;
    TRY(adapter_tokenizer(o->words[0], &tokenizer));
    TRY(file_make_directories(to));
    TRY(tokenizer_copy(tokenizer, to));
    return merging_write(m, to);
}

static err_t merge_models(const struct merge_options *o)
{
    const char *to = o->words[o->count - 1];
    const struct method *method = NULL;
    struct merging m = {0};
    SCOPED(backend) be = NULL;
    SCOPED_MEM char *config = file_join(to, "config.json");
    TRY(read_options(o, &method, &m));
    if (file_exists(config) || adapter_is(to))
        return err_new(ERR_INVALID, "'%s' holds a model already", to);
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    err_t failed = open_sources(o, be, &m);
    SCOPED_MEM char *text = about(o, method, &m);
    m.about = text ? text : "";
    if (!err_failed(failed))
        failed = write_merged(o, &m);
    if (!err_failed(failed))
        print_merged(o, method, &m);
    close_sources(&m);
    return failed;
}

err_t command_model_merge(int argc, char **argv)
{
    struct merge_options o = {.method = "linear", .dtype = dtype_name(DTYPE_BF16)};
    const struct argument_flag flags[] = {
        {"method", "WORD", "linear, task_arithmetic, ties or doge_rm", .text = &o.method},
        {"base", "DIR", "what the models were trained from (task_arithmetic, ties)",
         .text = &o.base},
        {"weights", "W,...", "one for each model, or one for all: 1", .text = &o.weights},
        {"density", "D,...", "ties: the share of each task vector that is kept: 0.2",
         .text = &o.density},
        {"lambda", "L", "what the merged task vector is times: 1", .text = &o.lambda},
        {"normalize", "yes|no", "over the sum of weights; no is task_arithmetic's default",
         .text = &o.normalize},
        {"dtype", "WORD", "bfloat16 or float32", .text = &o.dtype}};
    const struct arguments arguments = {
        .usage = "model merge MODEL... TO",
        .purpose =
            "Merges models that began from one into a model directory, with the parts, the tokenizer\n"
            "and the head of the first. Any MODEL may be an adapter's directory: it counts as its base\n"
            "with the adapter added. Sums are in double, of float32 values.",
        .examples =
            "  rlhfctl model merge rm1 rm2 rm3 averaged\n"
            "  rlhfctl model merge --method ties --base sft --density 0.2 rm1 rm2 merged\n"
            "  rlhfctl model merge --method doge_rm --weights 0.7,0.3 rm math_model merged\n",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .words = o.words,
        .words_min = 2,
        .words_max = MERGE_MODELS_MAX + 1,
        .words_count = &o.count};
    bool helped;
    TRY(arguments_read(&arguments, argc, argv, &helped));
    return helped ? OK : merge_models(&o);
}
