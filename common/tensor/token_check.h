/* Checks of the ops over the vocabulary: every backend refuses the same, in the same words.
 *
 *     TRY(token_check(token, N, V));
 *     TRY(token_ranges_check(range, ranges, V));
 *     TRY(token_requests_check(request, count, N, V));
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include "tensor/tensor.h"
#include "tensor/token_draw.h"

/* RANGE: a token outside [0,V). */
err_t token_check(const int32_t *token, int N, int V);
/* RANGE: tokens outside [0,V). */
err_t token_ranges_check(const struct token_range *range, int ranges, int V);
/* RANGE: a row outside [0,N), or a penalised token outside [0,V). */
err_t token_requests_check(const struct token_request *request, int count, int N, int V);
