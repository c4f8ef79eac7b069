/* A backend's memory as tests look at it: copies in the host's memory, which the caller frees.
 *
 *     SCOPED_MEM bf16 *before = flat_of(model);
 *     SCOPED_MEM float *flat = gradient_of(grad);
 *     SCOPED_MEM float *logits = logits_of(model, fw, row, rows);
 *     SCOPED(model) wide = padded_model(model, 3);
 *     set_weight(model, i, value);            -- element i of the flat array alone: a fault of memory
 *     assert_same_weights(a, b); */
#pragma once
#include "base/mem.h"
#include "model/backward.h"
#include "testing/testing.h"
#include <string.h>

static inline bf16 *flat_of(const struct model *model)
{
    bf16 *flat = NULL;
    assert_ok(model_flat(model, &flat));
    return flat;
}

static inline struct digest weights_digest_of(const struct model *model)
{
    SCOPED_MEM bf16 *flat = flat_of(model);
    return weights_digest(flat, 0, model->params->layout->elements);
}

static inline void set_weight(struct model *model, size_t i, bf16 value)
{
    assert_ok(buffer_put(&model->values, i * sizeof value, &value, sizeof value));
}

/* The model's weights become those of another. */
static inline void copy_weights(struct model *to, const struct model *from)
{
    SCOPED_MEM bf16 *flat = flat_of(from);
    assert_ok(model_put(to, flat, NULL));
}

static inline void assert_same_weights(const struct model *a, const struct model *b)
{
    SCOPED_MEM bf16 *x = flat_of(a);
    SCOPED_MEM bf16 *y = flat_of(b);
    assert_memory_equal(x, y, a->params->layout->elements * sizeof *x);
}

static inline float *gradient_of(const struct gradient *grad)
{
    float *flat = mem_array(grad->count, sizeof *flat);
    assert_ok(buffer_get(&grad->flat, 0, grad->flat.bytes, flat));
    return flat;
}

static inline void assert_same_gradient(const struct gradient *a, const struct gradient *b)
{
    SCOPED_MEM float *x = gradient_of(a);
    SCOPED_MEM float *y = gradient_of(b);
    assert_memory_equal(x, y, a->count * sizeof *x);
}

/* A copy with more rows of the vocabulary, in pairs of opposite sign: in nearly every softmax over
 * all rows one of a pair has the probability 1. */
static inline struct model *padded_model(const struct model *from, int rows)
{
    struct model *ret = NULL;
    struct model_config config = from->config;
    config.V += rows;
    assert_ok(model_empty(from->be, &config, &ret));
    SCOPED_MEM bf16 *old = flat_of(from);
    SCOPED_MEM bf16 *flat = flat_of(ret);
    for (int i = 0; i < ret->params->layout->count; i++) {
        const struct layout_tensor *a = &from->params->layout->tensor[i],
                                   *b = &ret->params->layout->tensor[i];
        memcpy(flat + b->offset, old + a->offset, a->count * sizeof *flat);
        for (size_t j = a->count; j < b->count; j++)
            flat[b->offset + j] = bf16_from_float(j / (size_t)b->cols % 2 ? 64 : -64);
    }
    assert_ok(model_put(ret, flat, NULL));
    return ret;
}

/* Rows of C floats at an address. */
static inline float *rows_of(struct backend *be, const float *at, int rows, int C)
{
    float *copy = mem_array((size_t)rows * (size_t)C, sizeof *copy);
    assert_ok(be->ops->get(be, copy, at, (size_t)rows * (size_t)C * sizeof *copy));
    return copy;
}

/* Outputs of a head: (rows, its width). */
static inline float *outputs_of(const struct model *model, struct forward *fw, int head,
                                const int32_t *row, int rows)
{
    const int width = model_head(model, head)->rows;
    SCOPED_VALUE(buffer) there = {0};
    assert_ok(buffer_alloc(model->be, (size_t)rows * (size_t)width * sizeof(float), &there));
    assert_ok(forward_head(fw, head, row, rows, there.address));
    return rows_of(model->be, there.address, rows, width);
}

static inline float *logits_of(const struct model *model, struct forward *fw, const int32_t *row,
                               int rows)
{
    return outputs_of(model, fw, HEAD_VOCABULARY, row, rows);
}
