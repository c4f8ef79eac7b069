/* How decoding and prefill scale: tokens per second against slots, threads, context and length.
 *
 *     build/tests/bench_scaling [MODEL [CONTEXT]]     -- shapes.h; tldr, up to 32768 positions
 *
 * One JSON object per line. Times are the calling thread's CPU time where one thread computes (a
 * loaded machine shows less in it), else wall time; of decoding, the steps that computed no prompt.
 * The last line fits ns a token = fixed + per_byte * bytes of KV read: `excess` is how much the
 * longest context costs beyond what attention's bytes explain (1: nothing). */
#include "base/clock.h"
#include "base/mem.h"
#include "model/engine/engine.h"
#include "shapes.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLOTS_MOST = 256, CONTEXT_MOST = 32768, CONTEXT_LEAST = 128, POINTS = 32 };

struct setup {
    const char *model;
    int slots, threads, prompt, tokens;
    bool shared; // all slots complete one prompt
    enum kv_format kv;
};

struct rates {
    double prefill_s, decode_s;
    uint64_t prefill, decoded;
};

static double now_s(int threads)
{
    struct timespec t;
    if (threads > 1)
        return clock_s();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static err_t admit_all(struct engine *engine, const struct setup *s, int V)
{
    SCOPED_MEM int32_t *prompt = mem_array((size_t)s->prompt, sizeof *prompt);
    for (int i = 0; i < s->prompt; i++)
        prompt[i] = (i * 7 + 3) % V;
    for (int slot = 0; slot < s->slots; slot += s->shared ? s->slots : 1) {
        const struct engine_request request = {
            .tag = (uint64_t)slot + 1,
            .prompt = prompt,
            .prompt_tokens = s->prompt,
            .completions = s->shared ? s->slots : 1,
            .max_tokens = s->tokens,
            .sampling = {.temperature = 1, .prompt = (uint64_t)slot}};
        TRY(engine_admit(engine, &request));
    }
    return OK;
}

static err_t run(const struct setup *s, struct rates *ret)
{
    struct model_config config;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(engine) engine = NULL;
    if (!bench_shape(s->model, s->prompt + s->tokens, &config))
        return err_new(ERR_INVALID, "no model '%s'; there are %s", s->model, BENCH_SHAPES);
    TRY(backend_open(NULL, &(struct backend_config){.threads = s->threads}, &be));
    TRY(model_new(be, &config, 1, &model));
    model->kv = s->kv;
    const struct engine_config engine_config = {.slots = s->slots,
                                                .max_context = s->prompt + s->tokens};
    TRY(engine_new(model, &engine_config, &engine));
    TRY(admit_all(engine, s, config.V));
    *ret = (struct rates){0};
    while (engine_active(engine)) {
        const struct engine_completion *finished;
        int count;
        const struct engine_counters before = *engine_counters(engine);
        const double start = now_s(s->threads);
        TRY(engine_step(engine, &finished, &count));
        const double took = now_s(s->threads) - start;
        const uint64_t prefill = engine_counters(engine)->prefill_tokens - before.prefill_tokens;
        *(prefill ? &ret->prefill_s : &ret->decode_s) += took;
        ret->prefill += prefill;
        ret->decoded += prefill ? 0 : engine_counters(engine)->tokens - before.tokens;
    }
    return OK;
}

/* The better of three. */
static err_t report(const char *what, const struct setup *s, struct rates *ret)
{
    struct rates best = {0};
    for (int i = 0; i < 3; i++) {
        struct rates r = {0};
        TRY(run(s, &r));
        if (i == 0 || r.decode_s < best.decode_s) {
            best.decode_s = r.decode_s;
            best.decoded = r.decoded;
        }
        if (i == 0 || r.prefill_s < best.prefill_s) {
            best.prefill_s = r.prefill_s;
            best.prefill = r.prefill;
        }
        if (s->prompt > 4096)
            i++; // twice is enough where a run takes seconds
    }
    printf("{\"bench\":\"scaling\",\"by\":\"%s\",\"model\":\"%s\",\"slots\":%d,\"threads\":%d,"
           "\"context\":%d,\"kv\":\"%s\",\"decode_tokens_per_s\":%.0f,\"us_per_token\":%.2f,"
           "\"prefill_tokens_per_s\":%.0f}\n",
           what, s->model, s->slots, s->threads, s->prompt, s->kv == KV_BF16 ? "bf16" : "fp32",
           (double)best.decoded / best.decode_s, best.decode_s * 1e6 / (double)best.decoded,
           (double)best.prefill / best.prefill_s);
    fflush(stdout);
    *ret = best;
    return OK;
}

static err_t by_slots_and_threads(const char *model)
{
    struct rates rates;
    for (int threads = 1; threads <= 2; threads++)
        for (int slots = 1; slots <= SLOTS_MOST; slots *= 2)
            for (enum kv_format kv = KV_F32; kv <= KV_BF16; kv++)
                TRY(report("slots",
                           &(struct setup){.model = model,
                                           .slots = slots,
                                           .threads = threads,
                                           .prompt = 40,
                                           .tokens = 88,
                                           .kv = kv},
                           &rates));
    return OK;
}

/* Least squares of us = fixed + per_byte * bytes. */
static void fit(const char *model, const double *bytes, const double *us, int count)
{
    double weights = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (int i = 0; i < count; i++) {
        // by relative error: a microsecond counts for more where a token takes few
        const double weight = 1 / (us[i] * us[i]);
        weights += weight;
        x += weight * bytes[i];
        y += weight * us[i];
        xx += weight * bytes[i] * bytes[i];
        xy += weight * bytes[i] * us[i];
    }
    const double slope = (weights * xy - x * y) / (weights * xx - x * x);
    const double fixed = (y - slope * x) / weights;
    const double last = us[count - 1] / (fixed + slope * bytes[count - 1]);
    printf("{\"bench\":\"scaling\",\"by\":\"fit\",\"model\":\"%s\",\"fixed_us\":%.2f,"
           "\"gb_per_s\":%.2f,\"excess\":%.3f}\n",
           model, fixed, 1e-3 / slope, last);
}

static err_t by_context(const char *model, int most)
{
    double bytes[POINTS], us[POINTS];
    for (enum kv_format kv = KV_F32; kv <= KV_BF16; kv++) {
        int count = 0;
        for (int context = CONTEXT_LEAST; context <= most; context *= 2) {
            struct rates rates;
            struct model_config config;
            const struct setup setup = {.model = model,
                                        .slots = 1,
                                        .threads = 1,
                                        .prompt = context - 64,
                                        .tokens = 64,
                                        .kv = kv};
            TRY(report("context", &setup, &rates));
            bench_shape(model, context, &config);
            bytes[count] = 2.0 * (kv == KV_BF16 ? 2 : 4) * config.L * config.K * config.D *
                           (setup.prompt + 0.5 * setup.tokens);
            us[count++] = rates.decode_s * 1e6 / (double)rates.decoded;
        }
        fit(model, bytes, us, count);
    }
    return OK;
}

int main(int argc, char **argv)
{
    const char *model = argc > 1 ? argv[1] : "tldr";
    const long most = argc > 2 ? strtol(argv[2], NULL, 10) : CONTEXT_MOST;
    err_t e = OK;
    if (most < 2 * CONTEXT_LEAST || most > CONTEXT_MOST)
        e = err_new(ERR_INVALID, "context %ld: %d to %d", most, 2 * CONTEXT_LEAST, CONTEXT_MOST);
    if (!err_failed(e))
        e = by_slots_and_threads(model);
    if (!err_failed(e))
        e = by_context(model, (int)most);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    const int status = err_failed(e);
    err_free(e);
    return status;
}
