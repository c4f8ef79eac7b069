/* The weights of all versions of a swap's test, and how one of them comes into force. */
#pragma once
#include "generator/swap.h"
#include "model/forward.h"
#include "unit/model/tiny.h"

enum { CONTEXT = 72, VERSIONS = 16 };

/* The weights of every version, each with a forward of its own. */
struct past {
    struct backend *be;
    struct model *model[VERSIONS];
    struct forward *full[VERSIONS];
};

static inline void past_done(struct past *past)
{
    for (int v = 0; v < VERSIONS; v++) {
        forward_free(past->full[v]);
        model_free(past->model[v]);
    }
    backend_free(past->be);
}

static inline struct past past_of(int threads)
{
    struct past past = {.be = tiny_backend(threads)};
    struct model_config config = tiny_config(true);
    for (int v = 0; v < VERSIONS; v++) {
        assert_ok(model_new(past.be, &config, (uint64_t)v + 1, &past.model[v]));
        assert_ok(forward_new(past.model[v], CONTEXT, 16, false, &past.full[v]));
    }
    return past;
}

static inline void put_in_force(struct swap *swap, const bf16 *values, uint64_t version,
                                struct swapped *ret)
{
    bool there = false;
    swap_begin(swap, &(struct new_weights){.flat = values});
    assert_ok(swap_bring(swap, &there));
    assert_true(there);
    assert_ok(swap_apply(swap, version, ret));
}
