/* The whole gradient of small models of each family on the module, near the CPU's. Cuts into
 * micro-batches change no bit of it, nor do activations that are computed again. */
#include "cuda/module.h"
#include "model/pack.h"
#include "parity/families.h"
#include <math.h>

static struct backend *cuda, *cpu;
static bool checked;

static int open_both(void **state)
{
    (void)state;
    const char *path = getenv("RLHFD_BACKEND");
    checked = path && strstr(path, "_checked");
    cuda = cuda_module_open();
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    return 0;
}

static int close_both(void **state)
{
    (void)state;
    backend_free(cuda);
    backend_free(cpu);
    return 0;
}

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
    struct model_config config, after;
    for (int i = 0; case_of(i, &config); i++) {
        char what[64];
        /* The checked build takes the first and the last: other tests check every kernel. */
        if (checked && !getenv("RLHFD_EMU") && i && case_of(i + 1, &after))
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(families_learn_alike),
                                       cmocka_unit_test(values_learn_alike)};
    return cmocka_run_group_tests(tests, open_both, close_both);
}
