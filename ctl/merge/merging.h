/* A merge from its sources to a directory: tensor after tensor, each read, combined and written
 * before the next.
 *
 *     struct merging merging = {.rule = rule, .model = sources, .count = 2, .weight = weight, ...};
 *     TRY(merging_check(&merging));
 *     TRY(merging_write(&merging, "merged"));
 *
 * The result has the parts, the vocabulary and the numbers of the first model. A tensor that the
 * base or some models lack, as a head, is the mean of those that have it, by their weights. Memory:
 * one tensor of each model, of the base, and the result. Owner: the thread that owns the backend.
 * */
#pragma once
#include "ctl/merge/combine.h"
#include "ctl/merge/merge_source.h"

enum { MERGE_MODELS_MAX = 32 };
struct merging {
    struct merge_rule rule;
    bool by_token; // rows of the vocabulary
    enum dtype dtype;
    const char *about;                                   // how it was made, for the file's metadata
    struct merge_source *base, *model[MERGE_MODELS_MAX]; // base: NULL where linear; borrowed
    int count;
    double weight[MERGE_MODELS_MAX], density[MERGE_MODELS_MAX];
    /* Told by merging_write. */
    struct merge_part told[MERGE_MODELS_MAX];
    double squares;     // of base, or of the result
    int tensors, apart; // files' tensors; those of them that were averaged among some alone
};

/* INVALID: models that do not fit together, or weights whose sum is 0. */
err_t merging_check(struct merging *merging);

/* Into an existing directory: model.safetensors, then config.json and generation_config.json. A
 * value that is infinite in the result's type is INVALID. Errors leave no model.safetensors. */
err_t merging_write(struct merging *merging, const char *directory);
