/* Micro-batches: what lies where, who shares a prompt's rows, and that neither sharing nor cutting
 * shows in the bits. */
#include "model/backward.h"
#include "model/pack.h"
#include "tiny.h"
#include <math.h>

enum { GROUPS = 7, MAX = 64, TARGETS_MAX = 512, LONGEST = 96 };

/* Groups of random tokens; with `apart`, every sequence has its own copy of its prompt, so nothing
 * is shared. */
struct texts {
    uint32_t token[64 * MAX];
    size_t used, count;
    struct sequence at[MAX];
};

static const uint32_t *add_tokens(struct texts *t, const struct rng *rng, int from, int count)
{
    uint32_t *token = t->token + t->used;
    t->used += (size_t)count;
    assert_true(t->used <= sizeof t->token / sizeof *t->token);
    for (int i = 0; i < count; i++)
        token[i] = (uint32_t)rng_below(rng, (uint64_t)(from + i), 37);
    return token;
}

static void add_group(struct texts *t, int g, int prompt, int k, bool apart)
{
    const struct rng rng = rng_keyed(4, RNG_TEST, (uint64_t)g, 0);
    const uint32_t *shared = add_tokens(t, &rng, 0, prompt);
    for (int i = 0; i < k; i++) {
        const int tokens = 1 + (int)rng_below(&rng, (uint64_t)(1000 + i), 9);
        assert_true(t->count < MAX);
        t->at[t->count++] =
            (struct sequence){.prompt = apart ? add_tokens(t, &rng, 0, prompt) : shared,
                              .token = add_tokens(t, &rng, 2000 + 100 * i, tokens),
                              .prompt_tokens = prompt,
                              .tokens = tokens,
                              .context = prompt};
    }
}

static struct texts *texts_new(bool apart)
{
    static const int prompt[GROUPS] = {40, 1, 7, 2, 33, 12, 20}, k[GROUPS] = {4, 3, 1, 2, 8, 5, 20};
    struct texts *t = mem_new(sizeof *t);
    for (int g = 0; g < GROUPS; g++)
        add_group(t, g, prompt[g], k[g], apart);
    return t;
}

/* ---- layout */

static void assert_segment(const struct segment *s, int first, int count, int start, int prefix)
{
    assert_int_equal(s->first, first);
    assert_int_equal(s->count, count);
    assert_int_equal(s->start, start);
    assert_int_equal(s->prefix, prefix);
}

static void a_prompt_is_there_once(void **state)
{
    (void)state;
    static const uint32_t prompt[] = {10, 11, 12}, a[] = {1, 2}, b[] = {3}, c[] = {4, 5, 6};
    const struct sequence s[] = {{prompt + 2, c, 1, 3, 1}, // one token: nothing to share
                                 {prompt + 2, b, 1, 1, 1}, {prompt, a, 3, 2, 3},
                                 {prompt, b, 3, 1, 3},     {prompt, c, 3, 3, 3},
                                 {prompt, c, 3, 3, 1}, // learns its prompt
                                 {prompt, b, 2, 1, 2}};
    static const int32_t token[] = {12, 4, 5,  12, 10, 11, 12, 1,  12, 12,
                                    4,  5, 10, 11, 12, 4,  5,  10, 11};
    static const int32_t position[] = {0, 1, 2, 0, 0, 1, 2, 3, 2, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1};
    static const int row[] = {0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18};
    static const int32_t target[] = {4, 5, 6, 3, 1, 2, 3, 4, 5, 6, 11, 12, 4, 5, 6, 3};
    static const int first[] = {0, 3, 4, 6, 7, 10, 15, 16};
    SCOPED(pack) pack = NULL;
    assert_ok(pack_new(100, 5, &pack));
    assert_int_equal(pack_fill(pack, s, 7, NULL), 7);
    assert_int_equal(pack->rows, 19);
    assert_int_equal(pack->segments, 8);
    assert_int_equal(pack->sequences, 7);
    assert_int_equal(pack->targets, 16);
    assert_memory_equal(pack->token, token, sizeof token);
    assert_memory_equal(pack->position, position, sizeof position);
    assert_memory_equal(pack->row, row, sizeof row);
    assert_memory_equal(pack->target, target, sizeof target);
    assert_memory_equal(pack->first, first, sizeof first);
    assert_segment(&pack->segment[0], 0, 3, 0, 0);
    assert_segment(&pack->segment[1], 3, 1, 0, 0);
    assert_segment(&pack->segment[2], 4, 2, 0, 0);
    assert_segment(&pack->segment[3], 6, 2, 2, 4);
    assert_segment(&pack->segment[4], 8, 1, 2, 4);
    assert_segment(&pack->segment[5], 9, 3, 2, 4);
    assert_segment(&pack->segment[6], 12, 5, 0, 0);
    assert_segment(&pack->segment[7], 17, 2, 0, 0);
    assert_err(ERR_INVALID, "must be positive", pack_new(0, 5, &(struct pack *){NULL}));
}

/* Counts and starts of all segments, whatever the cut. */
static int shape_of(const struct sequence *s, size_t count, int micro, int longest, size_t unit,
                    int ret[][2])
{
    SCOPED(pack) pack = NULL;
    int n = 0;
    assert_ok(pack_new(micro, longest, &pack));
    size_t begins[MAX + 1];
    for (size_t i = 0; i <= count / unit; i++)
        begins[i] = i * unit;
    for (size_t at = 0; at < count;) {
        const size_t taken = pack_fill(pack, s + at, count - at, begins + at / unit);
        assert_true(taken > 0 && taken % unit == 0 && (int)taken == pack->sequences);
        assert_true(pack->rows <= pack->max_rows);
        assert_true(pack->rows <= micro || taken <= PACK_SHARING);
        for (int i = 0; i < pack->segments; i++, n++) {
            ret[n][0] = pack->segment[i].count;
            ret[n][1] = pack->segment[i].start;
        }
        at += taken;
    }
    return n;
}

static void who_shares_does_not_depend_on_the_cut(void **state)
{
    (void)state;
    static const int micro[] = {1, 50, 64, 100, 333, 100000};
    SCOPED_MEM struct texts *t = texts_new(false);
    for (size_t unit = 1; unit <= 2; unit++) {
        const size_t count = t->count / unit * unit;
        int first[2 * MAX][2], other[2 * MAX][2];
        const int n = shape_of(t->at, count, micro[0], LONGEST, unit, first);
        for (size_t m = 1; m < sizeof micro / sizeof *micro; m++) {
            assert_int_equal(shape_of(t->at, count, micro[m], LONGEST, unit, other), n);
            assert_memory_equal(first, other, (size_t)n * sizeof *first);
        }
        int shared = 0; // 20 of one prompt are two blocks
        for (int i = 0; i < n; i++)
            shared += first[i][1] == 0 && first[i][0] == 19;
        assert_int_equal(shared, 2);
    }
}

static void blocks_have_a_limit_of_rows(void **state)
{
    (void)state;
    static uint32_t token[3000];
    struct sequence s[8];
    int shape[32][2];
    for (int i = 0; i < 8; i++)
        s[i] = (struct sequence){
            .prompt = token, .token = token, .prompt_tokens = 301, .tokens = 200, .context = 301};
    assert_int_equal(shape_of(s, 8, 1, 500, 1, shape), 8 + 3); // 300 + 3 * 200 and so on
    assert_int_equal(shape[4][0], 300);
    assert_int_equal(shape_of(s, 8, 1, 1000, 2, shape), 8 + 4); // pairs: two at a time
    for (int i = 0; i < 8; i++)
        s[i].tokens = 1500; // each alone
    assert_int_equal(shape_of(s, 8, 1, 1800, 1, shape), 8);
    assert_int_equal(shape_of(s, 8, 1, 3600, 2, shape), 8 + 4); // but pairs stay together
}

/* Units of several sizes: none is cut, a block has whole ones, and one of more than may share is a
 * block by itself. */
static void units_stay_together(void **)
{
    enum { COUNT = 31 };
    static const size_t unit[] = {100, 103, 108,
                                  125, 126, 131}; // places in an array that these are part of
    static const size_t block[] = {8, 17, 6};     // sequences: two units, one, two
    static uint32_t token[64];
    struct sequence s[COUNT];
    SCOPED(pack) pack = NULL;
    for (int i = 0; i < COUNT; i++)
        s[i] = (struct sequence){
            .prompt = token, .token = token, .prompt_tokens = 11, .tokens = 20, .context = 11};
    assert_ok(pack_new(1, 17 * 30, &pack));
    for (size_t at = 0, b = 0, u = 0; at < COUNT; at += block[b++]) {
        while (unit[u] - unit[0] < at)
            u++;
        assert_int_equal(pack_fill(pack, s + at, COUNT - at, unit + u), block[b]);
        assert_int_equal(pack->sequences, block[b]);
        assert_int_equal(pack->rows, 10 + 20 * block[b]);
    }
}

/* ---- through a model */

struct result {
    float logp[TARGETS_MAX], *gradient;
    size_t count;
    long rows;
};

static void result_done(struct result *r)
{
    mem_free(r->gradient);
}

static struct result compute(enum cpu_isa isa, int threads, const struct texts *t, int micro,
                             int head_rows)
{
    struct result r = {0};
    const struct model_config config = tiny_config(true);
    const struct backend_config cpu = {.threads = threads, .isa = isa};
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(pack) pack = NULL;
    float dlogp[TARGETS_MAX];
    int base = 0;
    assert_ok(backend_open(NULL, &cpu, &be));
    assert_ok(model_new(be, &config, 5, &model));
    assert_ok(pack_new(micro, LONGEST, &pack));
    assert_ok(forward_new(model, pack->max_rows, head_rows, true, &fw));
    assert_ok(gradient_new(model, &grad));
    for (size_t at = 0; at < t->count; base += pack->targets) {
        at += pack_fill(pack, t->at + at, t->count - at, NULL);
        assert_true(base + pack->targets <= TARGETS_MAX);
        for (int i = 0; i < pack->targets; i++)
            dlogp[i] = (float)((base + i) * 37 % 101 - 40) / 100;
        assert_ok(forward_run(fw, pack->token, pack->position, pack->rows, pack->segment,
                              pack->segments));
        assert_ok(
            forward_logp(fw, pack->row, pack->target, pack->targets, 0.8f, r.logp + base, NULL));
        assert_ok(backward_run(fw, pack->row, pack->target, dlogp, pack->targets, 0.8f, grad));
        r.rows += pack->rows;
    }
    assert_ok(gradient_sum(grad));
    r.count = grad->count;
    r.gradient = gradient_of(grad);
    return r;
}

/* Relative to the gradient's size: float32 sums in two orders. */
static void sharing_changes_the_order_of_the_gradient_alone(void **state)
{
    (void)state;
    SCOPED_MEM struct texts *together = texts_new(false);
    SCOPED_MEM struct texts *apart = texts_new(true);
    SCOPED_VALUE(result) a = compute(CPU_ISA_BEST, 1, together, 4096, 16);
    SCOPED_VALUE(result) b = compute(CPU_ISA_BEST, 1, apart, 4096, 16);
    assert_memory_equal(a.logp, b.logp, sizeof a.logp);
    assert_true(2 * a.rows < b.rows);
    double size = 0, distance = 0;
    for (size_t i = 0; i < a.count; i++) {
        const double x = (double)a.gradient[i], y = (double)b.gradient[i];
        size += x * x;
        distance += (x - y) * (x - y);
    }
    print_message("%ld rows for %ld, distance %.1e\n", a.rows, b.rows, sqrt(distance / size));
    assert_true(size > 0 && distance < 1e-12 * size);
}

static void cuts_threads_and_instruction_sets_change_no_bit(void **state)
{
    (void)state;
    SCOPED_MEM struct texts *t = texts_new(false);
    SCOPED_VALUE(result) want = compute(CPU_ISA_PORTABLE, 1, t, 4096, 64);
    for (int isa = CPU_ISA_BEST; isa <= CPU_ISA_AVX512; isa++) {
        SCOPED(backend) be = NULL;
        const struct backend_config config = {.threads = 1, .isa = (enum cpu_isa)isa};
        err_t e = backend_open(NULL, &config, &be);
        if (err_code(e) == ERR_UNIMPLEMENTED) {
            err_free(e);
            continue;
        }
        assert_ok(e);
        for (int i = 0; i < 4; i++) { // 1 or 2 threads, large or small micro-batches
            SCOPED_VALUE(result)
            got = compute((enum cpu_isa)isa, 1 + i % 2, t, i < 2 ? 4096 : 60, i < 2 ? 64 : 5);
            assert_memory_equal(want.logp, got.logp, sizeof want.logp);
            assert_memory_equal(want.gradient, got.gradient, want.count * sizeof(float));
        }
    }
}

TESTS(cmocka_unit_test(a_prompt_is_there_once),
      cmocka_unit_test(who_shares_does_not_depend_on_the_cut),
      cmocka_unit_test(blocks_have_a_limit_of_rows), cmocka_unit_test(units_stay_together),
      cmocka_unit_test(sharing_changes_the_order_of_the_gradient_alone),
      cmocka_unit_test(cuts_threads_and_instruction_sets_change_no_bit))
