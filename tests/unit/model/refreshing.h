/* New weights for a compact model in a backend's memory, and what must be there afterwards.
 *
 *     SCOPED_VALUE(news) news = news_of(model, 3, 40);          -- one value in 40 changes
 *     refresh_begin(refresh, &(struct new_weights){news.flat, news.changed, news.marks});
 *     bring_all(refresh);
 *     assert_ok(refresh_apply(refresh));
 *     assert_holds(model, news.flat); */
#pragma once
#include "base/rng.h"
#include "model/forward.h"
#include "model/refresh.h"
#include "testing/models.h"
#include <string.h>

enum { CONTEXT = 160, V = 61 };

static inline struct model_config config_of(bool tied)
{
    return config_default(V, 64, 100, 2, 4, 2, CONTEXT, tied);
}

/* A model whose weights lie once, as a generator has them, with those of a fresh one. */
static inline struct model *compact_of(struct backend *be, const struct model_config *config,
                                       uint64_t seed)
{
    SCOPED(model) fresh = NULL;
    struct model *ret = NULL;
    assert_ok(model_new(be, config, seed, &fresh));
    assert_ok(model_empty_compact(be, config, &ret));
    copy_weights(ret, fresh);
    return ret;
}

/* One value in `every` becomes another, in flat and among the marks. Returns how many. */
static inline size_t change(const struct layout *layout, uint64_t seed, size_t every, bf16 *flat,
                            bool *changed, uint32_t *marks)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 0, 0);
    size_t count = 0;
    for (int t = 0; t < layout->count; t++)
        for (size_t i = 0; i < layout->tensor[t].count; i++) {
            const size_t at = layout->tensor[t].offset + i;
            if (rng_below(&rng, at, every))
                continue;
            flat[at] ^= 0x0081; // a bit of the fraction, and one of the exponent
            changed[t] = true;
            marks[at / 32] |= (uint32_t)1 << at % 32;
            count++;
        }
    return count;
}

struct news {
    bf16 *flat;
    bool *changed;
    uint32_t *marks;
    size_t count;
};

static inline void news_done(struct news *news)
{
    mem_free(news->flat);
    mem_free(news->changed);
    mem_free(news->marks);
}

static inline struct news news_of(const struct model *model, uint64_t seed, size_t every)
{
    const struct layout *layout = model->params->layout;
    struct news news = {.flat = flat_of(model),
                        .changed = mem_array((size_t)layout->count, sizeof(bool)),
                        .marks = mem_array(layout->elements / 32 + 1, sizeof(uint32_t))};
    news.count = change(layout, seed, every, news.flat, news.changed, news.marks);
    return news;
}

/* Logits of a sequence: all weights have a part in them. */
static inline float *logits_at(struct model *model)
{
    enum { N = 20 };
    SCOPED(forward) fw = NULL;
    int32_t token[N], position[N], row[N];
    const struct segment segment = {.count = N};
    for (int i = 0; i < N; i++) {
        token[i] = (i * 7 + 3) % V;
        position[i] = row[i] = i;
    }
    assert_ok(forward_new(model, N, N, FORWARD_NOTHING, &fw));
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    return logits_of(model, fw, row, N);
}

/* The model computes and reads back as one to which all values were put. */
static inline void assert_holds(struct model *model, const bf16 *flat)
{
    SCOPED(model) put = NULL;
    struct digest held, wanted;
    assert_ok(model_empty_compact(model->be, &model->config, &put));
    assert_ok(model_put(put, flat, NULL));
    SCOPED_MEM bf16 *got = flat_of(model);
    SCOPED_MEM float *a = logits_at(model);
    SCOPED_MEM float *b = logits_at(put);
    assert_memory_equal(got, flat, model->params->layout->elements * sizeof *flat);
    assert_memory_equal(a, b, (size_t)20 * V * sizeof *a);
    assert_ok(model_digest(model, &held));
    wanted = weights_digest(flat, 0, model->params->layout->elements);
    assert_true(digest_equal(&held, &wanted));
}

static inline void bring_all(struct refresh *refresh)
{
    for (bool there = false; !there;)
        assert_ok(refresh_bring(refresh, &there));
}

static inline void changes_come_into_force_together(struct backend *be)
{
    for (int tied = 0; tied < 2; tied++) {
        const struct model_config config = config_of(tied);
        SCOPED(model) model = compact_of(be, &config, 5);
        SCOPED(refresh) refresh = NULL;
        assert_ok(refresh_new(model, &refresh));
        for (uint64_t version = 0; version < 3; version++) {
            SCOPED_VALUE(news) news = news_of(model, version, 40);
            SCOPED_MEM bf16 *before = flat_of(model);
            refresh_begin(refresh, &(struct new_weights){news.flat, news.changed, news.marks});
            bring_all(refresh);
            assert_holds(model, before);
            assert_ok(refresh_apply(refresh));
            assert_holds(model, news.flat);
            const struct refreshed how = refresh_figures(refresh);
            assert_true(how.listed > news.count * 9 / 10 && how.listed <= news.count);
        }
    }
}

/* A list as another library brings it to the device: the backend's own list of the marks, in the
 * memory that the refresh lends. Returns where the next one may begin. */
static inline char *bring_list(struct model *model, const struct news *news, char *at,
                               uint32_t *count, struct device_list *ret)
{
    struct backend *be = model->be;
    const struct layout *layout = model->params->layout;
    SCOPED_VALUE(buffer) w = {0};
    SCOPED_VALUE(buffer) marks = {0};
    SCOPED_MEM struct extent *extent = mem_array((size_t)layout->count, sizeof *extent);
    size_t listed = 0;
    for (int t = 0; t < layout->count; t++)
        extent[t] = (struct extent){layout->tensor[t].offset, layout->tensor[t].count};
    assert_ok(buffer_alloc(be, layout->elements * sizeof(bf16), &w));
    assert_ok(buffer_alloc(be, (layout->elements / 32 + 1) * sizeof(uint32_t), &marks));
    assert_ok(buffer_put(&w, 0, news->flat, w.bytes));
    assert_ok(buffer_put(&marks, 0, news->marks, marks.bytes));
    assert_ok(be->ops->changes_list(be, w.address, marks.address, extent, layout->count,
                                    news->count, at, count));
    for (int t = 0; t < layout->count; t++)
        listed += count[t];
    assert_int_equal(listed, news->count);
    *ret = (struct device_list){count, (const uint32_t *)(void *)at,
                                (const bf16 *)(void *)(at + listed * sizeof(uint32_t))};
    return at + (listed * CHANGE_BYTES + 63) / 64 * 64;
}

/* Two versions' lists in their order: the later value of an element counts. Nothing is brought. */
static inline void lists_that_are_there_come_into_force(struct backend *be)
{
    for (int tied = 0; tied < 2; tied++) {
        const struct model_config config = config_of(tied);
        SCOPED(model) model = compact_of(be, &config, 5);
        SCOPED(model) twin = compact_of(be, &config, 5);
        SCOPED(refresh) refresh = NULL;
        void *lent = NULL;
        size_t bytes = 0;
        assert_ok(refresh_new(model, &refresh));
        assert_ok(refresh_lend(refresh, &lent, &bytes));
        SCOPED_VALUE(news) first = news_of(model, 1, 60);
        assert_ok(model_put(twin, first.flat, NULL));
        SCOPED_VALUE(news) second = news_of(twin, 2, 60);
        SCOPED_MEM bf16 *before = flat_of(model);
        const size_t tensors = (size_t)model->params->layout->count;
        for (size_t t = 0; t < tensors; t++)
            second.changed[t] |= first.changed[t];
        SCOPED_MEM uint32_t *count = mem_array(2 * tensors, sizeof *count);
        struct new_weights weights = {.flat = second.flat, .changed = second.changed, .lists = 2};
        char *at = bring_list(model, &first, lent, count, &weights.list[0]);
        at = bring_list(model, &second, at, count + tensors, &weights.list[1]);
        assert_true(at <= (char *)lent + bytes);
        bool there = false;
        refresh_begin(refresh, &weights);
        assert_ok(refresh_bring(refresh, &there));
        assert_true(there);
        assert_holds(model, before);
        assert_ok(refresh_apply(refresh));
        assert_holds(model, second.flat);
        const struct refreshed how = refresh_figures(refresh);
        assert_int_equal(how.listed, 0);
        assert_true(how.there > (first.count + second.count) * 9 / 10);
    }
}

/* Versions follow each other before anything was computed or read: lists are not written over
 * before they were applied. */
static inline void versions_follow_at_once(struct backend *be)
{
    const struct model_config config = config_of(false);
    SCOPED(model) model = compact_of(be, &config, 5);
    SCOPED(model) twin = compact_of(be, &config, 5);
    SCOPED(refresh) refresh = NULL;
    struct news news[4];
    assert_ok(refresh_new(model, &refresh));
    for (uint64_t v = 0; v < 4; v++) {
        news[v] = news_of(twin, v, 40);
        assert_ok(model_put(twin, news[v].flat, NULL));
    }
    for (int v = 0; v < 4; v++) {
        refresh_begin(refresh, &(struct new_weights){news[v].flat, news[v].changed, news[v].marks});
        bring_all(refresh);
        assert_ok(refresh_apply(refresh));
    }
    assert_holds(model, news[3].flat);
    for (int v = 0; v < 4; v++)
        news_done(&news[v]);
}

/* Those that are too many for their lists, and weights without marks, are put. */
static inline void what_is_not_listed_is_put(struct backend *be)
{
    const struct model_config config = config_of(true);
    SCOPED(model) model = compact_of(be, &config, 5);
    SCOPED(refresh) refresh = NULL;
    assert_ok(refresh_new(model, &refresh));
    SCOPED_VALUE(news) many = news_of(model, 1, 2);
    refresh_begin(refresh, &(struct new_weights){many.flat, many.changed, many.marks});
    bring_all(refresh);
    assert_ok(refresh_apply(refresh));
    assert_holds(model, many.flat);
    assert_true(refresh_figures(refresh).listed && refresh_figures(refresh).whole);
    SCOPED_VALUE(news) few = news_of(model, 2, 50);
    refresh_begin(refresh, &(struct new_weights){few.flat, few.changed, NULL});
    assert_ok(refresh_apply(refresh));
    assert_holds(model, few.flat);
    assert_int_equal(refresh_figures(refresh).listed, 0);
}
