/* The ops over rows of logits. */
#include "base/mem.h"
#include "tensor/cuda/cuda.h"
#include "tensor/cuda/vocabulary.h"
#include "tensor/token_check.h"
#include <string.h>

/* At the workspace's beginning: log-probabilities (N), entropies (N); behind them the sums. */
err_t cuda_token_logp(struct backend *be, float *logp, float *entropy, const float *logits,
                      const int32_t *token, float inverse_temperature, int N, int V)
{
    struct cuda *cuda = cuda_in_step(be);
    const size_t bytes = (size_t)N * sizeof *logp, results = entropy ? 2 * bytes : bytes;
    const void *tokens = NULL, *here = NULL;
    void *work = NULL;
    TRY(token_check(token, N, V));
    if (N == 0)
        return OK;
    TRY(cuda_stage(cuda, token, (size_t)N * sizeof *token, &tokens));
    TRY(cuda_workspace(cuda, 2 * bytes + vocabulary_logp_bytes(N, V), &work));
    float *there = work;
    TRY_CUDA(vocabulary_logp(cuda->stream, there, entropy ? there + N : NULL, logits, tokens,
                             inverse_temperature, N, V, there + 2 * (size_t)N));
    TRY(cuda_fetch(cuda, there, results, &here));
    memcpy(logp, here, bytes);
    if (entropy)
        memcpy(entropy, (const char *)here + bytes, bytes);
    return OK;
}

err_t cuda_token_logp_backward(struct backend *be, float *logits, const float *dlogp,
                               const int32_t *token, float inverse_temperature, int N, int V)
{
    struct cuda *cuda = cuda_of(be);
    const void *tokens = NULL, *slopes = NULL;
    void *work = NULL;
    TRY(token_check(token, N, V));
    if (N == 0)
        return OK;
    TRY(cuda_stage(cuda, token, (size_t)N * sizeof *token, &tokens));
    TRY(cuda_stage(cuda, dlogp, (size_t)N * sizeof *dlogp, &slopes));
    TRY(cuda_workspace(cuda, vocabulary_logp_bytes(N, V), &work));
    TRY_CUDA(vocabulary_logp_backward(cuda->stream, logits, slopes, tokens, inverse_temperature, N,
                                      V, work));
    return OK;
}

err_t cuda_row_terms(struct backend *be, const float *logits, const float *reference,
                     const struct row_call *call, const struct row_values *ret)
{
    struct cuda *cuda = cuda_of(be);
    const int N = call->N;
    const size_t bytes = (size_t)N * TERM_COUNT * sizeof(float);
    const void *tokens = NULL, *here = NULL;
    void *work = NULL;
    TRY(token_check(call->token, N, call->V));
    if (N == 0)
        return OK;
    TRY(cuda_stage(cuda, call->token, (size_t)N * sizeof *call->token, &tokens));
    TRY(cuda_workspace(cuda, bytes, &work));
    TRY_CUDA(vocabulary_terms(cuda->stream, work, logits, reference, tokens,
                              call->inverse_temperature, call->beta, N, call->V));
    TRY(cuda_fetch(cuda, work, bytes, &here));
    for (int k = 0; k < TERM_COUNT; k++)
        for (int n = 0; ret->at[k] && n < N; n++)
            ret->at[k][n] = ((const float *)here)[(size_t)n * TERM_COUNT + (size_t)k];
    return OK;
}

err_t cuda_row_terms_backward(struct backend *be, float *logits, const float *reference,
                              const struct row_call *call, const struct row_slopes *slopes)
{
    struct cuda *cuda = cuda_of(be);
    const int N = call->N;
    const void *tokens = NULL, *there = NULL;
    TRY(token_check(call->token, N, call->V));
    if (N == 0)
        return OK;
    SCOPED_MEM float *slope = mem_array((size_t)N * TERM_SLOPES, sizeof *slope);
    for (int k = 0; k < TERM_SLOPES; k++)
        for (int n = 0; slopes->at[k] && n < N; n++)
            slope[(size_t)n * TERM_SLOPES + (size_t)k] = slopes->at[k][n];
    TRY(cuda_stage(cuda, call->token, (size_t)N * sizeof *call->token, &tokens));
    TRY(cuda_stage(cuda, slope, (size_t)N * TERM_SLOPES * sizeof *slope, &there));
    TRY_CUDA(vocabulary_terms_backward(cuda->stream, logits, reference, tokens, there,
                                       call->inverse_temperature, call->beta, N, call->V));
    return OK;
}

/* Whether no token is in two ranges, as far as their order tells. */
static bool in_order(const struct token_range *range, int ranges)
{
    for (int i = 1; i < ranges; i++)
        if (range[i].first < range[i - 1].first + range[i - 1].count)
            return false;
    return true;
}

err_t cuda_token_mask(struct backend *be, float *logits, const struct token_range *range,
                      int ranges, int N, int V)
{
    struct cuda *cuda = cuda_in_step(be);
    const void *there = NULL;
    TRY(token_ranges_check(range, ranges, V));
    const int at_once = in_order(range, ranges) ? ranges : 1;
    TRY(cuda_stage(cuda, range, (size_t)ranges * sizeof *range, &there));
    const int32_t *pair = there;
    for (int i = 0; i < ranges; i += at_once)
        TRY_CUDA(vocabulary_mask(cuda->stream, logits, pair + 2 * i, at_once, N, V));
    return OK;
}

/* ---- draws */

/* For the kernels: requests, and the tokens of all that penalise. */
struct asked {
    struct draw_request *request;
    int32_t *token;
    size_t tokens;
};

static void asked_done(struct asked *asked)
{
    mem_free(asked->request);
    mem_free(asked->token);
}

static bool same_sums(const struct token_request *a, const struct token_request *b)
{
    return a->row == b->row && a->inverse_temperature == b->inverse_temperature && !a->greedy &&
           !b->greedy && !token_penalises(a) && !token_penalises(b);
}

/* Tokens that the penalty falls upon. */
static int penalised(const struct token_request *r)
{
    return token_penalises(r) && r->tokens > 0 ? r->tokens : 0;
}

static struct draw_request words_of(const struct token_request *r)
{
    const int tokens = penalised(r);
    return (struct draw_request){.row = r->row,
                                 .greedy = r->greedy,
                                 .top_k = r->top_k,
                                 .tokens = tokens,
                                 .inverse_temperature = r->inverse_temperature,
                                 .penalty = tokens ? r->repetition_penalty : 0,
                                 .top_p = r->top_p,
                                 .min_p = r->min_p,
                                 .key = r->rng.key,
                                 .stream = r->rng.stream,
                                 .counter = r->counter};
}

static struct asked ask(const struct token_request *request, int count)
{
    struct asked ret = {.request = mem_array((size_t)count, sizeof *ret.request)};
    size_t room = 0;
    for (int i = 0; i < count; i++)
        room += (size_t)penalised(&request[i]);
    ret.token = mem_array(room, sizeof *ret.token);
    for (int i = 0; i < count; i++) {
        struct draw_request *r = &ret.request[i];
        *r = words_of(&request[i]);
        r->sums = i && same_sums(&request[i], &request[i - 1]) ? r[-1].sums : i;
        r->token = ret.tokens;
        if (r->tokens)
            memcpy(ret.token + ret.tokens, request[i].token, (size_t)r->tokens * sizeof *ret.token);
        ret.tokens += (size_t)r->tokens;
    }
    return ret;
}

static struct token_draw answer(const struct draw_result *r)
{
    return (struct token_draw){.finite = r->finite,
                               .token = r->token,
                               .logp = r->logp,
                               .mass = r->mass,
                               .share = r->share};
}

err_t cuda_token_draw(struct backend *be, const float *logits, int N, int V,
                      const struct token_request *request, int count, struct token_draw *ret)
{
    struct cuda *cuda = cuda_in_step(be);
    const size_t bytes = (size_t)count * sizeof(struct draw_result);
    const void *requests = NULL, *tokens = NULL, *here = NULL;
    void *work = NULL;
    TRY(token_requests_check(request, count, N, V));
    if (V > DRAW_VOCABULARY_MAX)
        return err_new(ERR_UNIMPLEMENTED, "a draw from a vocabulary of %d: at most %d", V,
                       DRAW_VOCABULARY_MAX);
    if (count == 0)
        return OK;
    SCOPED_VALUE(asked) asked = ask(request, count);
    TRY(cuda_stage(cuda, asked.request, (size_t)count * sizeof *asked.request, &requests));
    TRY(cuda_stage(cuda, asked.token, asked.tokens * sizeof *asked.token, &tokens));
    TRY(cuda_workspace(cuda, bytes + vocabulary_draw_bytes(count, V, asked.tokens > 0), &work));
    TRY_CUDA(vocabulary_draw(cuda->stream, work, logits, V, requests, tokens, count,
                             (char *)work + bytes));
    TRY(cuda_fetch(cuda, work, bytes, &here));
    for (int i = 0; i < count; i++)
        ret[i] = answer((const struct draw_result *)here + i);
    return OK;
}
