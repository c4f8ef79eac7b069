#include "ctl/merge/merging.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

err_t merging_check(struct merging *m)
{
    double weights = 0;
    for (int i = 0; i < m->count; i++) {
        weights += m->weight[i];
        if (i)
            TRY(merge_source_fits(m->model[i], m->model[0], m->by_token));
    }
    if (m->base)
        TRY(merge_source_fits(m->base, m->model[0], false));
    if (m->rule.normalize && fabs(weights) < 1e-8)
        return err_new(ERR_INVALID, "--weights: their sum is %g; normalized weights need another",
                       weights);
    return OK;
}

/* A tensor on its way out: float32, and as the file has it. */
struct making {
    struct merging *merging;
    int tensor; // of the first model
    float *value;
    bf16 *half; // of a bfloat16 file
};

struct made {
    struct making *making;
    int tensor;
};

/* Those models that have the tensor, each read into memory of its own. */
struct inputs {
    int count, of[MERGE_MODELS_MAX];
    struct merge_part part[MERGE_MODELS_MAX];
    float *value[MERGE_MODELS_MAX], *base;
};

static void inputs_done(struct inputs *in)
{
    for (int i = 0; i < in->count; i++)
        mem_free(in->value[i]);
    mem_free(in->base);
}

static err_t read_one(const struct merge_source *source, int i, size_t count, float **ret)
{
    SCOPED_MEM float *value = mem_try_array(count, sizeof *value);
    if (!value)
        return err_new(ERR_EXHAUSTED, "%s: no memory for tensor '%s' of %zu values",
                       source->directory, source->params->stored[i].name, count);
    TRY(merge_source_read(source, i, value));
    *ret = STEAL(value);
    return OK;
}

/* A gathered tensor has rows that the source may lack. */
static bool is_gathered(const struct merge_source *source, int i)
{
    const struct params *params = source->params;
    return source->rows.at &&
           (i == params->embed.weight || i == params->head[HEAD_VOCABULARY].weight);
}

static err_t read_inputs(const struct merging *m, const char *name, size_t count, struct inputs *in)
{
    for (int i = 0; i < m->count; i++) {
        struct merge_source *source = m->model[i];
        const int at = merge_source_find(source, name);
        if (at < 0)
            continue;
        const int n = in->count;
        TRY(read_one(source, at, count, &in->value[n]));
        in->of[n] = i;
        in->part[n] = (struct merge_part){.value = in->value[n],
                                          .has = is_gathered(source, at) ? source->rows.has : NULL,
                                          .weight = m->weight[i],
                                          .density = m->density[i]};
        in->count++;
    }
    const int at = m->base ? merge_source_find(m->base, name) : -1;
    return at < 0 ? OK : read_one(m->base, at, count, &in->base);
}

static void tell(struct merging *m, const struct inputs *in, const float *value, size_t count)
{
    const float *of = in->base ? in->base : value;
    for (size_t j = 0; j < count; j++)
        m->squares += (double)of[j] * (double)of[j];
    for (int i = 0; i < in->count; i++) {
        struct merge_part *told = &m->told[in->of[i]];
        told->moved += in->part[i].moved;
        told->kept += in->part[i].kept;
        told->outvoted += in->part[i].outvoted;
    }
}

/* A head that the base lacks has no task vector. */
static struct merge_rule rule_of(const struct merging *m, const struct inputs *in)
{
    const bool all = in->count == m->count && (in->base || !m->base);
    return all ? m->rule : (struct merge_rule){.method = MERGE_LINEAR, .normalize = true};
}

static err_t round_all(const struct making *making, const char *name, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        const float value =
            making->half ? bf16_to_float(bf16_from_float(making->value[j])) : making->value[j];
        if (!isfinite(value))
            return err_new(ERR_INVALID, "tensor '%s': merged value %zu is %g, too large for %s",
                           name, j, (double)making->value[j],
                           dtype_name(making->half ? DTYPE_BF16 : DTYPE_F32));
        if (making->half)
            making->half[j] = bf16_from_float(value);
    }
    return OK;
}

static err_t make(struct making *making, int tensor)
{
    struct merging *m = making->merging;
    const struct merge_source *first = m->model[0];
    const struct stored *stored = &first->params->stored[tensor];
    const size_t count = merge_source_count(first, tensor);
    SCOPED_VALUE(inputs) in = {0};
    int rows, cols;
    stored_shape(stored, &rows, &cols);
    TRY(read_inputs(m, stored->name, count, &in));
    const struct merge_rule rule = rule_of(m, &in);
    combine(&rule, in.base, in.part, in.count, (size_t)rows, cols ? (size_t)cols : 1,
            making->value);
    tell(m, &in, making->value, count);
    m->tensors++;
    m->apart += in.count < m->count || (m->base && !in.base);
    making->tensor = tensor;
    return round_all(making, stored->name, count);
}

/* The call for a tensor's first bytes makes it. */
static err_t read_made(void *arg, size_t at, size_t len, void *ret)
{
    const struct made *made = arg;
    struct making *making = made->making;
    if (at == 0)
        TRY(make(making, made->tensor));
    const char *from = making->half ? (const char *)making->half : (const char *)making->value;
    memcpy(ret, from + at, len);
    return OK;
}

/* Of the first model's files; returns how many, and the elements of the largest. */
static int list_tensors(struct making *making, struct made *made, struct tensor_source *ret,
                        size_t *ret_most)
{
    const struct merge_source *first = making->merging->model[0];
    int count = 0;
    for (int i = 0; i < first->params->layout->count; i++) {
        const struct stored *stored = &first->params->stored[i];
        if (stored->part > 0)
            continue;
        made[count] = (struct made){making, i};
        ret[count] = (struct tensor_source){.name = stored->name,
                                            .dtype = making->merging->dtype,
                                            .read = read_made,
                                            .arg = &made[count]};
        stored_shape(stored, &ret[count].rows, &ret[count].cols);
        const size_t elements = merge_source_count(first, i);
        *ret_most = elements > *ret_most ? elements : *ret_most;
        count++;
    }
    return count;
}

static err_t write_values(struct merging *m, const char *directory)
{
    const size_t tensors = (size_t)m->model[0]->params->layout->count;
    struct making making = {.merging = m};
    size_t most = 0;
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    SCOPED_MEM struct made *made = mem_array(tensors, sizeof *made);
    SCOPED_MEM struct tensor_source *source = mem_array(tensors, sizeof *source);
    const int count = list_tensors(&making, made, source, &most);
    SCOPED_MEM float *value = making.value = mem_try_array(most, sizeof *value);
    SCOPED_MEM bf16 *half = making.half =
        m->dtype == DTYPE_BF16 ? mem_try_array(most, sizeof *half) : NULL;
    if (!value || (m->dtype == DTYPE_BF16 && !half))
        return err_new(ERR_EXHAUSTED, "no memory for a tensor of %zu values", most);
    const char *const metadata[1][2] = {{"rlhfd_merge", m->about}};
    return safetensors_write(path, source, count, metadata, 1);
}

static err_t write_json(const char *directory, const char *name, const json_t *json)
{
    SCOPED_MEM char *path = file_join(directory, name);
    SCOPED_MEM char *text = json_dumps(json, JSON_INDENT(2));
    SCOPED_MEM char *line = mem_printf("%s\n", text);
    return file_write(path, line, strlen(line));
}

/* As the first model's directory has it. */
static err_t write_generation(const struct merge_source *first, const char *directory)
{
    static const char name[] = "generation_config.json";
    SCOPED_MEM char *own = file_join(first->directory, name);
    SCOPED_MEM char *to = file_join(directory, name);
    SCOPED_JSON json_t *json = config_generation_json(&first->config);
    return file_exists(own) ? file_copy(own, to) : write_json(directory, name, json);
}

err_t merging_write(struct merging *m, const char *directory)
{
    const struct merge_source *first = m->model[0];
    SCOPED_JSON json_t *config = config_json(&first->config);
    config_set_dtype(config, m->dtype);
    TRY(write_values(m, directory));
    TRY(write_json(directory, "config.json", config));
    return write_generation(first, directory);
}
