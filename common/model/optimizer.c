#include "model/optimizer.h"
#include "base/mem.h"
#include "tensor/adamw.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Names in the file are PREFIX.TENSOR. */
static const char *const prefixes[STATES] = {"master", "exp_avg", "exp_avg_sq"};

struct optimizer {
    struct model *model; // borrowed
    struct optimizer_config config;
    const bool *trains; // borrowed; NULL: all do
    int64_t step;
    struct states states; // at the model's layout
    struct buffer total;  // the changes of a step's calls of adamw
    struct digest digest; // of the model's values, kept by their changes
    struct course course; // its owner's
    struct buffer marks;  // none before optimizer_mark
    bool marked;          // all values that changed since are marked
};

static const struct layout *layout_of(const struct optimizer *opt)
{
    return opt->model->params->layout;
}

enum { MARKS = 32 }; // in a word
_Static_assert(LAYOUT_ALIGN % MARKS == 0, "tensors begin with a word of marks");

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
    struct buffer *masters = &opt->states.array[MASTER];
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
    TRY(states_new(model->be, layout_of(opt)->elements, config->states, &opt->states));
    TRY(buffer_alloc(model->be, sizeof(struct adamw_total), &opt->total));
    if (directory)
        TRY(model_read_f32(model, directory, &opt->states.array[MASTER]));
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

err_t optimizer_mark(struct optimizer *opt)
{
    struct backend *be = opt->model->be;
    const size_t bytes = (layout_of(opt)->elements + MARKS - 1) / MARKS * sizeof(uint32_t);
    if (!opt->marks.address)
        TRY(err_wrap(buffer_alloc(be, bytes, &opt->marks), "marks of changed values"));
    opt->marked = false;
    TRY(be->ops->zero(be, opt->marks.address, bytes));
    opt->marked = true;
    return OK;
}

const uint32_t *optimizer_marks(const struct optimizer *opt)
{
    return opt->marked ? opt->marks.address : NULL;
}

void optimizer_configure(struct optimizer *opt, const struct optimizer_config *config)
{
    opt->config = *config;
}

void optimizer_select(struct optimizer *opt, const bool *trains)
{
    opt->trains = trains;
}

struct states_bytes optimizer_bytes(const struct optimizer *opt)
{
    struct states_bytes bytes = states_bytes(layout_of(opt)->elements, opt->states.place);
    bytes.device += opt->marks.bytes;
    return bytes;
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

/* The marks of elements from `begin` on, a multiple of MARKS; NULL: none are kept. */
static uint32_t *marks_at(const struct optimizer *opt, size_t begin)
{
    uint32_t *marks = opt->marks.address;
    return marks ? marks + begin / MARKS : NULL;
}

/* Runs of neighbouring tensors that train and decay alike. ret (count of the layout). */
static int runs_of(const struct optimizer *opt, struct states_run *ret)
{
    const struct layout *layout = layout_of(opt);
    int runs = 0;
    for (int i = 0, next; i < layout->count; i = next) {
        for (next = i + 1; next < layout->count && trains(opt, next) == trains(opt, i) &&
                           decays(layout, next) == decays(layout, i);
             next++)
            ;
        if (trains(opt, i))
            ret[runs++] =
                (struct states_run){begin_of(layout, i), begin_of(layout, next), decays(layout, i)};
    }
    return runs;
}

struct stepping {
    struct optimizer *opt;
    const float *grad;
    struct adamw_step step;
};

static err_t step_piece(void *arg, const struct states_run *piece, float *const at[STATES])
{
    struct stepping *s = arg;
    struct backend *be = s->opt->model->be;
    s->step.weight_decay = piece->decays ? (float)s->opt->config.weight_decay : 0;
    return be->ops->adamw(be, at[MASTER], model_values(s->opt->model) + piece->begin, at[EXP_AVG],
                          at[EXP_AVG_SQ], s->grad + piece->begin, piece->begin,
                          piece->end - piece->begin, &s->step, marks_at(s->opt, piece->begin),
                          s->opt->total.address);
}

static err_t step_runs(struct optimizer *opt, const float *grad, const struct adamw_step *step,
                       struct adamw_changes *ret)
{
    SCOPED_MEM struct states_run *run = mem_array((size_t)layout_of(opt)->count, sizeof *run);
    struct stepping stepping = {.opt = opt, .grad = grad, .step = *step};
    TRY(opt->model->be->ops->zero(opt->model->be, opt->total.address, opt->total.bytes));
    TRY(states_walk(&opt->states, run, runs_of(opt, run), step_piece, &stepping));
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
    struct adamw_changes made;
    TRY(step_runs(opt, grad->flat.address, &step, &made));
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

err_t optimizer_restart(struct optimizer *opt)
{
    const size_t elements = layout_of(opt)->elements;
    SCOPED_MEM float *zeros = mem_array(PIECE, sizeof *zeros);
    TRY(states_settle(&opt->states));
    for (int array = EXP_AVG; array <= EXP_AVG_SQ; array++)
        for (size_t at = 0; at < elements; at += PIECE)
            TRY(buffer_put(&opt->states.array[array], at * sizeof(float), zeros,
                           (elements - at < PIECE ? elements - at : PIECE) * sizeof(float)));
    opt->step = 0;
    opt->course = (struct course){0};
    return OK;
}

static char *tensor_name(int array, const struct layout_tensor *tensor)
{
    return mem_printf("%s.%s", prefixes[array], tensor->name);
}

err_t optimizer_save(const struct optimizer *opt, const char *path)
{
    const struct layout *layout = layout_of(opt);
    const int count = STATES * layout->count;
    const struct states *states = &opt->states;
    TRY(states_settle(states));
    struct tensor_source *out = mem_array((size_t)count, sizeof *out);
    for (int i = 0; i < count; i++) {
        const struct layout_tensor *tensor = &layout->tensor[i % layout->count];
        const int array = i / layout->count;
        out[i] =
            (struct tensor_source){.name = tensor_name(array, tensor),
                                   .dtype = DTYPE_F32,
                                   .rows = tensor->rows,
                                   .cols = tensor->cols,
                                   .data = (float *)states->array[array].address + tensor->offset,
                                   .be = states->array[array].host ? NULL : states->be};
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

static err_t find_tensor(const struct safetensors *in, const char *path, int array,
                         const struct layout_tensor *wanted, const struct tensor_info **ret)
{
    SCOPED_MEM char *name = tensor_name(array, wanted);
    const struct tensor_info *found = safetensors_find(in, name);
    if (!found)
        return err_new(ERR_INVALID, "%s: tensor '%s' is missing", path, name);
    if (found->dtype != DTYPE_F32 || found->rank != (wanted->cols ? 2 : 1) ||
        found->shape[0] != wanted->rows || (wanted->cols && found->shape[1] != wanted->cols))
        return err_new(ERR_INVALID, "%s: tensor '%s': must be F32 and shaped [%d%s%.0d]", path,
                       name, wanted->rows, wanted->cols ? ", " : "", wanted->cols);
    *ret = found;
    return OK;
}

/* An array's tensors; into: NULL, they are only looked for. */
static err_t read_array(const struct safetensors *in, const char *path, int array,
                        const struct layout *layout, struct buffer *into)
{
    for (int i = 0; i < layout->count; i++) {
        const struct tensor_info *found = NULL;
        TRY(find_tensor(in, path, array, &layout->tensor[i], &found));
        if (into)
            TRY(safetensors_load_f32(in, found, into, layout->tensor[i].offset));
    }
    return OK;
}

err_t optimizer_masters(const struct model *model, const char *path, struct buffer *ret)
{
    SCOPED(safetensors) in = NULL;
    TRY(safetensors_open(path, &in));
    return read_array(in, path, MASTER, model->params->layout, ret);
}

/* The model's values become the rounded masters. */
static err_t round_masters(struct optimizer *opt)
{
    SCOPED_MEM struct piece *piece = mem_new(sizeof *piece);
    const size_t elements = layout_of(opt)->elements;
    for (size_t at = 0; at < elements; at += PIECE) {
        const size_t count = elements - at < PIECE ? elements - at : PIECE;
        TRY(buffer_get(&opt->states.array[MASTER], at * sizeof(float), count * sizeof(float),
                       piece->master));
        for (size_t i = 0; i < count; i++)
            piece->value[i] = bf16_from_float(piece->master[i]);
        TRY(buffer_put(&opt->model->values, at * sizeof(bf16), piece->value, count * sizeof(bf16)));
    }
    TRY(model_digest(opt->model, &opt->digest));
    return model_repack(opt->model);
}

static err_t follow_piece(struct optimizer *opt, const struct model *source, double share,
                          size_t at, size_t count, struct piece *piece)
{
    struct buffer *masters = &opt->states.array[MASTER];
    const size_t bytes = count * sizeof(float);
    TRY(model_copy(source, at, count, piece->value));
    TRY(buffer_get(masters, at * sizeof(float), bytes, piece->master));
    for (size_t i = 0; i < count; i++)
        piece->master[i] = (float)((1 - share) * (double)piece->master[i] +
                                   share * (double)bf16_to_float(piece->value[i]));
    return buffer_put(masters, at * sizeof(float), piece->master, bytes);
}

err_t optimizer_follow(struct optimizer *opt, const struct model *source, double share)
{
    const size_t elements = layout_of(opt)->elements;
    const struct digest mine = layout_digest(layout_of(opt)),
                        theirs = layout_digest(source->params->layout);
    SCOPED_MEM struct piece *piece = mem_new(sizeof *piece);
    if (!digest_equal(&mine, &theirs))
        return err_new(ERR_INVALID, "a model of other shapes cannot be followed");
    TRY(states_settle(&opt->states));
    opt->marked = false;
    for (size_t at = 0; at < elements; at += PIECE)
        TRY(follow_piece(opt, source, share, at, elements - at < PIECE ? elements - at : PIECE,
                         piece));
    return round_masters(opt);
}

/* The file is looked through before anything is changed: there is no room for the states twice. */
err_t optimizer_load(struct optimizer *opt, const char *path)
{
    const struct layout *layout = layout_of(opt);
    int64_t step = 0;
    struct course course = {0};
    SCOPED(safetensors) in = NULL;
    TRY(safetensors_open(path, &in));
    TRY(read_step(in, path, &step));
    TRY(read_course(in, path, &course));
    if (safetensors_count(in) != STATES * layout->count)
        return err_new(ERR_INVALID, "%s: holds %d tensors; this model's optimizer has %d", path,
                       safetensors_count(in), STATES * layout->count);
    for (int array = 0; array < STATES; array++)
        TRY(read_array(in, path, array, layout, NULL));
    TRY(states_settle(&opt->states));
    opt->marked = false; // any value may be another
    for (int array = 0; array < STATES; array++)
        TRY(read_array(in, path, array, layout, &opt->states.array[array]));
    opt->step = step;
    opt->course = course;
    return round_masters(opt);
}

void optimizer_free(struct optimizer *opt)
{
    if (!opt)
        return;
    states_done(&opt->states);
    buffer_done(&opt->total);
    buffer_done(&opt->marks);
    free(opt);
}
