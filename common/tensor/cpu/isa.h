/* What every *_isa.c includes: the lanes, our exp and log, and the kernels' names in this
 * instruction set's build. */
#pragma once
#include "tensor/cpu/exact_math.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/lanes.h"

void ISA_NAME(gemm)(const struct gemm *, int row0, int row1, int panel0, int panel1,
                    float *scratch);
void ISA_NAME(pack_weight)(bf16 *panels, const bf16 *w, int N, int K, int panel0, int panel1);
/* Rows x[0..count-1] (stride apart, D long) become columns start.. of panels [column/32][D][32]. */
void ISA_NAME(pack_columns)(float *panels, const float *x, size_t stride, int D, int start,
                            int count);
/* The same into B_PANELS_BF16. */
void ISA_NAME(pack_columns_bf16)(bf16 *panels, const float *x, size_t stride, int D, int start,
                                 int count);
void ISA_NAME(attention)(const struct attention_unit *, float *scratch);
void ISA_NAME(attention_backward)(const struct attention_gradient *, float *scratch);
void ISA_NAME(embed)(float *y, const bf16 *table, const int32_t *token, int N, int C);
void ISA_NAME(embed_backward)(float *dtable, const float *dy, const int32_t *token, int N, int C,
                              int c0, int c1);
void ISA_NAME(rmsnorm)(float *y, float *r, const float *x, const bf16 *weight, float eps, int N,
                       int C);
void ISA_NAME(rmsnorm_dx)(float *dx, const float *dy, const float *x, const float *r,
                          const bf16 *weight, int N, int C);
void ISA_NAME(rmsnorm_dweight)(float *dweight, const float *dy, const float *x, const float *r,
                               int N, int C, int c0, int c1);
void ISA_NAME(bias)(float *y, const bf16 *bias, int N, int C);
void ISA_NAME(bias_backward)(float *dbias, const float *dy, int N, int C, int c0, int c1);
void ISA_NAME(rope)(float *x, const int32_t *position, const float *cos, const float *sin, int N,
                    int heads, int D, int inverse);
void ISA_NAME(swiglu)(float *y, const float *gate, const float *up, size_t count);
void ISA_NAME(swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate,
                               const float *up, size_t count);
void ISA_NAME(add)(float *y, const float *x, size_t count);
void ISA_NAME(token_logp)(float *logp, float *entropy, const float *logits, const int32_t *token,
                          float inverse_temperature, int N, int V);
void ISA_NAME(token_logp_backward)(float *logits, const float *dlogp, const int32_t *token,
                                   float inverse_temperature, int N, int V);
void ISA_NAME(softmax)(float *probability, const float *logits, float inverse_temperature, int N,
                       int V);
double ISA_NAME(square_sum)(const float *x, size_t count);
void ISA_NAME(adamw)(float *master, bf16 *w, float *m, float *v, const float *grad, size_t first,
                     size_t count, const struct adamw_constants *, struct adamw_sum *sum);
