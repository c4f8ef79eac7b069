/* Weight deltas: bytes as a share of the dense array, and GB of dense weights covered per second on
 * one core.
 *
 *     build/tests/bench_delta [LARGE]               LARGE: parameters of the larger synthetic case, 50000000
 *     build/tests/bench_delta pair OLD NEW NAME LR  two versions of a run, as checkpoints (delta_updates makes them)
 *
 * synthetic: uniform values, so many of them one ulp off, anywhere. sort: a small model after
 * supervised steps on its task, then updates whose sequences push with random weights, as policy
 * gradients do, at the given lr. encode: from old and new to plain chunks; zstd: packed too. stage:
 * plain chunks to values and digest; unzstd: unpacked before; apply: the writing. The figures are
 * of the fastest of a few. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/optimizer.h"
#include "weights/codec/delta.h"
#include "weights/codec/deltachunk.h"
#include "weights/codec/staging.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEAT = 5, ENCODE = 0, PACK, STAGE, UNPACK, APPLY, PARTS };

struct timing {
    double best[PARTS], from;
};

static void begin(struct timing *timing)
{
    timing->from = clock_s();
}

static void end(struct timing *timing, int part)
{
    const double took = clock_s() - timing->from;
    if (!timing->best[part] || took < timing->best[part])
        timing->best[part] = took;
}

static err_t stage(struct staging *staging, const uint16_t *old, const struct bytes *chunk,
                   size_t count)
{
    staging_clear(staging);
    for (size_t i = 0; i < count; i++)
        TRY(staging_add(staging, old, chunk[i].data, chunk[i].len));
    return OK;
}

static struct bytes *pack(const struct delta *delta, size_t *ret_bytes)
{
    struct bytes *packed = mem_array(delta->chunks + 1, sizeof *packed);
    *ret_bytes = 0;
    for (size_t i = 0; i < delta->chunks; i++) {
        deltachunk_compress(delta->chunk[i].data, delta->chunk[i].len, &packed[i]);
        *ret_bytes += packed[i].len;
    }
    return packed;
}

static err_t once(const struct layout *layout, const uint16_t *old, const uint16_t *now,
                  uint16_t *values, struct timing *timing, struct staging *staging,
                  struct delta **ret_delta, size_t *ret_packed)
{
    memcpy(values, old, layout->elements * sizeof *values);
    begin(timing);
    struct delta *delta = *ret_delta = delta_encode(layout, old, now);
    end(timing, ENCODE);
    begin(timing);
    struct bytes *packed = pack(delta, ret_packed);
    end(timing, PACK);
    begin(timing);
    err_t failed = stage(staging, values, packed, delta->chunks);
    end(timing, UNPACK);
    for (size_t i = 0; i < delta->chunks; i++)
        bytes_done(&packed[i]);
    free(packed);
    TRY(failed);
    begin(timing);
    TRY(stage(staging, values, delta->chunk, delta->chunks));
    end(timing, STAGE);
    begin(timing);
    staging_apply(staging, values, NULL);
    end(timing, APPLY);
    if (memcmp(values, now, layout->elements * sizeof *values) != 0)
        return err_new(ERR_INTERNAL, "the delta does not lead to the new values");
    return OK;
}

static err_t measure(const char *name, double lr, const struct layout *layout, const uint16_t *old,
                     const uint16_t *now, int repeat)
{
    struct timing timing = {0};
    SCOPED(staging) staging = staging_new(layout);
    SCOPED_MEM uint16_t *values = mem_aligned(layout->elements * sizeof *values);
    SCOPED(delta) delta = NULL;
    size_t packed = 0;
    for (int i = 0; i < repeat; i++) {
        delta_free(STEAL(delta));
        TRY(once(layout, old, now, values, &timing, staging, &delta, &packed));
    }
    const double dense = 2.0 * (double)layout->parameters, gb = dense * 1e-9;
    const double *best = timing.best;
    printf(
        "{\"bench\":\"delta\",\"case\":\"%s\",\"parameters\":%zu,\"lr\":%g,\"changed_percent\":%.4f,"
        "\"plain_percent\":%.4f,\"zstd_percent\":%.4f,\"encode_gbps\":%.2f,"
        "\"encode_zstd_gbps\":%.2f,\"stage_gbps\":%.2f,\"apply_gbps\":%.2f,"
        "\"stage_apply_gbps\":%.2f,\"unzstd_stage_apply_gbps\":%.2f}\n",
        name, layout->parameters, lr, 100.0 * (double)delta->changed / (double)layout->parameters,
        100.0 * (double)delta->bytes / dense, 100.0 * (double)packed / dense, gb / best[ENCODE],
        gb / (best[ENCODE] + best[PACK]), gb / best[STAGE], gb / best[APPLY],
        gb / (best[STAGE] + best[APPLY]), gb / (best[UNPACK] + best[APPLY]));
    return OK;
}

/* ---- synthetic */

static err_t synthetic(size_t parameters)
{
    static const double share[] = {0.001, 0.003, 0.006, 0.01, 0.04, 0.1};
    enum { COLS = 1000 };
    const struct rng rng = rng_keyed(1, RNG_TEST, 6, parameters);
    SCOPED(layout) layout = layout_new();
    for (size_t left = parameters / COLS, rows; left; left -= rows) {
        rows = left < 5000 ? left : 5000;
        layout_add(layout, "matrix", (int)rows, COLS);
    }
    const size_t bytes = layout->elements * sizeof(uint16_t);
    SCOPED_MEM uint16_t *old = mem_aligned(bytes);
    SCOPED_MEM uint16_t *now = mem_aligned(bytes);
    for (size_t i = 0; i < layout->elements; i++) {
        const float value = (float)rng_uniform(&rng, i) - 0.5f;
        old[i] = bf16_from_float(value * 0.07f);
    }
    for (size_t s = 0; s < sizeof share / sizeof *share; s++) {
        for (size_t i = 0; i < layout->elements; i++) {
            const uint64_t how = rng_u64(&rng, (s + 1) * layout->elements + i);
            const bool changes = (double)(how >> 11) < share[s] * 0x1p53;
            now[i] = (uint16_t)(old[i] + (changes ? how & 1 ? 1 : -1 : 0));
        }
        TRY(measure("synthetic", 0, layout, old, now, REPEAT));
    }
    return OK;
}

/* ---- updates of a model */

enum { LETTERS = 26, ARROW = 26, END = 27, WORD = 8, T = 2 * WORD + 2, SEQUENCES = 64 };

struct task {
    int32_t token[SEQUENCES * T], position[SEQUENCES * T];
    int32_t row[SEQUENCES * (WORD + 1)], target[SEQUENCES * (WORD + 1)];
    float dlogp[SEQUENCES * (WORD + 1)], logp[SEQUENCES * (WORD + 1)];
    struct segment segment[SEQUENCES];
    uint64_t drawn;
};

static int by_token(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Letters, an arrow, the letters in order, an end. push: weights of random sign, else those of a
 * supervised step. */
static void fill(struct task *task, bool push)
{
    const struct rng rng = rng_keyed(2, RNG_TEST, 6, 0);
    for (int s = 0, r = 0; s < SEQUENCES; s++) {
        int32_t *token = task->token + (size_t)s * T, *answer = token + WORD + 1;
        const double weight = push ? rng_normal(&rng, task->drawn++) : 1;
        for (int i = 0; i < WORD; i++)
            answer[i] = token[i] = (int32_t)rng_below(&rng, task->drawn++, LETTERS);
        token[WORD] = ARROW;
        qsort(answer, WORD, sizeof *answer, by_token);
        answer[WORD] = END;
        task->segment[s] = (struct segment){.first = s * T, .count = T};
        for (int i = 0; i < T; i++)
            task->position[s * T + i] = i;
        for (int i = 0; i <= WORD; i++, r++) {
            task->row[r] = s * T + WORD + i;
            task->target[r] = answer[i];
            task->dlogp[r] = (float)(-weight / (SEQUENCES * (WORD + 1)));
        }
    }
}

static err_t update(struct forward *fw, struct task *task, bool push, struct gradient *grad,
                    struct optimizer *opt, double lr)
{
    enum { ROWS = SEQUENCES * (WORD + 1) };
    struct optimizer_result result;
    fill(task, push);
    TRY(forward_run(fw, task->token, task->position, SEQUENCES * T, task->segment, SEQUENCES));
    TRY(forward_logp(fw, task->row, task->target, ROWS, 1, task->logp, NULL));
    TRY(gradient_zero(grad));
    TRY(backward_run(fw, task->row, task->target, task->dlogp, ROWS, 1, grad));
    return optimizer_step(opt, grad, lr, &result);
}

static err_t sort_model(void)
{
    enum { SUPERVISED = 80, SETTLE = 4 };
    static const double rate[] = {1e-6, 1e-5, 1e-4};
    static struct task task;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) opt = NULL;
    const struct model_config config = config_default(29, 64, 176, 2, 2, 2, 64, false);
    const struct optimizer_config adamw = OPTIMIZER_DEFAULTS;
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(model_new(be, &config, 1, &model));
    TRY(forward_new(model, SEQUENCES * T, 256, true, &fw));
    TRY(gradient_new(model, &grad));
    TRY(optimizer_new(model, &adamw, NULL, &opt));
    for (int i = 0; i < SUPERVISED; i++)
        TRY(update(fw, &task, false, grad, opt, 2e-3));
    const struct layout *layout = model->params->layout;
    for (size_t i = 0; i < sizeof rate / sizeof *rate; i++) {
        for (int settle = 0; settle < SETTLE; settle++)
            TRY(update(fw, &task, true, grad, opt, rate[i]));
        SCOPED_MEM bf16 *old = NULL;
        SCOPED_MEM bf16 *now = NULL;
        TRY(model_flat(model, &old));
        TRY(update(fw, &task, true, grad, opt, rate[i]));
        TRY(model_flat(model, &now));
        TRY(measure("sort", rate[i], layout, old, now, 20 * REPEAT));
    }
    return OK;
}

/* Two versions of a real run. */
static err_t pair(const char *old, const char *new, const char *name, double lr)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) before = NULL;
    SCOPED(model) after = NULL;
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    TRY(model_load(be, old, &before));
    TRY(model_load(be, new, &after));
    if (before->params->layout->elements != after->params->layout->elements)
        return err_new(ERR_INVALID, "'%s' and '%s' are of different models", old, new);
    const size_t repeat = 1 + 100000000 / before->params->layout->elements;
    SCOPED_MEM bf16 *from = NULL;
    SCOPED_MEM bf16 *to = NULL;
    TRY(model_flat(before, &from));
    TRY(model_flat(after, &to));
    return measure(name, lr, before->params->layout, from, to, repeat < 100 ? (int)repeat : 100);
}

static err_t run(size_t large)
{
    TRY(sort_model());
    TRY(synthetic(1000000));
    return synthetic(large);
}

static int ended(err_t e)
{
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "pair") == 0)
        return ended(pair(argv[2], argv[3], argv[4], strtod(argv[5], NULL)));
    const long large = argc > 1 ? strtol(argv[1], NULL, 10) : 50000000;
    if (large < 1000 || large > 2000000000) {
        fprintf(stderr, "usage: bench_delta [LARGE]\n");
        return 2;
    }
    return ended(run((size_t)large));
}
