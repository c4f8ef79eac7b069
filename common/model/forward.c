#include "model/forward.h"
#include "base/mem.h"
#include "model/linear.h"
#include "model/workspace.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A walk over all buffers. The first has memory NULL and only adds up; the second hands out. */
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

/* Whether the family has this module of a layer. */
static bool has(const struct forward *fw, enum param_role role)
{
    return fw->model->config.family->layer[role].name;
}

/* Numbers that the norm keeps of a row. */
static int kept_of_norm(const struct forward *fw)
{
    return fw->model->config.family->norm == NORM_LAYER ? 2 : 1;
}

static void plan_layer(struct forward *fw, struct plan *plan, struct activations *a)
{
    const struct model_config *c = &fw->model->config;
    const size_t N = (size_t)fw->max_rows;
    const bool q_norm = has(fw, PARAM_Q_NORM), k_norm = has(fw, PARAM_K_NORM);
    *a = (struct activations){
        .x = take_floats(plan, N, c->C),
        .h1 = take_floats(plan, N, c->C),
        .r1 = take_floats(plan, N, kept_of_norm(fw)),
        .q0 = q_norm ? take_floats(plan, N, c->H * c->D) : NULL,
        .rq = q_norm ? take_floats(plan, N, c->H) : NULL,
        .k0 = k_norm ? take_floats(plan, N, c->K * c->D) : NULL,
        .rk = k_norm ? take_floats(plan, N, c->K) : NULL,
        .q = take_floats(plan, N, c->H * c->D),
        .k = take_floats(plan, N, c->K * c->D),
        .v = take_floats(plan, N, c->K * c->D),
        .o = take_floats(plan, N, c->H * c->D),
        .lse = fw->keep ? take_floats(plan, N, c->H) : NULL,
        .x2 = take_floats(plan, N, c->C),
        .h2 = take_floats(plan, N, c->C),
        .r2 = take_floats(plan, N, kept_of_norm(fw)),
        .gate = has(fw, PARAM_GATE) ? take_floats(plan, N, c->F) : NULL,
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
    fw->dq0 = has(fw, PARAM_Q_NORM) ? take_floats(plan, N, c->H * c->D) : NULL;
    fw->dk0 = has(fw, PARAM_K_NORM) ? take_floats(plan, N, c->K * c->D) : NULL;
    fw->d_act = take_floats(plan, N, c->F);
    fw->dgate = has(fw, PARAM_GATE) ? take_floats(plan, N, c->F) : NULL;
    fw->dup = take_floats(plan, N, c->F);
    fw->d_head_in = take_floats(plan, (size_t)fw->head_rows, c->C);
}

/* Outputs of the widest head. */
static int widest_head(const struct model *model)
{
    int widest = 0;
    for (int i = 0; i < HEADS_MAX; i++)
        if (model->params->head[i].weight >= 0 && model_head(model, i)->rows > widest)
            widest = model_head(model, i)->rows;
    return widest;
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
    fw->r = take_floats(plan, N, kept_of_norm(fw));
    fw->hidden = take_floats(plan, N, c->C);
    fw->head_in = take_floats(plan, (size_t)fw->head_rows, c->C);
    fw->head_out = take_floats(plan, (size_t)fw->head_rows, widest_head(fw->model));
    fw->token = take(plan, N, sizeof *fw->token);
    fw->position = take(plan, N, sizeof *fw->position);
    if (fw->model->adapter)
        fw->low = take_floats(plan, N, fw->model->adapter->config.lora.r);
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
    if (keep && !model_values(model))
        return err_new(ERR_PRECONDITION, "a compact model has no backward");
    SCOPED(forward) fw = mem_new(sizeof *fw);
    *fw = (struct forward){
        .model = model, .max_rows = max_rows, .head_rows = head_rows, .keep = keep};
    fw->layer = mem_array((size_t)model->config.L, sizeof *fw->layer);
    struct plan plan = {0};
    plan_all(fw, &plan);
    TRY(buffer_alloc(model->be, plan.bytes, &fw->memory));
    plan = (struct plan){.memory = fw->memory.address};
    plan_all(fw, &plan);
    fw->head_row = mem_array((size_t)head_rows, sizeof *fw->head_row);
    fw->segment = mem_array((size_t)max_rows, sizeof *fw->segment);
    fw->segment_end = mem_array((size_t)max_rows, sizeof *fw->segment_end);
    fw->head_end = mem_array((size_t)head_rows, sizeof *fw->head_end);
    *ret = STEAL(fw);
    return OK;
}

size_t forward_plan(const struct model_config *config, int lora_r, int max_rows, int head_rows,
                    enum forward_keep keep)
{
    SCOPED(params) params = params_new(config);
    struct model adapter = {.config.lora.r = lora_r},
                 shape = {.config = *config, .params = params, .adapter = lora_r ? &adapter : NULL};
    SCOPED_MEM struct activations *layer = mem_array((size_t)config->L, sizeof *layer);
    struct forward fw = {.model = &shape,
                         .max_rows = max_rows,
                         .head_rows = head_rows,
                         .keep = keep,
                         .layer = layer};
    struct plan plan = {0};
    plan_all(&fw, &plan);
    return plan.bytes;
}

size_t forward_bytes(const struct forward *fw)
{
    return fw->memory.bytes +
           (size_t)fw->head_rows * (sizeof *fw->head_row + sizeof *fw->head_end) +
           (size_t)fw->max_rows * (sizeof *fw->segment + sizeof *fw->segment_end);
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

err_t forward_rotate(struct forward *fw, float *q, float *k, int inverse)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    const struct backend_ops *ops = m->be->ops;
    const int R = m->turning;
    if (!R)
        return OK;
    TRY(ops->rope(m->be, q, fw->position, m->cos, m->sin, fw->N, c->H, c->D, R, inverse));
    return ops->rope(m->be, k, fw->position, m->cos, m->sin, fw->N, c->K, c->D, R, inverse);
}

/* q, k and v of h1: normed where the family does, and turned. */
static err_t make_qkv(struct forward *fw, struct activations *a, int l)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    const struct params *p = m->params;
    const struct linear qkv[] = {{a->q0 ? a->q0 : a->q, params_layer(p, l, PARAM_Q)},
                                 {a->k0 ? a->k0 : a->k, params_layer(p, l, PARAM_K)},
                                 {a->v, params_layer(p, l, PARAM_V)}};
    TRY(linear_forward(m, qkv, 3, a->h1, fw->N, fw->low));
    if (a->q0)
        TRY(norm_forward(m, params_layer(p, l, PARAM_Q_NORM), a->q, a->rq, a->q0, fw->N * c->H));
    if (a->k0)
        TRY(norm_forward(m, params_layer(p, l, PARAM_K_NORM), a->k, a->rk, a->k0, fw->N * c->K));
    return forward_rotate(fw, a->q, a->k, 0);
}

/* x2 = x + attention(norm1(x)) */
static err_t attention_block(struct forward *fw, struct activations *a, int l)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    struct backend *be = m->be;
    const struct backend_ops *ops = be->ops;
    const struct params *p = m->params;
    const int N = fw->N;
    const struct linear out = {a->x2, params_layer(p, l, PARAM_O)};
    const struct attention_shape shape = layer_shape(m, l);
    TRY(norm_forward(m, params_layer(p, l, PARAM_NORM1), a->h1, a->r1, a->x, N));
    TRY(make_qkv(fw, a, l));
    if (m->kv == KV_BF16) { // alike with and without pages; the gradient goes straight through
        const size_t count = (size_t)N * (size_t)c->K * (size_t)c->D;
        TRY(ops->round_bf16(be, a->k, count));
        TRY(ops->round_bf16(be, a->v, count));
    }
    TRY(ops->attention(be, a->o, a->lse, a->q, a->k, a->v, fw->segment, fw->segments, &shape, l));
    TRY(linear_forward(m, &out, 1, a->o, N, fw->low));
    return ops->add(be, a->x2, a->x, (size_t)N * (size_t)c->C);
}

const float *forward_mlp_input(const struct forward *fw, const struct activations *a)
{
    return fw->model->config.order == LAYER_PARALLEL ? a->x : a->x2;
}

/* As far as the backward needs it: the norm, and what is inside the feed-forward. */
static err_t mlp_inside(struct forward *fw, struct activations *a, int l)
{
    struct model *m = fw->model;
    const struct params *p = m->params;
    const struct backend_ops *ops = m->be->ops;
    const size_t count = (size_t)fw->N * (size_t)m->config.F;
    const struct linear maps[] = {{a->up, params_layer(p, l, PARAM_UP)},
                                  {a->gate, params_layer(p, l, PARAM_GATE)}};
    TRY(norm_forward(m, params_layer(p, l, PARAM_NORM2), a->h2, a->r2, forward_mlp_input(fw, a),
                     fw->N));
    TRY(linear_forward(m, maps, a->gate ? 2 : 1, a->h2, fw->N, fw->low));
    switch (m->config.activation) {
    case ACTIVATION_SWIGLU:
        return ops->swiglu(m->be, a->act, a->gate, a->up, count);
    case ACTIVATION_GELU:
    case ACTIVATION_GELU_TANH:
        return ops->gelu(m->be, a->act, a->up, count, m->config.activation == ACTIVATION_GELU_TANH);
    case ACTIVATIONS:
        break;
    }
    __builtin_unreachable();
}

/* x_next = x2 + down(act) */
static err_t mlp_block(struct forward *fw, struct activations *a, int l, float *x_next)
{
    struct model *m = fw->model;
    const struct linear down = {x_next, params_layer(m->params, l, PARAM_DOWN)};
    TRY(mlp_inside(fw, a, l));
    TRY(linear_forward(m, &down, 1, a->act, fw->N, fw->low));
    return m->be->ops->add(m->be, x_next, a->x2, (size_t)fw->N * (size_t)m->config.C);
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

/* The first layer's input. */
static err_t embed(struct forward *fw)
{
    struct model *m = fw->model;
    const struct backend_ops *ops = m->be->ops;
    const struct params *p = m->params;
    float *x = fw->layer[0].x, *place = fw->hidden; // which nothing is in yet
    TRY(ops->embed(m->be, x, m->weight[p->embed.weight], fw->token, fw->N));
    if (p->position.weight < 0)
        return OK;
    TRY(ops->embed(m->be, place, m->weight[p->position.weight], fw->position, fw->N));
    return ops->add(m->be, x, place, (size_t)fw->N * (size_t)m->config.C);
}

err_t forward_run(struct forward *fw, const int32_t *token, const int32_t *position, int N,
                  const struct segment *segments, int count)
{
    struct model *m = fw->model;
    const struct model_config *c = &m->config;
    TRY(check_run(fw, token, position, N, segments, count));
    fw->N = N;
    fw->segments = count;
    fw->there = -1;
    fw->head_there = 0;
    if (N == 0)
        return OK;
    TRY(m->be->ops->put(m->be, fw->token, token, (size_t)N * sizeof *token));
    TRY(m->be->ops->put(m->be, fw->position, position, (size_t)N * sizeof *position));
    memcpy(fw->segment, segments, (size_t)count * sizeof *segments);
    for (int i = 0; i < count; i++)
        fw->segment_end[i] = segments[i].first + segments[i].count;
    TRY(embed(fw));
    for (int l = 0; l < c->L; l++) {
        struct activations *a = &fw->layer[fw->keep ? l : 0];
        TRY(attention_block(fw, a, l));
        TRY(mlp_block(fw, a, l, fw->keep && l + 1 < c->L ? a[1].x : fw->last));
    }
    fw->there = c->L - 1;
    return norm_forward(m, m->params->norm, fw->hidden, fw->r, fw->last, N);
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

err_t forward_head_chunk(struct forward *fw, int head, const int32_t *row, int count, float *out)
{
    struct model *m = fw->model;
    const size_t bytes = (size_t)count * sizeof *row;
    const struct linear map = {out, m->params->head[head]};
    if (out == fw->head_out && head == fw->head && count == fw->head_there &&
        !memcmp(row, fw->head_row, bytes))
        return OK;
    fw->head_there = 0;
    TRY(m->be->ops->gather(m->be, fw->head_in, fw->hidden, row, count, m->config.C));
    TRY(linear_forward(m, &map, 1, fw->head_in, count, NULL));
    if (head == HEAD_VOCABULARY && m->vacants)
        TRY(m->be->ops->token_mask(m->be, out, m->vacant, m->vacants, count, m->config.V));
    if (out == fw->head_out) {
        memcpy(fw->head_row, row, bytes);
        fw->head = head;
        fw->head_there = count;
    }
    return OK;
}

err_t forward_head(struct forward *fw, int head, const int32_t *row, int count, float *ret)
{
    TRY(forward_check_rows(fw, row, NULL, count));
    const size_t width = (size_t)model_head(fw->model, head)->rows;
    for (int at = 0; at < count; at += fw->head_rows) {
        const int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        TRY(forward_head_chunk(fw, head, row + at, rows, ret + (size_t)at * width));
    }
    return OK;
}

err_t forward_logits(struct forward *fw, const int32_t *row, int count, float *ret_logits)
{
    return forward_head(fw, HEAD_VOCABULARY, row, count, ret_logits);
}

err_t forward_logp(struct forward *fw, const int32_t *row, const int32_t *target, int count,
                   float inverse_temperature, float *ret_logp, float *ret_entropy)
{
    struct backend *be = fw->model->be;
    TRY(forward_check_rows(fw, row, target, count));
    for (int at = 0; at < count; at += fw->head_rows) {
        const int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        TRY(forward_head_chunk(fw, HEAD_VOCABULARY, row + at, rows, fw->head_out));
        TRY(be->ops->token_logp(be, ret_logp + at, ret_entropy ? ret_entropy + at : NULL,
                                fw->head_out, target + at, inverse_temperature, rows,
                                fw->model->config.V));
    }
    return OK;
}

/* Of count <= head_rows rows, into fw->head_out. */
static err_t value_chunk(struct forward *fw, struct model *of, const int32_t *row, int count)
{
    struct model *m = fw->model, *valued = model_valued(of);
    const struct linear map = {fw->head_out, valued->params->head[HEAD_VALUE]};
    fw->head_there = 0;
    TRY(m->be->ops->gather(m->be, fw->head_in, fw->hidden, row, count, m->config.C));
    return linear_forward(valued, &map, 1, fw->head_in, count, NULL);
}

err_t forward_value(struct forward *fw, struct model *of, const int32_t *row, int count, float *ret)
{
    struct backend *be = fw->model->be;
    TRY(forward_check_rows(fw, row, NULL, count));
    for (int at = 0; at < count; at += fw->head_rows) {
        const int rows = count - at < fw->head_rows ? count - at : fw->head_rows;
        TRY(value_chunk(fw, of, row + at, rows));
        TRY(be->ops->get(be, ret + at, fw->head_out, (size_t)rows * sizeof *ret));
    }
    return OK;
}

err_t forward_draw(struct forward *fw, const int32_t *row, int count,
                   const struct token_request *request, int requests, struct token_draw *ret)
{
    struct backend *be = fw->model->be;
    assert(count <= fw->head_rows);
    TRY(forward_check_rows(fw, row, NULL, count));
    TRY(forward_head_chunk(fw, HEAD_VOCABULARY, row, count, fw->head_out));
    return be->ops->token_draw(be, fw->head_out, count, fw->model->config.V, request, requests,
                               ret);
}

void forward_free(struct forward *fw)
{
    if (!fw)
        return;
    free(fw->layer);
    free(fw->head_row);
    free(fw->segment);
    free(fw->segment_end);
    free(fw->head_end);
    buffer_done(&fw->memory);
    free(fw);
}
