#include "model/optimizer.h"
#include "base/mem.h"
#include "tensor/adamw.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The three arrays, each at the model's layout; file names are PREFIX.TENSOR. */
enum { MASTER, EXP_AVG, EXP_AVG_SQ, ARRAYS };
static const char *const prefixes[ARRAYS] = {"master", "exp_avg", "exp_avg_sq"};

struct optimizer {
    struct model *model; // borrowed
    struct optimizer_config config;
    const bool *trains; // borrowed; NULL: all do
    int64_t step;
    struct buffer array[ARRAYS]; // float32
    struct buffer total;         // what a step's calls of adamw changed
    struct digest digest;        // of the model's values, kept by their changes
    struct course course;        // its owner's
};

static const struct layout *layout_of(const struct optimizer *opt)
{
    return opt->model->params->layout;
}

static float *array_of(const struct optimizer *opt, int array)
{
    return opt->array[array].address;
}

static err_t make_arrays(struct optimizer *opt)
{
    for (int i = 0; i < ARRAYS; i++)
        TRY(buffer_alloc(opt->model->be, layout_of(opt)->elements * sizeof(float), &opt->array[i]));
    return OK;
}

/* Masters and bf16 values pass through the host's memory in pieces: of so many elements. */
enum { PIECE = 1 << 16 };
struct piece {
    float master[PIECE];
    bf16 value[PIECE];
};

/* The masters of elements at.. become the model's values, or, if they were read from a directory,
 * are compared with them. */
static err_t begin_masters(struct optimizer *opt, const char *directory, size_t at, size_t count,
                           struct piece *piece)
{
    struct buffer *masters = &opt->array[MASTER];
    const size_t bytes = count * sizeof(float);
    TRY(model_copy(opt->model, at, count, piece->value));
    if (!directory) {
        for (size_t i = 0; i < count; i++)
            piece->master[i] = bf16_to_float(piece->value[i]);
        return buffer_put(masters, at * sizeof(float), piece->master, bytes);
    }
    TRY(buffer_get(masters, at * sizeof(float), bytes, piece->master));
    for (size_t i = 0; i < count; i++)
        if (bf16_from_float(piece->master[i]) != piece->value[i])
            return err_new(ERR_PRECONDITION,
                           "'%s' does not hold the weights that the model computes with",
                           directory);
    return OK;
}

err_t optimizer_new(struct model *model, const struct optimizer_config *config,
                    const char *directory, struct optimizer **ret)
{
    if (!model_values(model))
        return err_new(ERR_PRECONDITION, "a compact model has no optimizer");
    SCOPED(optimizer) opt = mem_new(sizeof *opt);
    SCOPED_MEM struct piece *piece = mem_new(sizeof *piece);
    opt->model = model;
    opt->config = *config;
    TRY(make_arrays(opt));
    TRY(buffer_alloc(model->be, sizeof(struct adamw_total), &opt->total));
    if (directory)
        TRY(model_read_f32(model, directory, &opt->array[MASTER]));
    const size_t elements = layout_of(opt)->elements;
    for (size_t at = 0; at < elements; at += PIECE)
        TRY(begin_masters(opt, directory, at, elements - at < PIECE ? elements - at : PIECE,
                          piece));
    TRY(model_digest(opt->model, &opt->digest));
    *ret = STEAL(opt);
    return OK;
}

struct digest optimizer_digest(const struct optimizer *opt)
{
    return opt->digest;
}

err_t optimizer_verify(const struct optimizer *opt)
{
    char kept[DIGEST_TEXT], found[DIGEST_TEXT];
    struct digest sum;
    TRY(model_digest(opt->model, &sum));
    if (digest_equal(&sum, &opt->digest))
        return OK;
    return err_new(ERR_DATA_LOSS,
                   "the weights in memory have digest %s, but %" PRId64 " updates made %s",
                   digest_text(&sum, found), opt->step, digest_text(&opt->digest, kept));
}

void optimizer_configure(struct optimizer *opt, const struct optimizer_config *config)
{
    opt->config = *config;
}

void optimizer_select(struct optimizer *opt, const bool *trains)
{
    opt->trains = trains;
}

size_t optimizer_bytes(const struct optimizer *opt)
{
    return ARRAYS * layout_of(opt)->elements * sizeof(float);
}

struct course optimizer_course(const struct optimizer *opt)
{
    return opt->course;
}

void optimizer_set_course(struct optimizer *opt, const struct course *course)
{
    opt->course = *course;
}

int64_t optimizer_steps(const struct optimizer *opt)
{
    return opt->step;
}

static bool decays(const struct layout *layout, int i)
{
    return layout->tensor[i].cols > 0;
}

static bool trains(const struct optimizer *opt, int i)
{
    return !opt->trains || opt->trains[i];
}

/* Where tensor i begins in the flat array; of the last one's successor: where the array ends. So
 * the elements of a run of tensors include the gaps, whose zeros stay zeros. */
static size_t begin_of(const struct layout *layout, int i)
{
    return i < layout->count ? layout->tensor[i].offset : layout->elements;
}

/* AdamW over each run of neighbouring tensors that train and decay alike. */
static err_t step_runs(struct optimizer *opt, const float *grad, struct adamw_step step,
                       struct adamw_changes *ret)
{
    const struct layout *layout = layout_of(opt);
    struct backend *be = opt->model->be;
    TRY(be->ops->zero(be, opt->total.address, opt->total.bytes));
    for (int i = 0, next; i < layout->count; i = next) {
        for (next = i + 1; next < layout->count && trains(opt, next) == trains(opt, i) &&
                           decays(layout, next) == decays(layout, i);
             next++)
            ;
        if (!trains(opt, i))
            continue;
        const size_t begin = begin_of(layout, i), end = begin_of(layout, next);
        step.weight_decay = decays(layout, i) ? (float)opt->config.weight_decay : 0;
        TRY(be->ops->adamw(be, array_of(opt, MASTER) + begin, model_values(opt->model) + begin,
                           array_of(opt, EXP_AVG) + begin, array_of(opt, EXP_AVG_SQ) + begin,
                           grad + begin, begin, end - begin, &step, NULL, opt->total.address));
    }
    return adamw_read(&opt->total, ret);
}

/* Sum over the runs of neighbouring tensors that train. When all do it is one sum over the whole
 * array, whose order is fixed. */
static err_t squares_of(const struct optimizer *opt, const float *grad, double *ret)
{
    const struct layout *layout = layout_of(opt);
    struct backend *be = opt->model->be;
    double squares = 0;
    for (int i = 0, next; i < layout->count; i = next) {
        for (next = i + 1; next < layout->count && trains(opt, next) == trains(opt, i); next++)
            ;
        if (!trains(opt, i))
            continue;
        double some;
        const size_t begin = begin_of(layout, i);
        TRY(be->ops->square_sum(be, grad + begin, begin_of(layout, next) - begin, &some));
        squares += some;
    }
    *ret = squares;
    return OK;
}

err_t optimizer_step(struct optimizer *opt, struct gradient *grad, double lr,
                     struct optimizer_result *ret)
{
    const struct optimizer_config *config = &opt->config;
    double squares;
    TRY(gradient_sum(grad));
    TRY(squares_of(opt, grad->flat.address, &squares));
    const double norm = sqrt(squares);
    if (!isfinite(norm))
        return err_new(ERR_INVALID,
                       "update %" PRId64 ": the gradient's norm is %g; nothing was changed",
                       opt->step + 1, norm);
    const bool clip = config->clip_norm > 0 && norm > config->clip_norm;
    const struct adamw_step step = {.lr = (float)lr,
                                    .beta1 = (float)config->beta1,
                                    .beta2 = (float)config->beta2,
                                    .eps = (float)config->eps,
                                    .grad_scale = clip ? (float)(config->clip_norm / norm) : 1,
                                    .step = (long)(opt->step + 1)};
    struct adamw_changes made = {0};
    TRY(step_runs(opt, grad->flat.address, step, &made));
    opt->digest = weights_digest_add(opt->digest, made.digest);
    TRY(model_repack(opt->model));
    opt->step++;
    *ret = (struct optimizer_result){.step = opt->step,
                                     .grad_norm = norm,
                                     .changed =
                                         (double)made.count / (double)layout_of(opt)->parameters,
                                     .digest_change = made.digest};
    return OK;
}

static char *tensor_name(int array, const struct layout_tensor *tensor)
{
    return mem_printf("%s.%s", prefixes[array], tensor->name);
}

err_t optimizer_save(const struct optimizer *opt, const char *path)
{
    const struct layout *layout = layout_of(opt);
    const int count = ARRAYS * layout->count;
    struct tensor_source *out = mem_array((size_t)count, sizeof *out);
    for (int i = 0; i < count; i++) {
        const struct layout_tensor *tensor = &layout->tensor[i % layout->count];
        const int array = i / layout->count;
        out[i] = (struct tensor_source){.name = tensor_name(array, tensor),
                                        .dtype = DTYPE_F32,
                                        .rows = tensor->rows,
                                        .cols = tensor->cols,
                                        .data = array_of(opt, array) + tensor->offset,
                                        .be = opt->model->be};
    }
    char step[24], course[80];
    snprintf(step, sizeof step, "%" PRId64, opt->step);
    snprintf(course, sizeof course, "%" PRId64 " %" PRId64 " %.17g", opt->course.from,
             opt->course.total, opt->course.done);
    const char *const metadata[][2] = {
        {"rlhfd_optimizer", "1"}, {"step", step}, {"course", course}};
    err_t failed = safetensors_write(path, out, count, metadata, opt->course.total ? 3 : 2);
    for (int i = 0; i < count; i++)
        free((char *)out[i].name);
    free(out);
    return failed;
}

static err_t read_step(const struct safetensors *in, const char *path, int64_t *ret)
{
    const char *version = safetensors_metadata(in, "rlhfd_optimizer"),
               *text = safetensors_metadata(in, "step");
    if (!version || strcmp(version, "1") != 0)
        return err_new(ERR_INVALID, "%s: metadata 'rlhfd_optimizer' is '%.20s'; it must be '1'",
                       path, version ? version : "(missing)");
    char *end = NULL;
    long long step = text && *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : -1;
    if (step < 0 || *end || step > INT32_MAX)
        return err_new(ERR_INVALID, "%s: metadata 'step' is '%.20s'; it must be a whole number",
                       path, text ? text : "(missing)");
    *ret = step;
    return OK;
}

/* Files without one are of steps that no course led. */
static err_t read_course(const struct safetensors *in, const char *path, struct course *ret)
{
    const char *text = safetensors_metadata(in, "course");
    struct course course = {0};
    int end = 0;
    if (!text)
        return OK;
    if (sscanf(text, "%" SCNd64 " %" SCNd64 " %lf%n", &course.from, &course.total, &course.done,
               &end) != 3 ||
        text[end] || course.from < 0 || course.total <= 0 ||
        !(course.done >= 0 && course.done <= 1))
        return err_new(ERR_INVALID,
                       "%s: metadata 'course' is '%.60s'; it must be a step, a step above 0 and a "
                       "number from 0 to 1",
                       path, text);
    *ret = course;
    return OK;
}

static err_t read_tensor(const struct safetensors *in, const char *path, int array,
                         const struct layout_tensor *wanted, struct buffer *flat)
{
    SCOPED_MEM char *name = tensor_name(array, wanted);
    const struct tensor_info *found = safetensors_find(in, name);
    if (!found)
        return err_new(ERR_INVALID, "%s: tensor '%s' is missing", path, name);
    if (found->dtype != DTYPE_F32 || found->rank != (wanted->cols ? 2 : 1) ||
        found->shape[0] != wanted->rows || (wanted->cols && found->shape[1] != wanted->cols))
        return err_new(ERR_INVALID, "%s: tensor '%s': must be F32 and shaped [%d%s%.0d]", path,
                       name, wanted->rows, wanted->cols ? ", " : "", wanted->cols);
    return safetensors_load_f32(in, found, flat, wanted->offset);
}

err_t optimizer_masters(const struct model *model, const char *path, struct buffer *ret)
{
    const struct layout *layout = model->params->layout;
    SCOPED(safetensors) in = NULL;
    TRY(safetensors_open(path, &in));
    for (int i = 0; i < layout->count; i++)
        TRY(read_tensor(in, path, MASTER, &layout->tensor[i], ret));
    return OK;
}

/* Into a second optimizer, so that an error leaves the first as it was. */
static err_t read_all(struct optimizer *opt, const char *path)
{
    const struct layout *layout = layout_of(opt);
    SCOPED(safetensors) in = NULL;
    TRY(safetensors_open(path, &in));
    TRY(read_step(in, path, &opt->step));
    TRY(read_course(in, path, &opt->course));
    if (safetensors_count(in) != ARRAYS * layout->count)
        return err_new(ERR_INVALID, "%s: holds %d tensors; this model's optimizer has %d", path,
                       safetensors_count(in), ARRAYS * layout->count);
    for (int array = 0; array < ARRAYS; array++)
        for (int i = 0; i < layout->count; i++)
            TRY(read_tensor(in, path, array, &layout->tensor[i], &opt->array[array]));
    return OK;
}

/* The model's values become the rounded masters. */
static err_t round_masters(struct optimizer *opt)
{
    SCOPED_MEM struct piece *piece = mem_new(sizeof *piece);
    const size_t elements = layout_of(opt)->elements;
    for (size_t at = 0; at < elements; at += PIECE) {
        const size_t count = elements - at < PIECE ? elements - at : PIECE;
        TRY(buffer_get(&opt->array[MASTER], at * sizeof(float), count * sizeof(float),
                       piece->master));
        for (size_t i = 0; i < count; i++)
            piece->value[i] = bf16_from_float(piece->master[i]);
        TRY(buffer_put(&opt->model->values, at * sizeof(bf16), piece->value, count * sizeof(bf16)));
    }
    TRY(model_digest(opt->model, &opt->digest));
    return model_repack(opt->model);
}

err_t optimizer_load(struct optimizer *opt, const char *path)
{
    SCOPED(optimizer) fresh = mem_new(sizeof *fresh);
    fresh->model = opt->model;
    TRY(make_arrays(fresh));
    TRY(read_all(fresh, path));
    for (int i = 0; i < ARRAYS; i++) {
        buffer_done(&opt->array[i]);
        opt->array[i] = fresh->array[i];
        fresh->array[i] = (struct buffer){0};
    }
    opt->step = fresh->step;
    opt->course = fresh->course;
    return round_masters(opt);
}

void optimizer_free(struct optimizer *opt)
{
    if (!opt)
        return;
    for (int i = 0; i < ARRAYS; i++)
        buffer_done(&opt->array[i]);
    buffer_done(&opt->total);
    free(opt);
}
