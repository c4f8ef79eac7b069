/* A model directory written again: a checkpoint's model alone, in the type that is wanted. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/adapter.h"
#include "model/optimizer.h"
#include "model/text/tokenizer.h"
#include <stdio.h>
#include <string.h>

struct export_options {
    const char *words[2]; // from, to
    const char *dtype;
    bool merge;
};

/* A model on its way out, and the origin of its values. */
struct export
{
    const struct export_options *options;
    struct model *model;
    struct buffer f32; // at the layout of what is written; none: the model's values as they are
    const char *origin;
};

static bool is_f32(const struct export_options *o)
{
    return strcmp(o->dtype, dtype_name(DTYPE_F32)) == 0;
}

/* float32 of what a directory holds: a checkpoint's masters, or else its values. */
static err_t read_f32(struct export *e, struct buffer *ret)
{
    const char *from = e->options->words[0];
    const struct model *trained = model_trained(e->model);
    SCOPED_MEM char *optimizer = file_join(from, "optimizer.safetensors");
    const bool masters = file_exists(optimizer);
    TRY(buffer_alloc(trained->be, trained->params->layout->elements * sizeof(float), ret));
    e->origin = masters ? "the optimizer's masters" : "the directory's values";
    return masters ? optimizer_masters(trained, optimizer, ret)
                   : model_read_f32(trained, from, ret);
}

/* The model's own values become the sums, as bf16. */
static err_t take_merged(struct model *model, const struct buffer *merged)
{
    const size_t elements = model->params->layout->elements;
    SCOPED_MEM float *wide = mem_array(elements, sizeof *wide);
    SCOPED_MEM bf16 *value = mem_array(elements, sizeof *value);
    TRY(buffer_get(merged, 0, elements * sizeof *wide, wide));
    for (size_t i = 0; i < elements; i++)
        value[i] = bf16_from_float(wide[i]);
    return model_put(model, value, NULL);
}

static err_t merge(struct export *e)
{
    struct model *model = e->model;
    SCOPED_VALUE(buffer) adapter = {0};
    SCOPED_VALUE(buffer) merged = {0};
    if (!model->adapter)
        return err_new(ERR_INVALID, "--merge: '%s' is no adapter's directory: it has no %s",
                       e->options->words[0], ADAPTER_CONFIG);
    TRY(buffer_alloc(model->be, model->params->layout->elements * sizeof(float), &merged));
    TRY(read_f32(e, &adapter));
    TRY(adapter_merge(model, &adapter, &merged));
    if (!is_f32(e->options))
        return take_merged(model, &merged);
    e->f32 = merged;
    merged = (struct buffer){0};
    return OK;
}

static const char *architecture_of(const struct model_config *config)
{
    return config->parts & PART_VALUE ? config->family->value_architecture
                                      : config->family->architecture;
}

static err_t write_out(struct export *e)
{
    const struct export_options *o = e->options;
    const struct model *written = o->merge ? e->model : model_trained(e->model);
    SCOPED_MEM char *tokenizer = NULL;
    TRY(adapter_tokenizer(o->words[0], &tokenizer));
    TRY(file_make_directories(o->words[1]));
    TRY(is_f32(o) ? model_write_f32(written, &e->f32, o->words[1])
                  : model_write(written, o->words[1]));
    TRY(tokenizer_copy(tokenizer, o->words[1]));
    printf("%s: %s of %zu parameters, %s\n", o->words[1],
           written == e->model ? architecture_of(&e->model->config) : "an adapter",
           written->params->layout->parameters, o->dtype);
    printf("from %s of '%s'\n", e->origin, o->words[0]);
    return OK;
}

static err_t export_model(const struct export_options *o)
{
    SCOPED_MEM char *config = file_join(o->words[1], "config.json");
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    if (file_exists(config) || adapter_is(o->words[1]))
        return err_new(ERR_INVALID, "'%s' holds a model already", o->words[1]);
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(adapter_is_valued(o->words[0]) ? adapter_open_valued(be, o->words[0], false, &model)
                                       : adapter_open(be, o->words[0], false, &model));
    struct export e = {.options = o, .model = model, .origin = "the model's values"};
    err_t failed = o->merge ? merge(&e) : is_f32(o) ? read_f32(&e, &e.f32) : OK;
    if (!err_failed(failed))
        failed = write_out(&e);
    buffer_done(&e.f32);
    return failed;
}

err_t command_model_export(int argc, char **argv)
{
    struct export_options o = {.dtype = dtype_name(DTYPE_BF16)};
    const struct argument_flag flags[] = {
        {"dtype", "WORD", "bfloat16 (as training computes) or float32", .text = &o.dtype},
        {"merge", NULL, "an adapter added to its base: a whole model", .flag = &o.merge}};
    const struct arguments arguments = {
        .usage = "model export FROM TO",
        .purpose =
            "Writes the model of a Hugging Face directory, such as RUN/checkpoints/latest, into TO,\n"
            "with its tokenizer and without what a run needs. In float32 a checkpoint's values are\n"
            "those that its optimizer keeps. Of an adapter (lora.r) PEFT's directory is written; with\n"
            "--merge the whole model, its sums made in double from the most exact values there are.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .words = o.words,
        .words_min = 2,
        .words_max = 2};
    bool helped;
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (strcmp(o.dtype, dtype_name(DTYPE_BF16)) != 0 && strcmp(o.dtype, dtype_name(DTYPE_F32)) != 0)
        return err_new(ERR_INVALID, "--dtype: '%.40s' must be bfloat16 or float32", o.dtype);
    return export_model(&o);
}
