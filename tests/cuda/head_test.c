/* A model's vocabulary head on the module: by default its products take hidden states as they are,
 * and round_head has them rounded. Logits are held to sums in double over the same hidden states.
 */
#include "base/mem.h"
#include "model/forward.h"
#include "model/numerics.h"
#include "testing/models.h"
#include "testing/testing.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 9, V = 37, C = 64 };

/* The largest distance of a logit from its sum. */
static double largest_error(struct model *model, struct forward *fw)
{
    struct backend *be = model->be;
    const struct layout_tensor *head = model_head(model, HEAD_VOCABULARY);
    SCOPED_MEM float *x = mem_array((size_t)N * C, sizeof *x);
    SCOPED_MEM float *logits = mem_array((size_t)N * V, sizeof *logits);
    SCOPED_MEM bf16 *w = mem_array((size_t)V * C, sizeof *w);
    int32_t row[N];
    double largest = 0;
    for (int n = 0; n < N; n++)
        row[n] = n;
    SCOPED_VALUE(buffer) out = {0};
    assert_ok(buffer_alloc(be, (size_t)N * V * sizeof *logits, &out));
    assert_ok(forward_logits(fw, row, N, out.address));
    assert_ok(buffer_get(&out, 0, out.bytes, logits));
    assert_ok(be->ops->get(be, x, forward_hidden(fw), (size_t)N * C * sizeof *x));
    assert_ok(model_copy(model, head->offset, head->count, w));
    for (int n = 0; n < N; n++)
        for (int v = 0; v < V; v++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += (double)x[n * C + c] * (double)bf16_to_float(w[v * C + c]);
            largest = fmax(largest, fabs(sum - (double)logits[n * V + v]));
        }
    return largest;
}

static double error_of(bool round_head, bool tied)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    const struct model_config config = config_default(V, C, 48, 2, 4, 2, 96, tied);
    const char *named = getenv("RLHFD_BACKEND");
    const struct segment segment = {.count = N};
    int32_t token[N], position[N];
    for (int n = 0; n < N; n++) {
        token[n] = n * 7 % V;
        position[n] = n;
    }
    assert_ok(backend_open(named && *named ? named : TEST_BIN "/librlhfd_cuda_emu.so",
                           &(struct backend_config){.threads = 1, .round_head = round_head}, &be));
    assert_ok(model_new(be, &config, 5, &model));
    SCOPED_MEM char *id = model_forward_id(model);
    assert_non_null(strstr(id, round_head ? " head=bf16" : " head=float32"));
    assert_ok(forward_new(model, N, N, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    return largest_error(model, fw);
}

/* A sum of 64 products of sizes up to 4 * 0.1: float32 errs by some 1e-7, and values rounded to
 * bf16 by some 2^-9 of a product. */
static void a_head_is_precise_unless_it_is_told(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        const double precise = error_of(false, tied), rounded = error_of(true, tied);
        if (precise > 2e-6 || rounded < 1e-5 || rounded > 2e-2)
            fail_msg("tied %d: %g precise, %g rounded", tied, precise, rounded);
    }
}

TESTS(cmocka_unit_test(a_head_is_precise_unless_it_is_told))
