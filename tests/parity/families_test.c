/* As exact_test.c, for each family and option: a token's log-probability has the same bits in the
 * decode engine and in a full forward elsewhere, and a batch's gradients are the same everywhere.
 *
 * Instruction sets (portable, AVX2, AVX-512) x threads (1, 2, 4) x KV formats. Each with an adapter
 * and without. */
#include "base/hash.h"
#include "model/backward.h"
#include "parity/families.h"
#include <stdio.h>

enum { PLACES_MAX = 9 };

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

static void decoding_is_the_forward_to_the_bit(void **state)
{
    (void)state;
    struct model_config config;
    open_places();
    for (int i = 0; case_of(i, &config); i++) {
        int compared = 0;
        for (int p = 0; p < 2 * place_count; p++) // the format by turns; here and there differ
            compared += decode(&config, (p + i) % 2, p >= place_count, TOKENS,
                               places[p % place_count], places[(p + 4) % place_count]);
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
