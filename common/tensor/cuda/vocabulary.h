/* Kernels over rows of logits: log-probabilities, masks, draws. Each call enqueues on `stream`;
 * addresses are the device's. Valid C and C++.
 *
 *     TRY(cuda_workspace(cuda, vocabulary_logp_bytes(N, V), &work));
 *     TRY_CUDA(vocabulary_logp(cuda->stream, logp, entropy, logits, token, 1.0f, N, V, work));
 *
 * A row is cut into parts of ROW_PART tokens, so that few rows fill the device, and is read once.
 * The orders, which depend on a token's id alone:
 *
 * A part, of x = logit * inverse_temperature: its largest x, m; then e^(x - m) in float32. Thread t
 * of 256 takes tokens 4t..4t+3 of the part, then those 1024 further, ascending, one chain; then the
 * tree of a warp, and warps ascending (rows.h). A part of nothing but -infinity: m is that, the
 * sum 0. With them the sum of e^(x - m) (x - m).
 *
 * A row: its largest x is that of the parts, M. Each part's sum times e^(m - M) in double; lane l
 * of 32 takes parts l, l + 32, ... ascending, then the tree. log-probability = (x - M) - log(sum).
 *
 * A draw counts in integers, exact in any order, so nothing but its row and request shows in it.
 * The weight of a token is e^(x - M) in float32; its mass is that in units of 2^-MASS_BITS, rounded
 * down. Ranks are those of weights, equal ones by id. Without truncation the part is drawn first,
 * by the sums above, then the token in it by masses relative to m in units of 2^-PART_BITS. Tokens
 * of a mass of 0 are not drawn. */
#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_PART = 4096, MASS_BITS = 43, PART_BITS = 51, DRAW_VOCABULARY_MAX = 1 << 20 };

/* struct token_request (tensor/token_draw.h) in the device's words. */
struct draw_request {
    int32_t row, greedy, top_k, tokens;
    float inverse_temperature, penalty; // 0: none
    float top_p, min_p;
    uint64_t key, stream, counter; // of the random number (base/rng.h)
    uint64_t token;                // where its `tokens` begin in the call's array
    /* The request whose sums it uses: this one's number, or that of an earlier request with the
     * same row, inverse_temperature and neither penalty nor greedy. */
    int32_t sums, pad;
};

/* struct token_draw */
struct draw_result {
    int32_t finite, token;
    float logp, pad;
    double mass, share;
};

#ifdef __cplusplus
extern "C" {
#endif

size_t vocabulary_logp_bytes(int N, int V);
/* entropy may be NULL. token (N) within [0,V). work: vocabulary_logp_bytes. */
cudaError_t vocabulary_logp(cudaStream_t stream, float *logp, float *entropy, const float *logits,
                            const int32_t *token, float inverse_temperature, int N, int V,
                            void *work);

/* In place, logits become dlogp ([v = token] - e^(x - M) / sum) inverse_temperature. M and the sum
 * are those above; the rest is the chain of the CPU's op. A row with dlogp 0 becomes zeros. token
 * and dlogp (N) are the device's. work: vocabulary_logp_bytes. */
cudaError_t vocabulary_logp_backward(cudaStream_t stream, float *logits, const float *dlogp,
                                     const int32_t *token, float inverse_temperature, int N, int V,
                                     void *work);

/* Terms of whole rows (tensor/row_terms.h): value (N, TERM_COUNT). reference NULL: none. A row's
 * sums: thread t of 256 takes tokens t, t + 256, ... ascending, then the tree, warps ascending. */
cudaError_t vocabulary_terms(cudaStream_t stream, float *value, const float *logits,
                             const float *reference, const int32_t *token,
                             float inverse_temperature, float beta, int N, int V);
/* In place. slope (N, TERM_SLOPES), the device's. */
cudaError_t vocabulary_terms_backward(cudaStream_t stream, float *logits, const float *reference,
                                      const int32_t *token, const float *slope,
                                      float inverse_temperature, float beta, int N, int V);

/* range (ranges): pairs of first and count; no token is in two of them. */
cudaError_t vocabulary_mask(cudaStream_t stream, float *logits, const int32_t *range, int ranges,
                            int N, int V);

/* penalties: some request has a penalty. */
size_t vocabulary_draw_bytes(int count, int V, int penalties);
/* V at most DRAW_VOCABULARY_MAX. token: of all requests. work: vocabulary_draw_bytes. */
cudaError_t vocabulary_draw(cudaStream_t stream, struct draw_result *ret, const float *logits,
                            int V, const struct draw_request *request, const int32_t *token,
                            int count, void *work);

#ifdef __cplusplus
}
#endif
