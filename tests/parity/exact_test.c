/* The signature property: a token's log-probability has the same bits in the decode engine, in any
 * company, and in a full forward elsewhere; and training ends with the same weights everywhere.
 *
 *     RLHFD_EXACT=1000000 build/tests/test_parity_exact    -- so many log-probabilities; 3000 if unset
 *
 * Instruction sets (portable, AVX2, AVX-512) x threads (1, 2, 4) x KV formats, one of each for the
 * engine and another for the forward; slots 1 to 64, steps of few rows (prompts in chunks) and
 * many. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/engine/engine.h"
#include "model/forward.h"
#include "model/optimizer.h"
#include "model/pack.h"
#include "testing/golden.h"
#include "testing/models.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES_MAX = 9, CONTEXT = 160, SLOTS_MOST = 64, UPDATES = 20, VOCABULARY = 131 };

struct place { // an instruction set with so many threads
    struct backend *be;
    struct model *model[2]; // by KV format
    struct forward *forward[2];
    char name[32];
};
static struct place places[PLACES_MAX];
static int place_count;

/* Several kv heads, which a step of decoding walks together: with bf16 one for each head, else one
 * for two. */
static struct model_config config_of(int kv)
{
    return kv == KV_BF16 ? config_default(VOCABULARY, 48, 100, 2, 3, 3, CONTEXT, true)
                         : config_default(VOCABULARY, 64, 100, 2, 4, 2, CONTEXT, true);
}

static void open_places(void)
{
    static const char *const names[] = {"", "portable", "avx2", "avx512"};
    for (int isa = CPU_ISA_PORTABLE; isa <= CPU_ISA_AVX512; isa++)
        for (int threads = 1; threads <= 4; threads *= 2) {
            struct place *p = &places[place_count];
            err_t e = backend_open(
                NULL, &(struct backend_config){.threads = threads, .isa = (enum cpu_isa)isa},
                &p->be);
            if (err_code(e) == ERR_UNIMPLEMENTED) {
                err_free(e);
                continue;
            }
            assert_ok(e);
            snprintf(p->name, sizeof p->name, "%s/%d", names[isa], threads);
            for (int kv = 0; kv < 2; kv++) {
                const struct model_config config = config_of(kv);
                assert_ok(model_new(p->be, &config, 5, &p->model[kv]));
                p->model[kv]->kv = (enum kv_format)kv;
                assert_ok(forward_new(p->model[kv], CONTEXT, 64, false, &p->forward[kv]));
            }
            place_count++;
        }
}

static void close_places(void)
{
    while (place_count > 0) {
        struct place *p = &places[--place_count];
        for (int kv = 0; kv < 2; kv++) {
            forward_free(p->forward[kv]);
            model_free(p->model[kv]);
        }
        backend_free(p->be);
    }
}

/* What RLHFD_EXACT asks for; 0: not set. */
static long asked(void)
{
    const char *text = getenv("RLHFD_EXACT");
    const long count = text ? strtol(text, NULL, 10) : 0;
    return count > 0 ? count : 0;
}

/* Of one finished completion: how many of its log-probabilities are other bits in the full
 * forward. */
static long differing(const struct place *p, int kv, const int32_t *prompt, int prompt_tokens,
                      const struct engine_completion *c)
{
    int32_t token[CONTEXT], position[CONTEXT], row[CONTEXT], target[CONTEXT];
    float logp[CONTEXT];
    const int N = prompt_tokens + c->tokens - 1;
    memcpy(token, prompt, (size_t)prompt_tokens * sizeof *token);
    memcpy(token + prompt_tokens, c->token, (size_t)c->tokens * sizeof *token);
    for (int i = 0; i < N; i++)
        position[i] = i;
    for (int i = 0; i < c->tokens; i++) {
        row[i] = prompt_tokens - 1 + i;
        target[i] = c->token[i];
    }
    const struct segment segment = {.count = N};
    assert_ok(forward_run(p->forward[kv], token, position, N, &segment, 1));
    assert_ok(forward_logp(p->forward[kv], row, target, c->tokens, 1, logp, NULL));
    long different = 0;
    for (int i = 0; i < c->tokens; i++)
        different += memcmp(&logp[i], &c->logp[i], sizeof *logp) != 0;
    return different;
}

struct count {
    long compared, different;
};

/* Random requests through an engine at one place, each completion computed again at another. */
static void run_round(const struct rng *rng, uint64_t round, struct count *ret)
{
    const uint64_t at = round * 4096;
    const struct place *here = &places[round % (uint64_t)place_count],
                       *there = &places[rng_below(rng, at, (uint64_t)place_count)];
    const int kv = (int)(round % 2);
    static const int slots_of[] = {1, 2, 7, 16, 33, SLOTS_MOST};
    const int slots = slots_of[rng_below(rng, at + 1, 6)];
    struct engine_config config = {.slots = slots, .max_context = CONTEXT};
    config.step_rows = slots + (int)rng_below(rng, at + 2, 90);
    SCOPED(engine) engine = NULL;
    assert_ok(engine_new(here->model[kv], &config, &engine));
    const int requests = slots < 4 ? 2 : slots / 2;
    static int32_t prompt[SLOTS_MOST][CONTEXT];
    static int prompt_tokens[SLOTS_MOST];
    for (int sent = 0; sent < requests || engine_active(engine);) {
        const int completions =
            slots < 4 ? 1 : 1 + (int)rng_below(rng, at + 100 + (uint64_t)sent, 4);
        if (sent < requests && engine_free_slots(engine) >= completions) {
            const int tokens = 1 + (int)rng_below(rng, at + 200 + (uint64_t)sent, CONTEXT - 50);
            for (int i = 0; i < tokens; i++)
                prompt[sent][i] =
                    (int32_t)rng_below(rng, at + 300 + (uint64_t)(sent * 53 + i), VOCABULARY);
            prompt_tokens[sent] = tokens;
            const struct engine_request request = {
                .tag = (uint64_t)sent,
                .prompt = prompt[sent],
                .prompt_tokens = tokens,
                .completions = completions,
                .max_tokens = 1 + (int)rng_below(rng, at + 250 + (uint64_t)sent, 48),
                .sampling = {.temperature = 1, .seed = round, .prompt = (uint64_t)sent}};
            assert_ok(engine_admit(engine, &request));
            sent++;
        }
        const struct engine_completion *finished;
        int count;
        assert_ok(engine_step(engine, &finished, &count));
        for (int i = 0; i < count; i++) {
            const int tag = (int)finished[i].tag;
            ret->different += differing(there, kv, prompt[tag], prompt_tokens[tag], &finished[i]);
            ret->compared += finished[i].tokens;
        }
    }
}

static void decoding_is_the_forward_to_the_bit(void **state)
{
    (void)state;
    const struct rng rng = rng_keyed(11, RNG_TEST, 0, 0);
    struct count count = {0};
    uint64_t round = 0;
    open_places();
    const long wanted = asked() ? asked() : 3000;
    // every place at least, the formats by turns, however few are wanted
    for (; count.compared < wanted || round < (uint64_t)place_count; round++)
        run_round(&rng, round, &count);
    print_message("%ld log-probabilities in %ld engines at %d places: %ld differ\n", count.compared,
                  (long)round, place_count, count.different);
    close_places();
    assert_int_equal(count.different, 0);
}

/* ---- training */

enum { SEQUENCES = 12, PROMPT = 9 };

struct batch {
    uint32_t prompt[SEQUENCES / 4][PROMPT], token[SEQUENCES][40];
    struct sequence sequence[SEQUENCES];
};

static void draw_batch(struct batch *b, uint64_t update)
{
    const struct rng rng = rng_keyed(21, RNG_TEST, update, 0);
    for (int s = 0; s < SEQUENCES; s++) {
        const int tokens = 1 + (int)rng_below(&rng, (uint64_t)s, 40);
        for (int i = 0; i < tokens; i++)
            b->token[s][i] = (uint32_t)rng_below(&rng, (uint64_t)(100 + s * 40 + i), VOCABULARY);
        for (int i = 0; i < PROMPT; i++)
            b->prompt[s / 4][i] =
                (uint32_t)rng_below(&rng, (uint64_t)(1000 + s / 4 * 40 + i), VOCABULARY);
        b->sequence[s] = (struct sequence){.prompt = b->prompt[s / 4],
                                           .token = b->token[s],
                                           .prompt_tokens = PROMPT,
                                           .tokens = tokens,
                                           .context = PROMPT};
    }
}

/* The digest of all gradients and of the weights after them. */
static uint64_t train(const struct backend_config *cpu, int kv, int micro_tokens)
{
    const struct model_config config = config_of(kv);
    const struct optimizer_config settings = OPTIMIZER_DEFAULTS;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(pack) pack = NULL;
    SCOPED(forward) forward = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) optimizer = NULL;
    uint64_t digest = 0;
    assert_ok(backend_open(NULL, cpu, &be));
    assert_ok(model_new(be, &config, 5, &model));
    model->kv = (enum kv_format)kv;
    assert_ok(pack_new(micro_tokens, CONTEXT, &pack));
    assert_ok(forward_new(model, pack->max_rows, 64, true, &forward));
    assert_ok(gradient_new(model, &grad));
    assert_ok(optimizer_new(model, &settings, NULL, &optimizer));
    for (uint64_t update = 0; update < UPDATES; update++) {
        struct batch batch;
        struct optimizer_result result;
        draw_batch(&batch, update);
        assert_ok(gradient_zero(grad));
        for (size_t at = 0; at < SEQUENCES;) {
            float dlogp[SEQUENCES * 40];
            at += pack_fill(pack, batch.sequence + at, SEQUENCES - at, NULL);
            for (int i = 0; i < pack->targets; i++) // a function of the token, not of the cut
                dlogp[i] = (float)(pack->target[i] % 7 - 3) / 100;
            assert_ok(forward_run(forward, pack->token, pack->position, pack->rows, pack->segment,
                                  pack->segments));
            assert_ok(
                backward_run(forward, pack->row, pack->target, dlogp, pack->targets, 1, grad));
        }
        assert_ok(gradient_sum(grad));
        SCOPED_MEM float *flat = gradient_of(grad);
        digest = hash64(flat, grad->count * sizeof *flat, digest);
        assert_ok(optimizer_step(optimizer, grad, 1e-3, &result));
        SCOPED_MEM bf16 *values = flat_of(model);
        digest = hash64(values, model->params->layout->elements * sizeof *values, digest);
    }
    return digest;
}

static void twenty_updates_end_alike_everywhere(void **state)
{
    (void)state;
    static const int cuts[] = {1, 100, 4096}; // micro_tokens: a block each, some, all
    for (int kv = 0; kv < 2; kv++) {
        const uint64_t expected =
            train(&(struct backend_config){.threads = 1, .isa = CPU_ISA_PORTABLE}, kv, 4096);
        int runs = 0;
        for (int isa = CPU_ISA_PORTABLE; isa <= CPU_ISA_AVX512; isa++)
            for (int threads = 1; threads <= 4; threads *= 2) {
                const struct backend_config cpu = {.threads = threads, .isa = (enum cpu_isa)isa};
                struct backend *there = NULL;
                err_t e = backend_open(NULL, &cpu, &there);
                const bool missing = err_code(e) == ERR_UNIMPLEMENTED;
                backend_free(there);
                err_free(e);
                if (missing)
                    continue;
                // in CI one cut each, by turns; by hand all
                for (int cut = 0; cut < 3; cut++)
                    if (asked() || cut == (isa + threads) % 3) {
                        assert_int_equal(train(&cpu, kv, cuts[cut]), expected);
                        runs++;
                    }
            }
        SCOPED_MEM char *text = mem_printf("%016llx", (unsigned long long)expected);
        print_message("%d runs of %d updates, kv %s: %s\n", runs, UPDATES, kv ? "bf16" : "fp32",
                      text);
        SCOPED_JSON json_t *digest = json_string(text);
        golden_check("parity", kv ? "bf16" : "fp32", digest);
    }
}

TESTS(cmocka_unit_test(decoding_is_the_forward_to_the_bit),
      cmocka_unit_test(twenty_updates_end_alike_everywhere))
