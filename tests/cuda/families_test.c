/* Each family and option on the module. A token's log-probability has the same bits in any step of
 * decoding, however prompts were cut, and in a forward of the whole sequence without pages: the
 * learner's and the reference's. All of them are near the CPU's, and so are gradients. */
#include "cuda/module.h"
#include "model/pack.h"
#include "parity/families.h"
#include <math.h>

static struct backend *cuda, *other, *cpu;
static bool checked;

static int open_all(void **state)
{
    (void)state;
    const char *path = getenv("RLHFD_BACKEND");
    checked = path && strstr(path, "_checked");
    cuda = cuda_module_open();
    other = cuda_module_open();
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    backend_free(cuda);
    backend_free(other);
    backend_free(cpu);
    return 0;
}

/* The checked build takes the first and the last of them: other tests check every kernel. */
static bool is_taken(int i, const struct model_config *config)
{
    struct model_config after;
    (void)config;
    return !checked || getenv("RLHFD_EMU") || i == 0 || !case_of(i + 1, &after);
}

static void decoding_is_the_forward_to_the_bit(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        if (!is_taken(i, &config))
            continue;
        const int tokens = getenv("RLHFD_EMU") ? TOKENS : checked ? 8 : 20;
        const int compared = decode(&config, KV_BF16, i % 2, tokens, cuda, other);
        print_message("case %d, %s: %d log-probabilities\n", i, config.family->model_type,
                      compared);
        assert_true(compared >= REQUESTS * COMPLETIONS * tokens / 2);
    }
}

/* Log-probabilities of a sequence under models of the same weights. */
static void logp_at(struct backend *be, const struct model_config *config, float *ret)
{
    SCOPED(model) model = model_at(be, config, KV_BF16, true);
    SCOPED(forward) fw = NULL;
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT];
    const struct rng rng = rng_keyed(44, RNG_TEST, 0, 0);
    const struct segment segment = {.count = CONTEXT};
    for (int i = 0; i < CONTEXT; i++) {
        token[i] = (int32_t)rng_below(&rng, (uint64_t)i, VOCABULARY);
        position[i] = row[i] = i;
    }
    assert_ok(forward_new(model, CONTEXT, 32, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, CONTEXT, &segment, 1));
    assert_ok(forward_logp(fw, row, token + 1, CONTEXT - 1, 1, ret, NULL));
}

/* Rounding x to bf16 moves each product by 2^-9 of its terms, in a dozen products one behind the
 * other: some hundredths at worst, some thousandths on average. */
static void log_probabilities_are_near_the_cpus(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        float here[CONTEXT], there[CONTEXT];
        double sum = 0, largest = 0;
        if (!is_taken(i, &config))
            continue;
        logp_at(cuda, &config, here);
        logp_at(cpu, &config, there);
        for (int t = 0; t < CONTEXT - 1; t++) {
            const double off = fabs((double)here[t] - there[t]);
            sum += off;
            largest = fmax(largest, off);
        }
        print_message("case %d, %s: |d logp| %.5f on average, %.5f at most\n", i,
                      config.family->model_type, sum / (CONTEXT - 1), largest);
        assert_true(sum / (CONTEXT - 1) <= 0.02);
        assert_true(largest > 0); // another arithmetic
    }
}

/* ---- the shapes of SmolLM2-135M, two layers of them */

enum { SMOL_PROMPT = 20, SMOL_TOKENS = 12, SMOL_SEQUENCE = SMOL_PROMPT + SMOL_TOKENS };

/* A completion by the engine. */
static void complete(struct model *model, const int32_t *prompt, int32_t *ret_token,
                     float *ret_logp)
{
    SCOPED(engine) engine = NULL;
    const struct engine_config settings = {.slots = 2, .max_context = 64, .step_rows = 16};
    const struct engine_request request = {.prompt = prompt,
                                           .prompt_tokens = SMOL_PROMPT,
                                           .completions = 1,
                                           .max_tokens = SMOL_TOKENS,
                                           .sampling = {.temperature = 1, .seed = 5}};
    assert_ok(engine_new(model, &settings, &engine));
    assert_ok(engine_admit(engine, &request));
    while (engine_active(engine)) {
        const struct engine_completion *c;
        int count;
        assert_ok(engine_step(engine, &c, &count));
        if (count) {
            memcpy(ret_token, c->token, SMOL_TOKENS * sizeof *ret_token);
            memcpy(ret_logp, c->logp, SMOL_TOKENS * sizeof *ret_logp);
        }
    }
}

/* Its log-probabilities by a forward of the whole sequence. */
static void recount(struct model *model, const int32_t *prompt, const int32_t *token, float *ret)
{
    SCOPED(forward) fw = NULL;
    int32_t all[SMOL_SEQUENCE], position[SMOL_SEQUENCE], row[SMOL_TOKENS];
    const struct segment segment = {.count = SMOL_SEQUENCE - 1};
    memcpy(all, prompt, SMOL_PROMPT * sizeof *all);
    memcpy(all + SMOL_PROMPT, token, SMOL_TOKENS * sizeof *all);
    for (int i = 0; i < SMOL_SEQUENCE; i++)
        position[i] = i;
    for (int i = 0; i < SMOL_TOKENS; i++)
        row[i] = SMOL_PROMPT - 1 + i;
    assert_ok(forward_new(model, SMOL_SEQUENCE, SMOL_TOKENS, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, all, position, SMOL_SEQUENCE - 1, &segment, 1));
    assert_ok(forward_logp(fw, row, token, SMOL_TOKENS, 1, ret, NULL));
}

/* A fresh model, whose embedding, which is the head too, is four times as large: logits have the
 * spread of a trained model's, some two nats. */
static struct model *smol_at(struct backend *be)
{
    const struct model_config config = config_default(49152, 576, 1536, 2, 9, 3, 64, true);
    struct model *model = NULL;
    assert_ok(model_new(be, &config, 5, &model));
    const struct layout_tensor *head = model_head(model, HEAD_VOCABULARY);
    SCOPED_MEM bf16 *flat = flat_of(model);
    for (size_t i = head->offset; i < head->offset + head->count; i++)
        flat[i] = bf16_from_float(4 * bf16_to_float(flat[i]));
    assert_ok(model_put(model, flat, NULL));
    return model;
}

static void smollm2_is_near_the_cpu(void **state)
{
    (void)state;
    SCOPED(model) here = NULL;
    SCOPED(model) there = NULL;
    int32_t prompt[SMOL_PROMPT], token[SMOL_TOKENS];
    float decoded[SMOL_TOKENS], whole[SMOL_TOKENS], host[SMOL_TOKENS];
    double off = 0, k3 = 0;
    if (checked || !getenv("RLHFD_EMU"))
        skip();
    here = smol_at(cuda);
    there = smol_at(cpu);
    assert_ok(model_keep_kv(there, KV_BF16));
    for (int i = 0; i < SMOL_PROMPT; i++)
        prompt[i] = 17 + i * 2411 % 49000;
    complete(here, prompt, token, decoded);
    recount(here, prompt, token, whole);
    recount(there, prompt, token, host);
    assert_memory_equal(decoded, whole, sizeof whole);
    for (int i = 0; i < SMOL_TOKENS; i++) {
        const double d = (double)decoded[i] - (double)host[i];
        off += fabs(d) / SMOL_TOKENS;
        k3 += (exp(-d) - 1 + d) / SMOL_TOKENS;
    }
    print_message("SmolLM2's shapes: |d logp| %.5f on average, KL (k3) %.2e\n", off, k3);
    assert_true(off <= 0.02 && k3 <= 1e-3);
}

/* The value's head on hidden rows: alike in one call and row by row, and near the CPU's. */
static void value_at(struct backend *be, const struct model_config *config, int at_once, float *ret)
{
    enum { N = 40 };
    SCOPED(model) model = model_at(be, config, KV_BF16, false);
    SCOPED(model) head = NULL;
    SCOPED(forward) fw = NULL;
    int32_t token[N], position[N], row[N];
    const struct segment segment = {.count = N};
    for (int i = 0; i < N; i++) {
        token[i] = (i * i + 3) % VOCABULARY;
        position[i] = row[i] = i;
    }
    assert_ok(model_new_value(be, config, &head));
    assert_ok(model_draw_value(head, 9, 0.1));
    assert_ok(forward_new(model, N, at_once, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    assert_ok(forward_value(fw, head, row, N, ret));
}

static void values_are_alike_however_they_are_asked(void **state)
{
    (void)state;
    struct model_config config;
    float all[40], single[40], host[40];
    assert_true(case_of(0, &config));
    value_at(cuda, &config, 40, all);
    value_at(other, &config, 1, single);
    value_at(cpu, &config, 40, host);
    assert_memory_equal(all, single, sizeof all);
    for (int i = 0; i < 40; i++)
        assert_near(all[i], host[i], 0.03);
}

/* ---- gradients: cuts into micro-batches change no bit, nor do activations computed again */

/* Neighbours share a prompt; one has its own. */
enum { SEQUENCES = 6, LONGEST = 70, ALL_ROWS = 1024, HEAD_ROWS = 512 };
static const int prompts[SEQUENCES] = {0, 0, 0, 1, 2, 2}, prompt_tokens[] = {37, 5, 12},
                 completion_tokens[SEQUENCES] = {20, 1, 33, 9, 3, 30};

struct batch {
    uint32_t prompt[3][LONGEST], token[SEQUENCES][LONGEST];
    struct sequence sequence[SEQUENCES];
};

static void fill_tokens(uint32_t *to, int stream)
{
    const struct rng rng = rng_keyed(51, RNG_TEST, (uint64_t)stream, 0);
    for (int i = 0; i < LONGEST; i++)
        to[i] = (uint32_t)rng_below(&rng, (uint64_t)i, VOCABULARY);
}

static void fill_batch(struct batch *b)
{
    for (int p = 0; p < 3; p++)
        fill_tokens(b->prompt[p], p);
    for (int s = 0; s < SEQUENCES; s++) {
        const int p = prompts[s];
        fill_tokens(b->token[s], 10 + s);
        b->sequence[s] = (struct sequence){b->prompt[p], b->token[s], prompt_tokens[p],
                                           completion_tokens[s], prompt_tokens[p]};
    }
}

/* d loss / d logp of a sequence's targets. */
static void fill_slopes(float *to, int sequence, int targets)
{
    const struct rng rng = rng_keyed(52, RNG_TEST, (uint64_t)sequence, 0);
    for (int i = 0; i < targets; i++)
        to[i] = (float)(rng_uniform(&rng, (uint64_t)i) - 0.3);
}

/* of: NULL, or whose value's head has the gradient, beside the model's own. */
static void add_gradient(struct model *model, enum forward_keep keep, int micro_tokens,
                         struct gradient *grad, struct model *of, struct gradient *of_grad)
{
    struct batch batch;
    SCOPED(pack) pack = NULL;
    SCOPED(forward) fw = NULL;
    float slope[SEQUENCES * LONGEST];
    fill_batch(&batch);
    assert_ok(pack_new(micro_tokens, 2 * LONGEST, &pack));
    assert_ok(forward_new(model, pack->max_rows, HEAD_ROWS, keep, &fw));
    for (int at = 0, some; at < SEQUENCES; at += some) {
        some = (int)pack_fill(pack, batch.sequence + at, (size_t)(SEQUENCES - at), NULL);
        for (int s = 0; s < some; s++)
            fill_slopes(slope + pack->first[s], at + s, pack->first[s + 1] - pack->first[s]);
        assert_ok(forward_run(fw, pack->token, pack->position, pack->rows, pack->segment,
                              pack->segments));
        assert_ok(backward_begin(fw));
        assert_ok(backward_head(fw, pack->row, pack->target, slope, pack->targets, 0.8f, grad));
        if (of)
            assert_ok(backward_value(fw, of, pack->row, slope, pack->targets, of_grad));
        assert_ok(backward_body(fw, grad));
    }
    assert_ok(gradient_sum(grad));
}

static struct gradient *gradient_by(struct model *model, enum forward_keep keep, int micro_tokens)
{
    struct gradient *grad = NULL;
    assert_ok(gradient_new(model, &grad));
    add_gradient(model, keep, micro_tokens, grad, NULL, NULL);
    return grad;
}

static double size_of(const float *x, size_t count)
{
    double size = 0;
    for (size_t i = 0; i < count; i++)
        size += (double)x[i] * (double)x[i];
    return sqrt(size);
}

/* Products round both factors to bf16, by 0.0016 of each on average. A gradient has passed some
 * dozens of them: a hundredth or two. A tensor's share is of its own size, or of a hundredth of the
 * whole gradient's where that is more. A bias of keys that are not rotated has no slope. */
static void assert_near_the_cpus(const struct gradient *grad, const struct gradient *cpus,
                                 const struct layout *layout, const char *what)
{
    SCOPED_MEM float *off = gradient_of(grad), *want = gradient_of(cpus);
    const double size = size_of(want, grad->count);
    double worst = 0;
    for (size_t i = 0; i < grad->count; i++)
        off[i] -= want[i];
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const double own = size_of(want + t->offset, t->count);
        const double share = size_of(off + t->offset, t->count) / fmax(own, size / 100);
        worst = share > worst ? share : worst;
    }
    const double all = size_of(off, grad->count) / size;
    print_message("%s: %.4f of the gradient, %.4f of a tensor's\n", what, all, worst);
    assert_true(all > 0 && all <= 0.02); // 0: the same arithmetic
    assert_true(worst <= 0.04);
}

static void family(const struct model_config *config, bool adapted, const char *what)
{
    SCOPED(model) here = model_at(cuda, config, KV_BF16, adapted);
    SCOPED(model) there = model_at(cpu, config, KV_BF16, adapted);
    SCOPED(gradient) whole = gradient_by(here, FORWARD_ALL, ALL_ROWS);
    SCOPED(gradient) parts = gradient_by(here, FORWARD_INPUTS, 1);
    SCOPED(gradient) cpus = gradient_by(there, FORWARD_ALL, ALL_ROWS);
    assert_same_gradient(whole, parts);
    assert_near_the_cpus(whole, cpus, model_trained(here)->params->layout, what);
}

static void families_learn_alike(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        char what[64];
        if (!is_taken(i, &config))
            continue;
        for (int adapted = 0; adapted < 2; adapted++) {
            if (adapted && i % 3 && !getenv("RLHFD_EMU"))
                continue;
            snprintf(what, sizeof what, "case %d, %s%s%s", i, config.family->model_type,
                     config.tied ? ", tied" : "", adapted ? ", adapted" : "");
            family(&config, adapted, what);
        }
    }
}

/* A value's head by itself beside the model. */
static void values_learn_alike(void **state)
{
    (void)state;
    struct model_config config;
    struct gradient *grad[3], *head[3];
    struct model *model[3], *alone[3];
    assert_true(case_of(0, &config));
    for (int i = 0; i < 3; i++) {
        struct backend *be = i < 2 ? cuda : cpu;
        model[i] = model_at(be, &config, KV_BF16, false);
        assert_ok(model_new_value(be, &config, &alone[i]));
        assert_ok(model_draw_value(alone[i], 9, 0.1));
        assert_ok(gradient_new(model[i], &grad[i]));
        assert_ok(gradient_new(alone[i], &head[i]));
        add_gradient(model[i], i == 1 ? FORWARD_INPUTS : FORWARD_ALL, i == 1 ? 1 : ALL_ROWS,
                     grad[i], alone[i], head[i]);
    }
    assert_same_gradient(grad[0], grad[1]);
    assert_same_gradient(head[0], head[1]);
    assert_near_the_cpus(grad[0], grad[2], model[0]->params->layout, "under a value's head");
    assert_near_the_cpus(head[0], head[2], alone[0]->params->layout, "the value's head");
    for (int i = 0; i < 3; i++) {
        gradient_free(head[i]);
        gradient_free(grad[i]);
        model_free(alone[i]);
        model_free(model[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_is_the_forward_to_the_bit),
        cmocka_unit_test(log_probabilities_are_near_the_cpus),
        cmocka_unit_test(smollm2_is_near_the_cpu),
        cmocka_unit_test(values_are_alike_however_they_are_asked),
        cmocka_unit_test(families_learn_alike),
        cmocka_unit_test(values_learn_alike),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
