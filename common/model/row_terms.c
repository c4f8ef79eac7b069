/* Whole rows of the vocabulary beside a reference's (forward.h). */
#include "model/workspace.h"

err_t forward_run_reference(struct forward *reference, const struct forward *beside,
                            const int32_t *token, const int32_t *position, int N,
                            const struct segment *segments, int count)
{
    struct model *m = reference->model;
    m->adapter_off = m == beside->model;
    err_t failed = forward_run(reference, token, position, N, segments, count);
    m->adapter_off = false;
    return failed;
}

err_t forward_reference_logp(struct forward *reference, const struct forward *beside,
                             const int32_t *row, const int32_t *target, int count,
                             float inverse_temperature, float *ret_logp)
{
    struct model *m = reference->model;
    m->adapter_off = m == beside->model;
    err_t failed = forward_logp(reference, row, target, count, inverse_temperature, ret_logp, NULL);
    m->adapter_off = false;
    return failed;
}

err_t forward_reference_chunk(struct forward *fw, struct forward *reference, const int32_t *row,
                              int count)
{
    if (!reference)
        return OK;
    struct model *m = reference->model;
    m->adapter_off = m == fw->model;
    err_t failed = forward_head_chunk(reference, HEAD_VOCABULARY, row, count, reference->head_out);
    m->adapter_off = false;
    return failed;
}

struct row_call forward_row_call(const struct forward *fw, const struct row_call *how,
                                 const int32_t *target, int rows)
{
    struct row_call call = *how;
    call.token = target;
    call.N = rows;
    call.V = fw->model->config.V;
    return call;
}

err_t forward_terms(struct forward *fw, struct forward *reference, const int32_t *row,
                    const int32_t *target, int count, const struct row_call *how,
                    const struct row_values *ret)
{
    struct backend *be = fw->model->be;
    TRY(forward_check_rows(fw, row, target, count));
    for (int at = 0; at < count; at += fw->head_rows) {
        const int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        const struct row_call call = forward_row_call(fw, how, target + at, rows);
        struct row_values values;
        for (int k = 0; k < TERM_COUNT; k++)
            values.at[k] = ret->at[k] ? ret->at[k] + at : NULL;
        TRY(forward_head_chunk(fw, HEAD_VOCABULARY, row + at, rows, fw->head_out));
        TRY(forward_reference_chunk(fw, reference, row + at, rows));
        TRY(be->ops->row_terms(be, fw->head_out, reference ? reference->head_out : NULL, &call,
                               &values));
    }
    return OK;
}
