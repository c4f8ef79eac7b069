/* AdamW over fp32 masters. The model computes with their bf16 copies, which are rounded to nearest
 * even after every step.
 *
 *     struct optimizer_config config = OPTIMIZER_DEFAULTS;
 *     SCOPED(optimizer) opt = NULL;
 *     TRY(optimizer_new(model, &config, "sft", &opt));
 *     TRY(optimizer_step(opt, grad, schedule_lr(&schedule, optimizer_steps(opt) + 1), &result));
 *     TRY(optimizer_save(opt, "checkpoint/optimizer.safetensors"));
 *
 * Decay falls on matrices only (embedding included), not on norm weights, as transformers and TRL
 * do. Owner: the thread that owns the model's backend; the model outlives the optimizer. */
#pragma once
#include "model/backward.h"
#include "model/states.h"

struct optimizer_config {
    double beta1, beta2, eps, weight_decay;
    /* Gradients are scaled down to this global norm; 0: never. */
    double clip_norm;
    /* Where masters and moments lie, from optimizer_new on. The bits are the same. */
    enum states_place states;
};
#define OPTIMIZER_DEFAULTS                                                                         \
    ((struct optimizer_config){.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .clip_norm = 1.0})

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
/* How far the fall has come: `done` of it was over after step `from`; it ends at step `total`. */
struct course {
    int64_t from, total;
    double done;
};
struct schedule {
    enum schedule_kind kind;
    double lr;           // after warm-up
    double min_lr_ratio; // the last step's lr / lr: 0.1 falls to a tenth
    /* The rate rises over steps 1..warmup, falls until step course.total, then stays. */
    int64_t warmup;
    struct course course;
};
bool schedule_find(const char *name, enum schedule_kind *ret);     // "constant", "linear", "cosine"
double schedule_lr(const struct schedule *schedule, int64_t step); // step 1, 2, ...

/* After `step` steps it turns out that the last one is another: what is left of the fall is spread
 * over the steps up to it. The rate of that step stays, and no later one jumps. A course without an
 * end yet (total 0) begins at step 0. The same end changes nothing. */
void schedule_end_at(struct schedule *schedule, int64_t step, int64_t total);

struct optimizer;
struct optimizer_result {
    int64_t step;     // 1 after the first
    double grad_norm; // of the tensors that train, before clipping
    double changed;   // share of the model's bf16 values that changed
    /* weights_digest_add(optimizer_digest before, this) is the one after. */
    struct digest digest_change;
};

/* Masters start from the weights in directory (F32 ones keep their precision), or from the model's
 * bf16 values if directory is NULL. The directory must be the one the model was loaded from. */
err_t optimizer_new(struct model *model, const struct optimizer_config *config,
                    const char *directory, struct optimizer **ret);

/* Which tensors steps train from now on: a flag each, by index in the layout; borrowed, and read at
 * every step. NULL, and before the first call: all. Other tensors keep value, master and moments to
 * the bit, without decay, and their gradients are not part of the norm. */
void optimizer_select(struct optimizer *opt, const bool *trains);

/* Sums grad (gradient_sum), clips, steps, rounds, packs the model again. grad is left as it is,
 * summed. INVALID: the gradient's norm is not finite; nothing changed. */
err_t optimizer_step(struct optimizer *opt, struct gradient *grad, double lr,
                     struct optimizer_result *ret);

/* weights_digest of the model's values: summed up in full when the optimizer is made or loaded,
 * then changed with each step's changes. */
struct digest optimizer_digest(const struct optimizer *opt);
/* Sums up all values, about 1 GB/s, and compares. DATA_LOSS: the values in memory are not those
 * that the steps made, or a step read a wrong one. */
err_t optimizer_verify(const struct optimizer *opt);

/* From here on every step marks the values that it changes, and the marks gather: a bit per element
 * of the layout, 32 in a word, in the backend's memory. The first call takes that memory:
 * EXHAUSTED. Each call clears them. optimizer_marks: NULL where values were also set otherwise
 * since, by optimizer_load, or before the first call. */
err_t optimizer_mark(struct optimizer *opt);
const uint32_t *optimizer_marks(const struct optimizer *opt);

/* Masters move a share of the way to the values of another model of these shapes: master = (1 -
 * share) master + share value, in double and rounded once. Weights and digest follow; marks do not.
 * share 1: a copy. INVALID: other shapes. */
err_t optimizer_follow(struct optimizer *opt, const struct model *source, double share);

struct states_bytes optimizer_bytes(const struct optimizer *opt); // masters and moments
int64_t optimizer_steps(const struct optimizer *opt);             // taken so far
/* Kept and saved for its owner; zeros before the first call. */
struct course optimizer_course(const struct optimizer *opt);
void optimizer_set_course(struct optimizer *opt, const struct course *course);
/* From the next step on. */
void optimizer_configure(struct optimizer *opt, const struct optimizer_config *config);

/* As after optimizer_new of the weights that it has: no step is taken, moments and course are
 * zeros, and the masters keep their precision. */
err_t optimizer_restart(struct optimizer *opt);

/* Masters and moments as F32 (master.NAME, exp_avg.NAME, exp_avg_sq.NAME), the step and the course
 * in the metadata, wherever they lie. Loading also sets the model's weights to the rounded masters.
 * On error everything is as it was, unless the file could be opened and not be read to its end: the
 * optimizer is good for nothing then. */
err_t optimizer_save(const struct optimizer *opt, const char *path);
/* The masters alone of an optimizer of this model, into a buffer of as many float32 elements as the
 * model's layout has. Errors as optimizer_load's. */
err_t optimizer_masters(const struct model *model, const char *path, struct buffer *ret);
err_t optimizer_load(struct optimizer *opt, const char *path);
void optimizer_free(struct optimizer *opt);
DEFINE_SCOPED(optimizer)
