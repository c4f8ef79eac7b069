/* The formula of device memory (model/device_memory.h) against the most that the module has
 * allocated, where models are used as daemons use them. */
#include "base/rng.h"
#include "cuda/module.h"
#include "cuda_emu_count.h"
#include "learner/publish/listing.h"
#include "model/device_memory.h"
#include "model/engine/decoder.h"
#include "model/optimizer.h"
#include "model/pack.h"
#include "model/refresh.h"
#include "model/scores.h"
#include "svc/recipe/recipe.h"
#include "testing/models.h"
#include <dlfcn.h>
#include <math.h>

enum { V = 512, LONGEST = 16 };

static struct model_config config_of(bool tied)
{
    return config_default(V, 128, 384, 3, 4, 2, 256, tied);
}

static struct cuda_emu_calls usage(void)
{
    const char *path = getenv("RLHFD_BACKEND");
    void *module = dlopen(path ? path : TEST_BIN "/librlhfd_cuda_emu.so", RTLD_NOW | RTLD_NOLOAD);
    void (*ask)(struct cuda_emu_calls *) = NULL;
    struct cuda_emu_calls ret;
    assert_non_null(module);
    *(void **)&ask = dlsym(module, "cuda_emu_calls");
    assert_non_null(ask);
    ask(&ret);
    dlclose(module);
    return ret;
}

static struct recipe *recipe_of(const char *more)
{
    struct recipe *recipe = NULL;
    SCOPED_MEM char *text = mem_printf("data: {max_prompt_tokens: 8}\n"
                                       "generator: {max_tokens: 8, slots: 8, step_rows: 64}\n"
                                       "%s\n",
                                       more);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    return recipe;
}

static void assert_planned(const char *what, const struct device_memory *m, uint64_t most)
{
    const double planned = device_memory_sum(m), ratio = (double)most / planned;
    print_message("%s: %.3f MB planned, %.3f allocated: %.3f\n", what, planned / 1e6,
                  (double)most / 1e6, ratio);
    if (ratio > 1.001 || ratio < 0.95)
        fail_msg("%s: %.0f bytes are planned, and %llu were allocated", what, planned,
                 (unsigned long long)most);
}

/* ---- generators */

static void admit(struct engine *engine, uint64_t tag)
{
    int32_t token[8];
    const struct rng rng = rng_keyed(tag, RNG_TEST, 0, 0);
    for (int i = 0; i < 8; i++)
        token[i] = (int32_t)rng_below(&rng, (uint64_t)i, V);
    const struct engine_request request = {.tag = tag,
                                           .prompt = token,
                                           .prompt_tokens = 8,
                                           .completions = 1,
                                           .max_tokens = 8,
                                           .sampling = {.temperature = 1, .prompt = tag}};
    assert_ok(engine_admit(engine, &request));
}

static void generate(struct backend *be, const struct model_config *config,
                     const struct recipe *recipe)
{
    SCOPED(backend) cpu = NULL;
    SCOPED(model) fresh = NULL;
    SCOPED(model) model = NULL;
    SCOPED(engine) engine = NULL;
    SCOPED(refresh) refresh = NULL;
    const struct decoder_options options = decoder_options_of(recipe);
    const struct engine_config plan = decoder_plan(&options, config);
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    assert_ok(model_new(cpu, config, 5, &fresh));
    assert_ok(model_empty_compact(be, config, &model));
    copy_weights(model, fresh);
    assert_ok(refresh_new(model, &refresh));
    assert_ok(engine_new(model, &plan, &engine));
    for (uint64_t tag = 0; tag < 8; tag++)
        admit(engine, tag);
    while (engine_active(engine)) {
        const struct engine_completion *finished;
        int count;
        assert_ok(engine_step(engine, &finished, &count));
    }
    SCOPED_MEM bf16 *read = flat_of(model); // as its digest is checked
}

static void a_generator_takes_what_is_planned(void **state)
{
    (void)state;
    SCOPED(recipe) recipe = recipe_of("");
    for (int tied = 0; tied < 2; tied++) {
        SCOPED(backend) be = cuda_module_open();
        const struct model_config config = config_of(tied);
        const struct device_shapes shapes = {.policy = &config, .unit = 1};
        struct device_memory m;
        device_memory_of_generator(recipe, &shapes, &m);
        generate(be, &config, recipe);
        assert_planned(tied ? "a generator, tied" : "a generator", &m, usage().bytes_most);
    }
}

/* ---- learners */

/* As many rows as may come at once, all of them targets. */
static void train(struct backend *be, const struct model_config *config,
                  const struct recipe *recipe)
{
    const int rows = pack_rows((int)recipe->learner.micro_tokens, LONGEST);
    const enum states_place place = (enum states_place)recipe->learner.optimizer.states;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) opt = NULL;
    SCOPED(listing) listing = NULL;
    SCOPED_MEM int32_t *token = mem_array((size_t)rows, sizeof *token);
    SCOPED_MEM int32_t *row = mem_array((size_t)rows, sizeof *row);
    SCOPED_MEM int32_t *position = mem_array((size_t)rows, sizeof *position);
    SCOPED_MEM float *slope = mem_array((size_t)rows, sizeof *slope);
    SCOPED_MEM float *logp = mem_array((size_t)rows, sizeof *logp);
    SCOPED_MEM struct segment *segment = mem_array((size_t)rows, sizeof *segment);
    struct optimizer_config adamw = OPTIMIZER_DEFAULTS;
    struct optimizer_result result;
    for (int i = 0; i < rows; i++) {
        token[i] = (i * 7 + i / LONGEST) % V;
        row[i] = i;
        position[i] = i % LONGEST;
        slope[i] = -1.0f / (float)rows;
        segment[i] = (struct segment){.first = i * LONGEST, .count = LONGEST};
    }
    adamw.states = place;
    assert_ok(model_new(be, config, 5, &model));
    assert_ok(optimizer_new(model, &adamw, NULL, &opt));
    assert_ok(gradient_new(model, &grad));
    assert_ok(forward_new(model, rows, TRAINED_HEAD_ROWS,
                          recipe->learner.gradient_checkpointing ? FORWARD_INPUTS : FORWARD_ALL,
                          &fw));
    assert_ok(listing_new(model, &listing));
    for (int update = 0; update < 2; update++) {
        struct listing_piece piece;
        assert_ok(optimizer_mark(opt));
        assert_ok(gradient_zero(grad));
        assert_ok(forward_run(fw, token, position, rows, segment, rows / LONGEST));
        assert_ok(forward_logp(fw, row, token, rows, 1, logp, NULL));
        assert_ok(backward_run(fw, row, token, slope, rows, 1, grad));
        assert_ok(optimizer_step(opt, grad, 1e-7, &result));
        assert_ok(listing_make(listing, model_values(model), optimizer_marks(opt), &piece));
        listing_give_back(piece.place);
        mem_free(piece.bytes);
    }
}

static void a_learner_takes_what_is_planned(void **state)
{
    (void)state;
    static const struct {
        const char *what, *learner;
        bool tied;
    } rows[] = {
        {"a learner", "learner: {micro_tokens: 16}", false},
        {"a learner, tied", "learner: {micro_tokens: 16}", true},
        {"states on the host", "learner: {micro_tokens: 16, optimizer: {states: host}}", false},
        {"inputs kept", "learner: {micro_tokens: 320, gradient_checkpointing: true}", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SCOPED(recipe) recipe = recipe_of(rows[i].learner);
        SCOPED(backend) be = cuda_module_open();
        const struct model_config config = config_of(rows[i].tied);
        const struct device_shapes shapes = {.policy = &config, .unit = 1};
        struct device_memory m;
        device_memory_of_learner(recipe, &shapes, &m);
        train(be, &config, recipe);
        assert_planned(rows[i].what, &m, usage().bytes_most);
    }
}

/* ---- reward models */

enum { SCORED = 128, SEQUENCES = SCORES_GROUP_TOKENS / SCORED };

/* As many rows as a forward may have, of sequences as long as they may be. */
static void score(struct backend *be, const struct model_config *config)
{
    SCOPED(backend) cpu = NULL;
    SCOPED(model) fresh = NULL;
    SCOPED(model) model = NULL;
    SCOPED(scores) scores = NULL;
    uint32_t token[SEQUENCES][SCORED];
    struct sequence sequence[SEQUENCES];
    float got[SEQUENCES];
    for (int i = 0; i < SEQUENCES; i++) {
        for (int t = 0; t < SCORED; t++)
            token[i][t] = (uint32_t)(i * 7 + t) % V;
        sequence[i] = (struct sequence){
            .prompt = token[i], .prompt_tokens = 8, .token = token[i] + 8, .tokens = SCORED - 8};
    }
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    assert_ok(model_new(cpu, config, 5, &fresh));
    assert_ok(model_empty_compact(be, config, &model));
    copy_weights(model, fresh);
    assert_ok(scores_new_micro(model, SCORES_GROUP_TOKENS, SCORED, &scores));
    assert_ok(scores_run_all(scores, sequence, SEQUENCES, NULL, got));
}

static void a_reward_model_takes_what_is_planned(void **state)
{
    (void)state;
    static const char text[] = "data: {max_prompt_tokens: 64}\ngenerator: {max_tokens: 64}\n";
    SCOPED(recipe) recipe = NULL;
    SCOPED(backend) be = cuda_module_open();
    struct model_config config = config_of(false);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    struct device_memory m;
    config.parts = PARTS_CRITIC;
    device_memory_of_scores(recipe, &config, &m);
    score(be, &config);
    assert_planned("a reward model", &m, usage().bytes_most);
}

TESTS(cmocka_unit_test(a_reward_model_takes_what_is_planned),
      cmocka_unit_test(a_generator_takes_what_is_planned),
      cmocka_unit_test(a_learner_takes_what_is_planned))
