/* A model directory written again: a checkpoint's model alone, in the type that is wanted. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/optimizer.h"
#include "model/text/tokenizer.h"
#include <stdio.h>
#include <string.h>

struct export_options {
    const char *words[2]; // from, to
    const char *dtype;
};

/* float32: a checkpoint's masters, or else the values as the directory has them. */
static err_t write_f32(const struct model *model, const char *from, const char *to,
                       const char **ret_origin)
{
    SCOPED_VALUE(buffer) values = {0};
    SCOPED_MEM char *optimizer = file_join(from, "optimizer.safetensors");
    const bool masters = file_exists(optimizer);
    TRY(buffer_alloc(model->be, model->params->layout->elements * sizeof(float), &values));
    TRY(masters ? optimizer_masters(model, optimizer, &values)
                : model_read_f32(model, from, &values));
    *ret_origin = masters ? "the optimizer's masters" : "the directory's values";
    return model_write_f32(model, &values, to);
}

static err_t copy_tokenizer(const char *from, const char *to)
{
    for (unsigned i = 0; tokenizer_file(i); i++) {
        SCOPED_MEM char *path = file_join(from, tokenizer_file(i));
        SCOPED_MEM char *target = file_join(to, tokenizer_file(i));
        if (file_exists(path))
            TRY(file_copy(path, target));
    }
    return OK;
}

static err_t export_model(const struct export_options *o)
{
    const char *from = o->words[0], *to = o->words[1], *origin = "the model's values";
    SCOPED_MEM char *config = file_join(to, "config.json");
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    if (file_exists(config))
        return err_new(ERR_INVALID, "'%s' holds a model already", to);
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(model_load(be, from, &model));
    TRY(file_make_directories(to));
    if (strcmp(o->dtype, dtype_name(DTYPE_F32)) == 0)
        TRY(write_f32(model, from, to, &origin));
    else
        TRY(model_write(model, to));
    TRY(copy_tokenizer(from, to));
    printf("%s: %s of %zu parameters, %s\n", to, model->config.family->architecture,
           model->params->layout->parameters, o->dtype);
    printf("from %s of '%s'\n", origin, from);
    return OK;
}

err_t command_model_export(int argc, char **argv)
{
    struct export_options o = {.dtype = dtype_name(DTYPE_BF16)};
    const struct argument_flag flags[] = {
        {"dtype", "WORD", "bfloat16 (as training computes) or float32", .text = &o.dtype}};
    const struct arguments arguments = {
        .usage = "model export FROM TO",
        .purpose =
            "Writes the model of a Hugging Face directory, such as RUN/checkpoints/latest, into TO,\n"
            "with its tokenizer and without what a run needs. In float32 a checkpoint's values are\n"
            "those that its optimizer keeps.",
        .flags = flags,
        .flags_count = 1,
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
