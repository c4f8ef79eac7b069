/* Model directories: made fresh, described. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>

struct new_options {
    const char *directory;
    long layers, width, heads, kv_heads, ff, max_positions, seed;
    bool tied;
    err_t error;
};

static const struct argp_option new_flags[] = {
    {"layers", 'l', "N", 0, "decoder layers (2)", 0},
    {"width", 'w', "N", 0, "hidden size (64)", 0},
    {"heads", 'h', "N", 0, "attention heads (2)", 0},
    {"kv-heads", 'k', "N", 0, "key/value heads (the same as --heads)", 0},
    {"ff", 'f', "N", 0, "feed-forward width (8/3 of --width, rounded up to 32)", 0},
    {"max-positions", 'p', "N", 0, "longest sequence in tokens (2048)", 0},
    {"tied", 't', NULL, 0, "the output head is the embedding", 0},
    {"seed", 's', "N", 0, "of the weights (1)", 0},
    {0},
};

static error_t new_parse(int key, char *arg, struct argp_state *state)
{
    struct new_options *o = state->input;
    const struct {
        int key;
        const char *flag;
        long max, *to;
    } numbers[] = {
        {'l', "--layers", 1000, &o->layers},  {'w', "--width", 1 << 16, &o->width},
        {'h', "--heads", 1024, &o->heads},    {'k', "--kv-heads", 1024, &o->kv_heads},
        {'f', "--ff", 1 << 18, &o->ff},       {'p', "--max-positions", 1 << 20, &o->max_positions},
        {'s', "--seed", INT32_MAX, &o->seed},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].key == key) {
            err_free(o->error);
            o->error = flag_int(numbers[i].flag, arg, 1, numbers[i].max, numbers[i].to);
            return err_failed(o->error) ? ECANCELED : 0;
        }
    if (key == 't')
        o->tied = true;
    else if (key == ARGP_KEY_ARG && !o->directory)
        o->directory = arg;
    else if (key == ARGP_KEY_END && !o->directory)
        argp_usage(state);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static err_t config_for(const struct new_options *o, const struct tokenizer *tokenizer,
                        struct model_config *ret)
{
    long ff = o->ff ? o->ff : (o->width * 8 / 3 + 31) / 32 * 32;
    *ret = config_llama(tokenizer_vocab(tokenizer), (int)o->width, (int)ff, (int)o->layers,
                        (int)o->heads, (int)(o->kv_heads ? o->kv_heads : o->heads),
                        (int)o->max_positions, o->tied);
    ret->bos = tokenizer_bos(tokenizer);
    ret->pad = tokenizer_pad(tokenizer);
    if (tokenizer_eos(tokenizer) >= 0)
        ret->eos[ret->eos_count++] = tokenizer_eos(tokenizer);
    return config_check(ret, "rlhfctl model new");
}

err_t command_model_new(int argc, char **argv)
{
    static const struct argp argp = {
        new_flags,
        new_parse,
        "DIRECTORY",
        "Makes a Llama-style model with fresh weights in DIRECTORY, which already holds its tokenizer "
        "(`rlhfctl tokenizer train`). The result is a Hugging Face directory.",
        0,
        0,
        0};
    struct new_options o = {.layers = 2, .width = 64, .heads = 2, .max_positions = 2048, .seed = 1};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return err_failed(o.error) ? o.error : err_new(ERR_INVALID, "arguments not understood");
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    struct model_config config;
    TRY(tokenizer_load(o.directory, &tokenizer));
    TRY(config_for(&o, tokenizer, &config));
    TRY(backend_cpu_new(&(struct cpu_config){.threads = 1}, &be));
    TRY(model_new(be, &config, (uint64_t)o.seed, &model));
    TRY(model_save(model, o.directory));
    printf("%s: %zu parameters, %d tokens of vocabulary, %d layers of width %d\n", o.directory,
           model->params->layout->parameters, config.V, config.L, config.C);
    return OK;
}

err_t command_model_show(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        puts(
            "Usage: rlhfctl model show DIRECTORY\nDescribes a model directory and checks that it loads.");
        return argc == 2 ? OK : err_new(ERR_INVALID, "one DIRECTORY is needed");
    }
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    TRY(backend_cpu_new(&(struct cpu_config){.threads = 1}, &be));
    TRY(model_load(be, argv[1], &model));
    const struct model_config *c = &model->config;
    printf(
        "family      %s\nparameters  %zu\nvocabulary  %d\nlayers      %d\nwidth       %d (feed-forward %d)\n",
        c->family->model_type, model->params->layout->parameters, c->V, c->L, c->C, c->F);
    printf("heads       %d of %d (key/value: %d)\npositions   %d\nhead        %s\n", c->H, c->D,
           c->K, c->max_positions, c->tied ? "tied to the embedding" : "its own");
    TRY(tokenizer_load(argv[1], &tokenizer));
    TRY(tokenizer_check(tokenizer, c->V, c->eos_count ? c->eos[0] : -1));
    printf("tokenizer   %d tokens, eos %d, pad %d\n", tokenizer_vocab(tokenizer),
           tokenizer_eos(tokenizer), tokenizer_pad(tokenizer));
    return OK;
}
