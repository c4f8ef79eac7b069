#include "tensor/token_check.h"

err_t token_check(const int32_t *token, int N, int V)
{
    for (int n = 0; n < N; n++)
        if (token[n] < 0 || token[n] >= V)
            return err_new(ERR_RANGE, "row %d: token %d of a vocabulary of %d", n, (int)token[n],
                           V);
    return OK;
}

err_t token_ranges_check(const struct token_range *range, int ranges, int V)
{
    for (int i = 0; i < ranges; i++) {
        const struct token_range *r = &range[i];
        if (r->first < 0 || r->count < 0 || r->first > V || r->count > V - r->first)
            return err_new(ERR_RANGE, "%d tokens from %d on, of a vocabulary of %d", (int)r->count,
                           (int)r->first, V);
    }
    return OK;
}

static err_t request_check(const struct token_request *r, int N, int V)
{
    if (r->row < 0 || r->row >= N)
        return err_new(ERR_RANGE, "row %d of %d", r->row, N);
    for (int i = 0; token_penalises(r) && i < r->tokens; i++)
        if (r->token[i] < 0 || r->token[i] >= V)
            return err_new(ERR_RANGE, "token %d of a vocabulary of %d", (int)r->token[i], V);
    return OK;
}

err_t token_requests_check(const struct token_request *request, int count, int N, int V)
{
    for (int i = 0; i < count; i++)
        TRY(err_wrap(request_check(&request[i], N, V), "draw %d", i));
    return OK;
}
