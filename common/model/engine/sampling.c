#include "model/engine/sampling.h"
#include "base/hash.h"
#include "base/rng.h"
#include <math.h>

err_t sampling_check(const struct sampling *s)
{
    if (!(s->temperature == 0 || (s->temperature >= 1e-3f && s->temperature <= 1e3f)))
        return err_new(ERR_INVALID,
                       "temperature is %g; it must be 0 (greedy) or from 0.001 to 1000",
                       (double)s->temperature);
    if (s->top_k < 0)
        return err_new(ERR_INVALID, "top_k is %d; it must be 0 (all) or more", s->top_k);
    if (!(s->top_p >= 0 && s->top_p <= 1))
        return err_new(ERR_INVALID, "top_p is %g; it must be from 0 to 1", (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return err_new(ERR_INVALID, "min_p is %g; it must be from 0 to 1", (double)s->min_p);
    if (!(s->repetition_penalty >= 0 && s->repetition_penalty <= 100))
        return err_new(ERR_INVALID, "repetition_penalty is %g; it must be from 0 to 100",
                       (double)s->repetition_penalty);
    return OK;
}

struct token_request sampling_request(const struct sampling *s, int row, uint64_t completion,
                                      const int32_t *token, int length)
{
    const uint64_t slot[2] = {s->prompt, s->epoch};
    const struct rng rng = rng_keyed(s->seed, RNG_SAMPLE, hash64(slot, sizeof slot, 0), completion);
    return (struct token_request){.row = row,
                                  .greedy = s->temperature == 0 ||
                                            (s->greedy_from > 0 && completion >= s->greedy_from),
                                  .inverse_temperature = sampling_inverse(s),
                                  .repetition_penalty = s->repetition_penalty,
                                  .token = token,
                                  .tokens = length,
                                  .top_k = s->top_k,
                                  .top_p = s->top_p,
                                  .min_p = s->min_p,
                                  .rng = rng,
                                  .counter = (uint64_t)length};
}

float sampling_logp(const struct sampling *s, const struct token_draw *draw)
{
    const float sampled =
        (float)(sampling_penalises(s) ? log(draw->share) : (double)draw->logp - log(draw->mass));
    return sampled < 0 ? sampled : 0.0f;
}
