/* Model directories: made fresh, described. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "model/adapter.h"
#include "model/text/tokenizer.h"
#include <inttypes.h>
#include <stdio.h>

struct new_options {
    const char *directory;
    long layers, width, heads, kv_heads, ff, max_positions, seed;
    bool tied;
};

static err_t config_for(const struct new_options *o, const struct tokenizer *tokenizer,
                        struct model_config *ret)
{
    long ff = o->ff ? o->ff : (o->width * 8 / 3 + 31) / 32 * 32;
    *ret = config_default(tokenizer_vocab(tokenizer), (int)o->width, (int)ff, (int)o->layers,
                          (int)o->heads, (int)(o->kv_heads ? o->kv_heads : o->heads),
                          (int)o->max_positions, o->tied);
    ret->bos = tokenizer_bos(tokenizer);
    ret->pad = tokenizer_pad(tokenizer);
    if (tokenizer_eos(tokenizer) >= 0)
        ret->eos[ret->eos_count++] = tokenizer_eos(tokenizer);
    return config_check(ret, "rlhfctl model new");
}

static err_t make_model(const struct new_options *o)
{
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    struct model_config config;
    TRY(tokenizer_load(o->directory, &tokenizer));
    TRY(config_for(o, tokenizer, &config));
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(model_new(be, &config, (uint64_t)o->seed, &model));
    TRY(model_save(model, o->directory));
    printf("%s: %zu parameters, %d tokens of vocabulary, %d layers of width %d\n", o->directory,
           model->params->layout->parameters, config.V, config.L, config.C);
    return OK;
}

err_t command_model_new(int argc, char **argv)
{
    struct new_options o = {.layers = 2, .width = 64, .heads = 2, .max_positions = 2048, .seed = 1};
    const struct {
        const char *name, *help;
        long max, *to;
    } numbers[] = {
        {"layers", "decoder layers (2)", 1000, &o.layers},
        {"width", "hidden size (64)", 1 << 16, &o.width},
        {"heads", "attention heads (2)", 1024, &o.heads},
        {"kv-heads", "key/value heads (the same as --heads)", 1024, &o.kv_heads},
        {"ff", "feed-forward width (8/3 of --width, rounded up to 32)", 1 << 18, &o.ff},
        {"max-positions", "longest sequence in tokens (2048)", 1 << 20, &o.max_positions},
        {"seed", "seed of the weights (1)", INT32_MAX, &o.seed},
    };
    enum { NUMBERS = sizeof numbers / sizeof *numbers };
    const char *text[NUMBERS] = {0};
    struct argument_flag rows[NUMBERS + 1] = {
        [NUMBERS] = {"tied", NULL, "the output head is the embedding", .flag = &o.tied}};
    for (size_t i = 0; i < NUMBERS; i++)
        rows[i] = (struct argument_flag){numbers[i].name, "N", numbers[i].help, .text = &text[i]};
    const struct arguments arguments = {
        .usage = "model new DIRECTORY",
        .purpose =
            "Makes a model with fresh weights in DIRECTORY, which already holds its tokenizer\n"
            "(`rlhfctl tokenizer train`). The result is a Hugging Face directory.",
        .flags = rows,
        .flags_count = NUMBERS + 1,
        .words = &o.directory,
        .words_min = 1,
        .words_max = 1};
    bool helped;
    TRY(arguments_read(&arguments, argc, argv, &helped));
    for (size_t i = 0; i < NUMBERS; i++) {
        SCOPED_MEM char *flag = mem_printf("--%s", numbers[i].name);
        if (text[i])
            TRY(flag_int(flag, text[i], 1, numbers[i].max, numbers[i].to));
    }
    return helped ? OK : make_model(&o);
}

static void show_adapter(const struct model *model, const char *base)
{
    if (!model->adapter)
        return;
    const struct lora *lora = &model->adapter->config.lora;
    SCOPED_MEM char *targets = adapter_target_names(model->config.family, lora->roles);
    printf("adapter     rank %d, scale %g, %zu parameters, of %s\nbase        %s\n", lora->r,
           (double)lora_scale(lora), model->adapter->params->layout->parameters, targets, base);
}

static err_t show_model(const char *directory)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    SCOPED_MEM char *base = NULL;
    TRY(adapter_open(be, directory, false, &model));
    TRY(adapter_under(directory, &base));
    const struct model_config *c = &model->config;
    printf(
        "family      %s\nparameters  %zu\nvocabulary  %d\nlayers      %d\nwidth       %d (feed-forward %d)\n",
        c->family->model_type, model->params->layout->parameters, c->V, c->L, c->C, c->F);
    printf("heads       %d of %d (key/value: %d)\npositions   %d\nhead        %s\n", c->H, c->D,
           c->K, c->max_positions, c->tied ? "tied to the embedding" : "its own");
    show_adapter(model, base);
    SCOPED_MEM char *own = file_join(directory, tokenizer_file(0));
    const char *from = file_exists(own) ? directory : base;
    TRY(tokenizer_load(from, &tokenizer));
    TRY(err_wrap(tokenizer_check(tokenizer, c), "'%s'", from));
    printf("tokenizer   %d tokens, eos %d, pad %d\n", tokenizer_vocab(tokenizer),
           tokenizer_eos(tokenizer), tokenizer_pad(tokenizer));
    return OK;
}

err_t command_model_show(int argc, char **argv)
{
    const char *directory;
    bool helped;
    const struct arguments arguments = {.usage = "model show DIRECTORY",
                                        .purpose =
                                            "Describes a model directory and checks that it loads.",
                                        .words = &directory,
                                        .words_min = 1,
                                        .words_max = 1};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    return helped ? OK : show_model(directory);
}
