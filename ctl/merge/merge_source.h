/* A model to be merged: the files of a whole one, read tensor by tensor; or an adapter on its base,
 * whose matrices are W + scale * B A.
 *
 *     SCOPED(merge_source) source = NULL;
 *     TRY(merge_source_open(be, "reward_model", &source));
 *     TRY(merge_source_fits(source, first, false));
 *     const int i = merge_source_find(source, "model.norm.weight");      -- -1: it has none
 *     TRY(merge_source_read(source, i, values));
 *
 * Owner: the thread that owns the backend. */
#pragma once
#include "ctl/merge/vocabulary.h"
#include "model/model.h"

struct merge_source {
    const char *directory; // borrowed
    struct model_config config;
    struct params *params;
    struct safetensors *in;       // a whole model's
    struct model *model;          // an adapter with its base; NULL: a whole model
    struct buffer low;            // the adapter's values in float32
    struct tokenizer *tokenizer;  // NULL: the directory has none
    struct merge_vocabulary rows; // whose rows the first's are; by_token alone
};

/* NOT_FOUND, INVALID: as model_load; no value is read of a whole model. */
err_t merge_source_open(struct backend *be, const char *directory, struct merge_source **ret);

/* Whether it computes as `first` does: the same family and numbers, the same token at each row.
 * by_token: tokens may have other rows, and each may have some that the other has not. INVALID: a
 * line with the directory, the key and both values. */
err_t merge_source_fits(struct merge_source *source, const struct merge_source *first,
                        bool by_token);

/* The first layout's tensor of a name of the files; -1: none. */
int merge_source_find(const struct merge_source *source, const char *name);

/* A tensor of the files, whole, in float32; rows of the vocabulary as `first` has them. INVALID: a
 * value that is not finite. */
err_t merge_source_read(const struct merge_source *source, int i, float *ret);

/* Elements of that tensor as the source has it; rows and columns by stored_shape. */
size_t merge_source_count(const struct merge_source *source, int i);
void merge_source_free(struct merge_source *source);
DEFINE_SCOPED(merge_source)
