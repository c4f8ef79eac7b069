/* As exact_test.c, for each family and option: a token's log-probability has the same bits in the
 * decode engine and in a full forward elsewhere, and a batch's gradients are the same everywhere.
 *
 * Instruction sets (portable, AVX2, AVX-512) x threads (1, 2, 4) x KV formats. Sequences are longer
 * than two pages of keys and values, windows end within a page and leave a whole one behind. Each
 * with and without an adapter. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/adapter.h"
#include "model/backward.h"
#include "model/engine/engine.h"
#include "testing/models.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

enum { PLACES_MAX = 9, CONTEXT = 160, PROMPT = 70, COMPLETIONS = 3, VOCABULARY = 61, REQUESTS = 2 };

static struct backend *places[PLACES_MAX];
static char place_names[PLACES_MAX][32];
static int place_count;

static void open_places(void)
{
    static const char *const names[] = {"", "portable", "avx2", "avx512"};
    for (int isa = CPU_ISA_PORTABLE; isa <= CPU_ISA_AVX512; isa++)
        for (int threads = 1; threads <= 4; threads *= 2) {
            const struct backend_config config = {.threads = threads, .isa = (enum cpu_isa)isa};
            err_t e = backend_open(NULL, &config, &places[place_count]);
            if (err_code(e) == ERR_UNIMPLEMENTED) {
                err_free(e);
                continue;
            }
            assert_ok(e);
            snprintf(place_names[place_count++], sizeof place_names[0], "%s/%d", names[isa],
                     threads);
        }
}

static void close_places(void)
{
    while (place_count > 0)
        backend_free(places[--place_count]);
}

/* The family's plain form, then its options. Kv heads are as many as heads where a step of decoding
 * walks them together, else one for two. */
static bool case_of(int i, struct model_config *ret)
{
    static const struct rope llama3 = {.kind = ROPE_LLAMA3,
                                       .theta = 10000,
                                       .factor = 8,
                                       .original = 32,
                                       .low = 1,
                                       .high = 4},
                             yarn = {.kind = ROPE_YARN,
                                     .theta = 10000,
                                     .factor = 4,
                                     .original = 40,
                                     .beta_fast = 32,
                                     .beta_slow = 1,
                                     .whole = true};
    static const struct {
        const char *model_type;
        struct rope rope; // theta 0: the default
        int K, window, window_from;
        double rotary;
        enum layer_order order;
    } cases[] = {{"llama", llama3, 2, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"llama", yarn, 4, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"qwen2", {0}, 2, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"qwen2", {0}, 2, 90, 1, 1, LAYER_SEQUENTIAL},
                 {"qwen3", {0}, 2, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"mistral", {0}, 2, 23, 0, 1, LAYER_SEQUENTIAL},
                 {"mistral", {0}, 4, 64, 0, 1, LAYER_SEQUENTIAL},
                 {"gpt_neox", {0}, 4, 0, 0, 0.25, LAYER_PARALLEL},
                 {"gpt_neox", {0}, 4, 0, 0, 1, LAYER_SEQUENTIAL},
                 {"gpt2", {0}, 4, 0, 0, 1, LAYER_SEQUENTIAL}};
    if (i >= (int)(sizeof cases / sizeof *cases))
        return false;
    struct model_config config =
        config_default(VOCABULARY, 64, 100, 2, 4, cases[i].K, CONTEXT, i % 2);
    config_family(&config, family_find(cases[i].model_type));
    if (cases[i].rope.theta > 0)
        config.rope = cases[i].rope;
    config.window = cases[i].window;
    config.windowed = config.window;
    config.window_from = cases[i].window_from;
    config.rotary = cases[i].rotary;
    config.order = cases[i].order;
    *ret = config;
    return true;
}

/* Of all matrices, of a rank that is no multiple of anything; B is drawn, too. */
static void adapt(struct model *model)
{
    struct lora lora = {.r = 5, .alpha = 7, .rslora = true};
    const char *const all = "all-linear";
    assert_ok(adapter_targets(model->config.family, &all, 1, &lora.roles));
    assert_ok(adapter_empty(model, "base", &lora));
    const size_t elements = model->adapter->params->layout->elements;
    const struct rng rng = rng_keyed(6, RNG_TEST, 0, 0);
    SCOPED_MEM bf16 *flat = mem_array(elements, sizeof *flat);
    for (size_t i = 0; i < elements; i++)
        flat[i] = bf16_from_float((float)(0.2 * rng_uniform(&rng, i) - 0.1));
    assert_ok(model_put(model->adapter, flat, NULL));
}

static struct model *model_at(struct backend *be, const struct model_config *config, int kv,
                              bool adapted)
{
    struct model *model = NULL;
    assert_ok(model_new(be, config, 5, &model));
    model->kv = (enum kv_format)kv;
    if (adapted)
        adapt(model);
    return model;
}

/* Of one finished completion: how many of its log-probabilities are other bits in the full
 * forward. */
static int differing(struct forward *fw, const int32_t *prompt, const struct engine_completion *c)
{
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT];
    float logp[CONTEXT];
    const int N = PROMPT + c->tokens - 1;
    int different = 0;
    memcpy(token, prompt, PROMPT * sizeof *token);
    memcpy(token + PROMPT, c->token, (size_t)c->tokens * sizeof *token);
    for (int i = 0; i < CONTEXT; i++) {
        position[i] = i;
        row[i] = PROMPT - 1 + i;
    }
    const struct segment segment = {.count = N};
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    assert_ok(forward_logp(fw, row, c->token, c->tokens, 1, logp, NULL));
    for (int i = 0; i < c->tokens; i++)
        different += memcmp(&logp[i], &c->logp[i], sizeof *logp) != 0;
    return different;
}

/* Completions of two prompts by the engine here, each computed again there; returns how many
 * log-probabilities were compared. */
static int decode(const struct model_config *config, int kv, bool adapted, struct backend *here,
                  struct backend *there)
{
    SCOPED(model) model = model_at(here, config, kv, adapted);
    SCOPED(model) twin = model_at(there, config, kv, adapted);
    SCOPED(forward) fw = NULL;
    SCOPED(engine) engine = NULL;
    const struct engine_config settings = {
        .slots = REQUESTS * COMPLETIONS, .max_context = CONTEXT, .step_rows = 48};
    int32_t prompt[REQUESTS][PROMPT];
    const struct rng rng = rng_keyed(41, RNG_TEST, 0, 0);
    int compared = 0;
    assert_ok(forward_new(twin, CONTEXT, 32, FORWARD_NOTHING, &fw));
    assert_ok(engine_new(model, &settings, &engine));
    for (int r = 0; r < REQUESTS; r++) {
        for (int i = 0; i < PROMPT; i++)
            prompt[r][i] = (int32_t)rng_below(&rng, (uint64_t)(r * PROMPT + i), VOCABULARY);
        const struct engine_request request = {
            .tag = (uint64_t)r,
            .prompt = prompt[r],
            .prompt_tokens = PROMPT,
            .completions = COMPLETIONS,
            .max_tokens = CONTEXT - PROMPT,
            .sampling = {.temperature = 1, .seed = 3, .prompt = (uint64_t)r}};
        assert_ok(engine_admit(engine, &request));
    }
    while (engine_active(engine)) {
        const struct engine_completion *finished;
        int count;
        assert_ok(engine_step(engine, &finished, &count));
        for (int i = 0; i < count; i++) {
            assert_int_equal(differing(fw, prompt[finished[i].tag], &finished[i]), 0);
            compared += finished[i].tokens;
        }
    }
    return compared;
}

static void decoding_is_the_forward_to_the_bit(void **state)
{
    (void)state;
    struct model_config config;
    open_places();
    for (int i = 0; case_of(i, &config); i++) {
        int compared = 0;
        for (int p = 0; p < 2 * place_count; p++) // the format by turns; here and there differ
            compared += decode(&config, (p + i) % 2, p >= place_count, places[p % place_count],
                               places[(p + 4) % place_count]);
        print_message("case %d, %s: %d log-probabilities at %d places\n", i,
                      config.family->model_type, compared, place_count);
        assert_true(compared >= 2 * place_count * REQUESTS * COMPLETIONS);
    }
    close_places();
}

/* The digest of the gradients of a prompt with two completions that share it, and a sequence that
 * stands alone. */
static uint64_t gradient_at_place(const struct model_config *config, bool adapted,
                                  struct backend *be)
{
    enum { SHARED = 80, FIRST = 20, SECOND = 33, ALONE = 7, N = SHARED + FIRST + SECOND + ALONE };
    const struct segment segments[] = {{.first = 0, .count = SHARED},
                                       {.first = SHARED, .count = FIRST, .start = SHARED},
                                       {.first = SHARED + FIRST, .count = SECOND, .start = SHARED},
                                       {.first = SHARED + FIRST + SECOND, .count = ALONE}};
    SCOPED(model) model = model_at(be, config, KV_BF16, adapted);
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    int32_t token[N], position[N], row[N], target[N];
    float dlogp[N];
    const struct rng rng = rng_keyed(43, RNG_TEST, 0, 0);
    for (int s = 0; s < 4; s++)
        for (int i = 0; i < segments[s].count; i++)
            position[segments[s].first + i] = segments[s].start + i;
    for (int i = 0; i < N; i++) {
        token[i] = (int32_t)rng_below(&rng, (uint64_t)(2 * i), VOCABULARY);
        target[i] = (int32_t)rng_below(&rng, (uint64_t)(2 * i + 1), VOCABULARY);
        row[i] = i;
        dlogp[i] = (float)(i % 7 - 3) / 100;
    }
    assert_ok(forward_new(model, N, 32, FORWARD_ALL, &fw));
    assert_ok(gradient_new(model, &grad));
    assert_ok(forward_run(fw, token, position, N, segments, 4));
    assert_ok(backward_run(fw, row, target, dlogp, N, 1, grad));
    assert_ok(gradient_sum(grad));
    SCOPED_MEM float *flat = gradient_of(grad);
    return hash64(flat, grad->count * sizeof *flat, 0);
}

static void gradients_are_alike_everywhere(void **state)
{
    (void)state;
    struct model_config config;
    open_places();
    for (int i = 0; case_of(i / 2, &config); i++) {
        const uint64_t wanted = gradient_at_place(&config, i % 2, places[0]);
        for (int p = 1; p < place_count; p++)
            assert_int_equal(gradient_at_place(&config, i % 2, places[p]), wanted);
    }
    close_places();
}

TESTS(cmocka_unit_test(decoding_is_the_forward_to_the_bit),
      cmocka_unit_test(gradients_are_alike_everywhere))
