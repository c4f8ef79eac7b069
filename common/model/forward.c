#include "model/forward.h"
#include "base/mem.h"
#include "model/workspace.h"
#include <stdlib.h>
#include <string.h>

/* Run twice: with memory NULL it only adds up. */
struct plan {
    char *memory;
    size_t bytes;
};

static void *take(struct plan *plan, size_t count, size_t size)
{
    enum { ALIGN = 64 };
    void *at = plan->memory ? plan->memory + plan->bytes : NULL;
    plan->bytes += (count * size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

static float *take_floats(struct plan *plan, size_t rows, int cols)
{
    return take(plan, rows * (size_t)cols, sizeof(float));
}

static void plan_layer(struct forward *fw, struct plan *plan, struct activations *a)
{
    const struct model_config *c = &fw->model->config;
    const size_t N = (size_t)fw->max_rows;
    *a = (struct activations){
        .x = take_floats(plan, N, c->C),
        .h1 = take_floats(plan, N, c->C),
        .r1 = take_floats(plan, N, 1),
        .q = take_floats(plan, N, c->H * c->D),
        .k = take_floats(plan, N, c->K * c->D),
        .v = take_floats(plan, N, c->K * c->D),
        .o = take_floats(plan, N, c->H * c->D),
        .lse = fw->keep ? take_floats(plan, N, c->H) : NULL,
        .x2 = take_floats(plan, N, c->C),
        .h2 = take_floats(plan, N, c->C),
        .r2 = take_floats(plan, N, 1),
        .gate = take_floats(plan, N, c->F),
        .up = take_floats(plan, N, c->F),
        .act = take_floats(plan, N, c->F),
    };
}

static void plan_backward(struct forward *fw, struct plan *plan)
{
    const struct model_config *c = &fw->model->config;
    const size_t N = (size_t)fw->max_rows;
    fw->dx = take_floats(plan, N, c->C);
    fw->dh = take_floats(plan, N, c->C);
    fw->dq = take_floats(plan, N, c->H * c->D);
    fw->dk = take_floats(plan, N, c->K * c->D);
    fw->dv = take_floats(plan, N, c->K * c->D);
    fw->d_o = take_floats(plan, N, c->H * c->D);
    fw->d_act = take_floats(plan, N, c->F);
    fw->dgate = take_floats(plan, N, c->F);
    fw->dup = take_floats(plan, N, c->F);
    fw->d_head_in = take_floats(plan, (size_t)fw->head_rows, c->C);
}

static void plan_all(struct forward *fw, struct plan *plan)
{
    const struct model_config *c = &fw->model->config;
    const size_t N = (size_t)fw->max_rows;
    for (int l = 0; l < (fw->keep == FORWARD_ALL ? c->L : 1); l++)
        plan_layer(fw, plan, &fw->layer[l]);
    for (int l = 1; fw->keep == FORWARD_INPUTS && l < c->L; l++) {
        fw->layer[l] = fw->layer[0];
        fw->layer[l].x = take_floats(plan, N, c->C);
    }
    fw->last = fw->keep ? take_floats(plan, N, c->C) : fw->layer[0].x;
    fw->r = take_floats(plan, N, 1);
    fw->hidden = take_floats(plan, N, c->C);
    fw->head_in = take_floats(plan, (size_t)fw->head_rows, c->C);
    fw->logits = take_floats(plan, (size_t)fw->head_rows, c->V);
    fw->head_row = take(plan, (size_t)fw->head_rows, sizeof *fw->head_row);
    fw->token = take(plan, N, sizeof *fw->token);
    fw->position = take(plan, N, sizeof *fw->position);
    fw->segment = take(plan, N, sizeof *fw->segment);
    if (fw->keep)
        plan_backward(fw, plan);
}

err_t forward_new(struct model *model, int max_rows, int head_rows, enum forward_keep keep,
                  struct forward **ret)
{
    if (max_rows < 1 || head_rows < 1)
        return err_new(ERR_INVALID,
                       "a workspace of %d rows and %d rows of logits: both must be at least 1",
                       max_rows, head_rows);
    if (keep && !model->values)
        return err_new(ERR_PRECONDITION, "a compact model has no backward");
    SCOPED(forward) fw = mem_new(sizeof *fw);
    *fw = (struct forward){
        .model = model, .max_rows = max_rows, .head_rows = head_rows, .keep = keep};
    fw->layer = mem_array((size_t)model->config.L, sizeof *fw->layer);
    struct plan plan = {0};
    plan_all(fw, &plan);
    fw->bytes = plan.bytes;
    fw->memory = mem_aligned(plan.bytes);
    plan = (struct plan){.memory = fw->memory};
    plan_all(fw, &plan);
    *ret = STEAL(fw);
    return OK;
}

size_t forward_bytes(const struct forward *fw)
{
    return fw->bytes;
}

int forward_max_rows(const struct forward *fw)
{
    return fw->max_rows;
}

static err_t check_segments(const struct forward *fw, const struct segment *segments, int count,
                            int N)
{
    int at = 0;
    for (int i = 0; i < count; i++) {
        const struct segment *s = &segments[i];
        if (s->first != at || s->count < 1 || s->count > N - at)
            return err_new(ERR_INVALID,
                           "forward: segment %d is rows %d to %d of %d, it must begin at row %d", i,
                           s->first, s->first + s->count, N, at);
        if (fw->keep && s->kv)
            return err_new(ERR_INVALID, "forward: segment %d: a learning pass has no pages", i);
        at += s->count;
    }
    if (at != N)
        return err_new(ERR_INVALID, "forward: segments hold %d of %d rows", at, N);
    return OK;
}

static err_t check_run(const struct forward *fw, const int32_t *token, const int32_t *position,
                       int N, const struct segment *segments, int count)
{
    const struct model_config *c = &fw->model->config;
    if (N < 0 || N > fw->max_rows)
        return err_new(ERR_INVALID, "forward: %d rows; the workspace holds %d", N, fw->max_rows);
    for (int i = 0; i < N; i++) {
        if (token[i] < 0 || token[i] >= c->V)
            return err_new(ERR_INVALID, "forward: token %d in row %d; the vocabulary has %d",
                           token[i], i, c->V);
        if (position[i] < 0 || position[i] >= c->max_positions)
            return err_new(ERR_INVALID, "forward: position %d in row %d; the model has %d",
                           position[i], i, c->max_positions);
    }
    return check_segments(fw, segments, count, N);
}

static err_t attention_block(struct forward *fw, struct activations *a, int l)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    struct backend *be = m->be;
    const struct backend_ops *ops = be->ops;
    const int q = params_layer(m->params, l, PARAM_Q), N = fw->N;
    const int norm = params_layer(m->params, l, PARAM_NORM1);
    TRY(ops->rmsnorm(be, a->h1, a->r1, a->x, model_tensor(m, norm), (float)c->rms_eps, N, c->C));
    const struct product qkv[] = {{a->q, m->weight[q]},
                                  {a->k, m->weight[q + PARAM_K - PARAM_Q]},
                                  {a->v, m->weight[q + PARAM_V - PARAM_Q]}};
    TRY(ops->matmuls(be, qkv, 3, a->h1, N));
    TRY(ops->rope(be, a->q, fw->position, m->cos, m->sin, N, c->H, c->D, 0));
    TRY(ops->rope(be, a->k, fw->position, m->cos, m->sin, N, c->K, c->D, 0));
    if (m->kv == KV_BF16) { // alike with and without pages; the gradient goes straight through
        const size_t count = (size_t)N * (size_t)c->K * (size_t)c->D;
        TRY(ops->round_bf16(be, a->k, count));
        TRY(ops->round_bf16(be, a->v, count));
    }
    TRY(ops->attention(be, a->o, a->lse, a->q, a->k, a->v, fw->segment, fw->segments, &m->shape,
                       l));
    TRY(ops->matmul(be, a->x2, a->o, m->weight[q + PARAM_O - PARAM_Q], N, 0));
    return ops->add(be, a->x2, a->x, (size_t)N * (size_t)c->C);
}

/* As far as the backward needs it. */
static err_t mlp_inside(struct forward *fw, struct activations *a, int l)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    struct backend *be = m->be;
    const struct backend_ops *ops = be->ops;
    const int norm = params_layer(m->params, l, PARAM_NORM2), N = fw->N;
    TRY(ops->rmsnorm(be, a->h2, a->r2, a->x2, model_tensor(m, norm), (float)c->rms_eps, N, c->C));
    const struct product gated[] = {{a->gate, m->weight[norm + PARAM_GATE - PARAM_NORM2]},
                                    {a->up, m->weight[norm + PARAM_UP - PARAM_NORM2]}};
    TRY(ops->matmuls(be, gated, 2, a->h2, N));
    return ops->swiglu(be, a->act, a->gate, a->up, (size_t)N * (size_t)c->F);
}

static err_t mlp_block(struct forward *fw, struct activations *a, int l, float *x_next)
{
    struct model *m = fw->model;
    const struct backend_ops *ops = m->be->ops;
    const int down = params_layer(m->params, l, PARAM_DOWN), N = fw->N;
    TRY(mlp_inside(fw, a, l));
    TRY(ops->matmul(m->be, x_next, a->act, m->weight[down], N, 0));
    return ops->add(m->be, x_next, a->x2, (size_t)N * (size_t)m->config.C);
}

err_t forward_layer(struct forward *fw, int l)
{
    struct activations *a = &fw->layer[l];
    if (fw->keep == FORWARD_ALL || fw->there == l)
        return OK;
    fw->there = -1; // if it fails half way
    TRY(attention_block(fw, a, l));
    TRY(mlp_inside(fw, a, l));
    fw->there = l;
    return OK;
}

/* A tied table may be there packed alone. */
static err_t embed(struct forward *fw)
{
    struct model *m = fw->model;
    const int table = m->params->embed;
    const bf16 *rows = model_tensor(m, table);
    float *x = fw->layer[0].x;
    return rows ? m->be->ops->embed(m->be, x, rows, fw->token, fw->N, m->config.C)
                : m->be->ops->embed_weight(m->be, x, m->weight[table], fw->token, fw->N);
}

err_t forward_run(struct forward *fw, const int32_t *token, const int32_t *position, int N,
                  const struct segment *segments, int count)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    const struct backend_ops *ops = m->be->ops;
    TRY(check_run(fw, token, position, N, segments, count));
    fw->N = N;
    fw->segments = count;
    fw->there = -1;
    fw->head_there = 0;
    if (N == 0)
        return OK;
    memcpy(fw->token, token, (size_t)N * sizeof *token);
    memcpy(fw->position, position, (size_t)N * sizeof *position);
    memcpy(fw->segment, segments, (size_t)count * sizeof *segments);
    TRY(embed(fw));
    for (int l = 0; l < c->L; l++) {
        struct activations *a = &fw->layer[fw->keep ? l : 0];
        TRY(attention_block(fw, a, l));
        TRY(mlp_block(fw, a, l, fw->keep && l + 1 < c->L ? a[1].x : fw->last));
    }
    fw->there = c->L - 1;
    return ops->rmsnorm(m->be, fw->hidden, fw->r, fw->last, model_tensor(m, m->params->norm),
                        (float)c->rms_eps, N, c->C);
}

const float *forward_hidden(const struct forward *fw)
{
    return fw->hidden;
}

err_t forward_check_rows(const struct forward *fw, const int32_t *row, const int32_t *target,
                         int count)
{
    for (int i = 0; i < count; i++) {
        if (row[i] < 0 || row[i] >= fw->N)
            return err_new(ERR_INVALID, "head: row %d of a run of %d", row[i], fw->N);
        if (target && (target[i] < 0 || target[i] >= fw->model->config.V))
            return err_new(ERR_INVALID, "head: target %d; the vocabulary has %d", target[i],
                           fw->model->config.V);
    }
    return OK;
}

err_t forward_head(struct forward *fw, const int32_t *row, int count, float *logits)
{
    struct model *m = fw->model;
    const size_t C = (size_t)m->config.C, bytes = (size_t)count * sizeof *row;
    if (logits == fw->logits && count == fw->head_there && !memcmp(row, fw->head_row, bytes))
        return OK;
    fw->head_there = 0;
    TRY(m->be->ops->sync(m->be));
    for (int i = 0; i < count; i++)
        memcpy(fw->head_in + (size_t)i * C, fw->hidden + (size_t)row[i] * C, C * sizeof(float));
    TRY(m->be->ops->matmul(m->be, logits, fw->head_in, m->weight[m->params->head], count, 0));
    if (logits == fw->logits) {
        memcpy(fw->head_row, row, bytes);
        fw->head_there = count;
    }
    return OK;
}

err_t forward_logits(struct forward *fw, const int32_t *row, int count, float *ret_logits)
{
    TRY(forward_check_rows(fw, row, NULL, count));
    for (int at = 0; at < count; at += fw->head_rows) {
        int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        TRY(forward_head(fw, row + at, rows,
                         ret_logits + (size_t)at * (size_t)fw->model->config.V));
    }
    return OK;
}

err_t forward_logp(struct forward *fw, const int32_t *row, const int32_t *target, int count,
                   float inverse_temperature, float *ret_logp, float *ret_entropy)
{
    struct backend *be = fw->model->be;
    TRY(forward_check_rows(fw, row, target, count));
    for (int at = 0; at < count; at += fw->head_rows) {
        int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        TRY(forward_head(fw, row + at, rows, fw->logits));
        TRY(be->ops->token_logp(be, ret_logp + at, ret_entropy ? ret_entropy + at : NULL,
                                fw->logits, target + at, inverse_temperature, rows,
                                fw->model->config.V));
    }
    return OK;
}

void forward_free(struct forward *fw)
{
    if (!fw)
        return;
    free(fw->layer);
    free(fw->memory);
    free(fw);
}
