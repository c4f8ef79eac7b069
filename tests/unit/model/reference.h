/* The forward of a family written out in double, as its row is defined: what the real one is held
 * against.
 *
 *     SCOPED_VALUE(reference) ref = reference_of(model);
 *     double loss = reference_loss(&ref, &batch);        -- sum of dlogp * logp, at temperature 1 / 0.8
 *     ref.w[i] += h;                                     -- i: an element of the model's flat array
 *     ref.low[i] += h;                                   -- of its adapter's
 *
 * Nothing is fast, packed, cached or rounded. Sequences of at most REFERENCE_ROWS tokens. */
#pragma once
#include "tiny.h"
#include <math.h>

enum { REFERENCE_ROWS = 16, REFERENCE_WIDTH = 64 };

struct reference {
    const struct model *model;
    double *w;   // at the model's layout
    double *low; // at its adapter's; NULL: it has none
};

static inline double *reference_values(const struct model *model)
{
    const size_t elements = model->params->layout->elements;
    SCOPED_MEM bf16 *flat = flat_of(model);
    double *values = mem_array(elements, sizeof *values);
    for (size_t i = 0; i < elements; i++)
        values[i] = bf16_to_float(flat[i]);
    return values;
}

static inline struct reference reference_of(const struct model *model)
{
    return (struct reference){.model = model,
                              .w = reference_values(model),
                              .low = model->adapter ? reference_values(model->adapter) : NULL};
}

static inline void reference_done(struct reference *ref)
{
    free(ref->w);
    free(ref->low);
}

/* One row of each: a value per channel, head element or feed-forward unit. */
typedef double reference_row[REFERENCE_WIDTH];

static inline const double *reference_tensor(const struct reference *ref, int tensor)
{
    return ref->w + ref->model->params->layout->tensor[tensor].offset;
}

/* y += scale * B (A x) */
static inline void reference_adapter(const struct reference *ref, struct param param,
                                     const double *x, double *y)
{
    const struct model *adapter = ref->model->adapter;
    const struct layout_tensor *a = &adapter->params->layout->tensor[param.a],
                               *b = &adapter->params->layout->tensor[param.b];
    const struct lora *lora = &adapter->config.lora;
    const double scale = lora->alpha / (lora->rslora ? sqrt(lora->r) : lora->r);
    for (int i = 0; i < lora->r; i++) {
        double low = 0;
        for (int c = 0; c < a->cols; c++)
            low += ref->low[a->offset + (size_t)(i * a->cols + c)] * x[c];
        for (int r = 0; r < b->rows; r++)
            y[r] += scale * low * ref->low[b->offset + (size_t)(r * lora->r + i)];
    }
}

static inline void reference_map(const struct reference *ref, struct param param, const double *x,
                                 double *y)
{
    const struct layout_tensor *t = &ref->model->params->layout->tensor[param.weight];
    const double *w = reference_tensor(ref, param.weight);
    for (int r = 0; r < t->rows; r++) {
        y[r] = param.bias < 0 ? 0 : reference_tensor(ref, param.bias)[r];
        for (int c = 0; c < t->cols; c++)
            y[r] += w[r * t->cols + c] * x[c];
    }
    if (ref->low && param.a >= 0)
        reference_adapter(ref, param, x, y);
}

/* Over the weight's elements. */
static inline void reference_norm(const struct reference *ref, struct param param, const double *x,
                                  double *y)
{
    const int n = ref->model->params->layout->tensor[param.weight].rows;
    const double *w = reference_tensor(ref, param.weight);
    double mean = 0, square = 0;
    for (int c = 0; c < n && ref->model->config.family->norm == NORM_LAYER; c++)
        mean += x[c] / n;
    for (int c = 0; c < n; c++)
        square += (x[c] - mean) * (x[c] - mean);
    for (int c = 0; c < n; c++)
        y[c] = (x[c] - mean) / sqrt(square / n + ref->model->config.norm_eps) * w[c] +
               (param.bias < 0 ? 0 : reference_tensor(ref, param.bias)[c]);
}

/* Of each head, in place; a family without such norms leaves them. */
static inline void reference_head_norm(const struct reference *ref, struct param param, double *x,
                                       int heads)
{
    const int D = ref->model->config.D;
    for (int h = 0; h < heads && param.weight >= 0; h++) {
        reference_row in;
        memcpy(in, x + h * D, (size_t)D * sizeof *in);
        reference_norm(ref, param, in, x + h * D);
    }
}

/* The angle of pair i in a position, as transformers' scalings are described. */
static inline double reference_frequency(const struct rope *rope, int i)
{
    const double plain = pow(rope->theta, -2.0 * i / rope->R), slow = plain / rope->factor;
    if (rope->kind == ROPE_LINEAR)
        return slow;
    if (rope->kind != ROPE_LLAMA3)
        return plain;
    const double wavelength = 2 * M_PI / plain;
    if (wavelength < rope->original / rope->high)
        return plain;
    if (wavelength > rope->original / rope->low)
        return slow;
    const double smooth = (rope->original / wavelength - rope->low) / (rope->high - rope->low);
    return (1 - smooth) * slow + smooth * plain;
}

static inline void reference_rotate(const struct reference *ref, double *x, int heads, int position)
{
    const struct rope rope = config_rope(&ref->model->config);
    const int D = ref->model->config.D, half = rope.R / 2;
    assert_int_not_equal(rope.kind, ROPE_YARN); // whose witness are PyTorch's numbers
    for (int h = 0; h < heads; h++, x += D)
        for (int i = 0; i < half; i++) {
            const double angle = position * reference_frequency(&rope, i);
            const double a = x[i], b = x[i + half];
            x[i] = a * cos(angle) - b * sin(angle);
            x[i + half] = b * cos(angle) + a * sin(angle);
        }
}

/* y[i] of the normed rows x[0..n-1], all heads, then the output map. */
static inline void reference_attention(const struct reference *ref, int l, reference_row *x, int n,
                                       reference_row *y)
{
    const struct params *p = ref->model->params;
    const int H = ref->model->config.H, K = ref->model->config.K, D = ref->model->config.D;
    reference_row q[REFERENCE_ROWS], k[REFERENCE_ROWS], v[REFERENCE_ROWS];
    for (int i = 0; i < n; i++) {
        reference_map(ref, params_layer(p, l, PARAM_Q), x[i], q[i]);
        reference_map(ref, params_layer(p, l, PARAM_K), x[i], k[i]);
        reference_map(ref, params_layer(p, l, PARAM_V), x[i], v[i]);
        reference_head_norm(ref, params_layer(p, l, PARAM_Q_NORM), q[i], H);
        reference_head_norm(ref, params_layer(p, l, PARAM_K_NORM), k[i], K);
        reference_rotate(ref, q[i], H, i);
        reference_rotate(ref, k[i], K, i);
    }
    const int window = config_window(&ref->model->config, l);
    for (int i = 0; i < n; i++) {
        const int low = window && i >= window ? i - window + 1 : 0;
        reference_row o = {0};
        for (int h = 0; h < H; h++) {
            const int head = h / (H / K);
            double e[REFERENCE_ROWS], total = 0;
            for (int j = low; j <= i; j++) {
                double score = 0;
                for (int d = 0; d < D; d++)
                    score += q[i][h * D + d] * k[j][head * D + d];
                e[j] = exp(score / sqrt(D));
                total += e[j];
            }
            for (int j = low; j <= i; j++)
                for (int d = 0; d < D; d++)
                    o[h * D + d] += e[j] / total * v[j][head * D + d];
        }
        reference_map(ref, params_layer(p, l, PARAM_O), o, y[i]);
    }
}

static inline double reference_activation(enum activation activation, double gate, double up)
{
    switch (activation) {
    case ACTIVATION_SWIGLU:
        return up * gate / (1 + exp(-gate));
    case ACTIVATION_GELU:
        return up * 0.5 * erfc(-up / sqrt(2));
    case ACTIVATION_GELU_TANH:
        return up * 0.5 * (1 + tanh(sqrt(2 / M_PI) * (up + 0.044715 * up * up * up)));
    case ACTIVATIONS:
        break;
    }
    fail_msg("no activation %d", activation);
    return 0;
}

static inline void reference_feed_forward(const struct reference *ref, int l, const double *x,
                                          double *y)
{
    const struct params *p = ref->model->params;
    reference_row gate = {0}, up;
    if (params_layer(p, l, PARAM_GATE).weight >= 0)
        reference_map(ref, params_layer(p, l, PARAM_GATE), x, gate);
    reference_map(ref, params_layer(p, l, PARAM_UP), x, up);
    for (int f = 0; f < ref->model->config.F; f++)
        up[f] = reference_activation(ref->model->config.activation, gate[f], up[f]);
    reference_map(ref, params_layer(p, l, PARAM_DOWN), up, y);
}

/* The stream of n rows through layer l, in place. */
static inline void reference_layer(const struct reference *ref, int l, reference_row *x, int n)
{
    const struct params *p = ref->model->params;
    const int C = ref->model->config.C;
    const bool parallel = ref->model->config.order == LAYER_PARALLEL;
    reference_row normed[REFERENCE_ROWS], attended[REFERENCE_ROWS], fed;
    for (int i = 0; i < n; i++)
        reference_norm(ref, params_layer(p, l, PARAM_NORM1), x[i], normed[i]);
    reference_attention(ref, l, normed, n, attended);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < C && !parallel; c++)
            x[i][c] += attended[i][c];
        reference_norm(ref, params_layer(p, l, PARAM_NORM2), x[i], normed[i]);
        reference_feed_forward(ref, l, normed[i], fed);
        for (int c = 0; c < C; c++)
            x[i][c] += fed[c] + (parallel ? attended[i][c] : 0);
    }
}

/* Hidden states after the final norm of one sequence. */
static inline void reference_hidden(const struct reference *ref, const int32_t *token, int n,
                                    reference_row *ret)
{
    const struct params *p = ref->model->params;
    const int C = ref->model->config.C;
    assert_true(n <= REFERENCE_ROWS && C <= REFERENCE_WIDTH &&
                ref->model->config.F <= REFERENCE_WIDTH &&
                ref->model->config.H * ref->model->config.D <= REFERENCE_WIDTH);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < C; c++)
            ret[i][c] =
                reference_tensor(ref, p->embed.weight)[token[i] * C + c] +
                (p->position.weight < 0 ? 0 : reference_tensor(ref, p->position.weight)[i * C + c]);
    for (int l = 0; l < ref->model->config.L; l++)
        reference_layer(ref, l, ret, n);
    for (int i = 0; i < n; i++) {
        reference_row x;
        memcpy(x, ret[i], sizeof x);
        reference_norm(ref, p->norm, x, ret[i]);
    }
}

/* Every row but a sequence's last predicts the next token. */
static inline double reference_loss(const struct reference *ref, const struct tiny_batch *b)
{
    const int V = ref->model->config.V;
    double loss = 0;
    assert_true(V <= REFERENCE_WIDTH);
    for (int s = 0, row = 0; s < b->count; s++) {
        const int first = b->segment[s].first, n = b->segment[s].count;
        reference_row hidden[REFERENCE_ROWS], logits;
        reference_hidden(ref, b->token + first, n, hidden);
        for (int i = 0; i + 1 < n; i++, row++) {
            double sum = 0;
            reference_map(ref, ref->model->params->head[HEAD_VOCABULARY], hidden[i], logits);
            for (int v = 0; v < V; v++)
                sum += exp(0.8 * logits[v]);
            loss += b->dlogp[row] * (0.8 * logits[b->target[row]] - log(sum));
        }
    }
    return loss;
}
