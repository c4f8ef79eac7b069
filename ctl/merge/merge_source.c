#include "ctl/merge/merge_source.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/adapter.h"
#include <math.h>
#include <string.h>

static err_t open_adapter(struct backend *be, const char *directory, struct merge_source *source)
{
    TRY(adapter_is_valued(directory) ? adapter_open_valued(be, directory, true, &source->model)
                                     : adapter_open(be, directory, true, &source->model));
    const struct model *adapter = source->model->adapter;
    const size_t elements = adapter->params->layout->elements;
    TRY(buffer_alloc(be, elements * sizeof(float), &source->low));
    TRY(model_read_f32(adapter, directory, &source->low));
    source->config = source->model->config;
    return OK;
}

static err_t load_tokenizer(const char *directory, struct tokenizer **ret)
{
    SCOPED_MEM char *at = NULL;
    TRY(adapter_tokenizer(directory, &at));
    SCOPED_MEM char *file = file_join(at, tokenizer_file(0));
    return file_exists(file) ? tokenizer_load(at, ret) : OK;
}

err_t merge_source_open(struct backend *be, const char *directory, struct merge_source **ret)
{
    SCOPED(merge_source) source = mem_new(sizeof *source);
    source->directory = directory;
    if (adapter_is(directory)) {
        TRY(open_adapter(be, directory, source));
    } else {
        TRY(config_read_any(directory, &source->config));
        TRY(model_open_weights(directory, &source->config, &source->in));
    }
    source->params = params_new(&source->config);
    TRY(load_tokenizer(directory, &source->tokenizer));
    *ret = STEAL(source);
    return OK;
}

/* ---- whether they fit */

/* Its config as JSON, with the parts, the vocabulary and the tokens of another: what is left
 * decides the arithmetic. */
static json_t *arithmetic_of(const struct model_config *config, const struct model_config *first)
{
    struct model_config same = *config;
    same.parts = first->parts;
    same.V = first->V;
    same.tied = first->tied;
    same.bos = first->bos;
    same.pad = first->pad;
    same.eos_count = first->eos_count;
    memcpy(same.eos, first->eos, sizeof same.eos);
    if (!config->family->position.name) // no tensor has a row for each position
        same.max_positions = first->max_positions;
    return config_json(&same);
}

static err_t differs(const struct merge_source *source, const struct merge_source *first,
                     const char *key, const char *here, const char *there)
{
    return err_new(ERR_INVALID, "%s: '%s' is %.200s, in '%s' it is %.200s: they must be the same",
                   source->directory, key, here, first->directory, there);
}

static err_t check_numbers(const struct merge_source *source, const struct merge_source *first)
{
    SCOPED_JSON json_t *a = arithmetic_of(&first->config, &first->config);
    SCOPED_JSON json_t *b = arithmetic_of(&source->config, &first->config);
    const char *key;
    json_t *value;
    if (source->config.family != first->config.family)
        return differs(source, first, "model_type", source->config.family->model_type,
                       first->config.family->model_type);
    json_object_foreach (a, key, value) {
        const json_t *other = json_object_get(b, key);
        if (json_equal(value, other))
            continue;
        SCOPED_MEM char *there = json_to_text(value);
        SCOPED_MEM char *here = other ? json_to_text(other) : mem_string("missing");
        return differs(source, first, key, here, there);
    }
    return OK;
}

/* Heads of both: an embedding that is the head as well is another model. */
static err_t check_tied(const struct merge_source *source, const struct merge_source *first)
{
    const unsigned both = source->config.parts & first->config.parts;
    if (!(both & PART_VOCABULARY) || source->config.tied == first->config.tied)
        return OK;
    return differs(source, first, "tie_word_embeddings", source->config.tied ? "true" : "false",
                   first->config.tied ? "true" : "false");
}

static err_t check_rows(const struct merge_source *source, const struct merge_source *first)
{
    if (source->config.V != first->config.V)
        return err_new(ERR_INVALID,
                       "%s: 'vocab_size' is %d, in '%s' it is %d: only doge_rm merges by token",
                       source->directory, source->config.V, first->directory, first->config.V);
    if (!source->tokenizer || !first->tokenizer)
        return OK;
    return merge_vocabulary_same(first->tokenizer, first->directory, source->tokenizer,
                                 source->directory);
}

static err_t match_rows(struct merge_source *source, const struct merge_source *first)
{
    const struct merge_source *lacks = source->tokenizer ? first : source;
    if (!source->tokenizer && !first->tokenizer && source->config.V == first->config.V)
        return OK;
    if (!source->tokenizer || !first->tokenizer)
        return err_new(ERR_NOT_FOUND, "%s: has no %s: embeddings are merged by token",
                       lacks->directory, tokenizer_file(0));
    merge_vocabulary_match(first->tokenizer, first->config.V, source->tokenizer, source->config.V,
                           &source->rows);
    return OK;
}

err_t merge_source_fits(struct merge_source *source, const struct merge_source *first,
                        bool by_token)
{
    TRY(check_numbers(source, first));
    TRY(check_tied(source, first));
    return by_token ? match_rows(source, first) : check_rows(source, first);
}

/* ---- values */

int merge_source_find(const struct merge_source *source, const char *name)
{
    for (int i = 0; i < source->params->layout->count; i++)
        if (strcmp(source->params->stored[i].name, name) == 0)
            return i;
    return -1;
}

size_t merge_source_count(const struct merge_source *source, int i)
{
    int rows, cols;
    stored_shape(&source->params->stored[i], &rows, &cols);
    return (size_t)rows * (cols ? (size_t)cols : 1);
}

/* The parts of a fused map have one name. */
static err_t read_adapted(const struct merge_source *source, int i, float *ret)
{
    const struct params *params = source->params;
    for (int j = i; j < params->layout->count; j++) {
        SCOPED_MEM float *part = NULL;
        if (strcmp(params->stored[j].name, params->stored[i].name) != 0)
            continue;
        TRY(adapter_merge_tensor(source->model, &source->low, j, &part));
        stored_place(&params->stored[j], sizeof *part, part, ret);
    }
    return OK;
}

static err_t read_plain(const struct merge_source *source, int i, float *ret)
{
    const struct tensor_info *found = stored_find(source->in, &source->params->stored[i]);
    return safetensors_read_f32(source->in, found, ret);
}

static err_t check_finite(const struct merge_source *source, int i, const float *value,
                          size_t count)
{
    for (size_t j = 0; j < count; j++)
        if (!isfinite(value[j]))
            return err_new(ERR_INVALID, "%s: tensor '%s': value %zu is %s; all must be finite",
                           source->directory, source->params->stored[i].name, j,
                           isnan(value[j]) ? "not a number" : "infinite");
    return OK;
}

/* Its own rows at the places of those of the first. */
static void gather(const struct merge_vocabulary *rows, size_t cols, const float *from, float *ret)
{
    for (int r = 0; r < rows->V; r++)
        if (rows->has[r])
            memcpy(ret + (size_t)r * cols, from + (size_t)rows->at[r] * cols, cols * sizeof *ret);
}

static bool of_vocabulary(const struct merge_source *source, int i)
{
    const struct params *params = source->params;
    return i == params->embed.weight || i == params->head[HEAD_VOCABULARY].weight;
}

err_t merge_source_read(const struct merge_source *source, int i, float *ret)
{
    const bool gathered = source->rows.at && of_vocabulary(source, i);
    const size_t count = merge_source_count(source, i);
    SCOPED_MEM float *own = gathered ? mem_try_array(count, sizeof *own) : NULL;
    float *to = gathered ? own : ret;
    if (!to)
        return err_new(ERR_EXHAUSTED, "%s: no memory for tensor '%s' of %zu values",
                       source->directory, source->params->stored[i].name, count);
    TRY(source->model ? read_adapted(source, i, to) : read_plain(source, i, to));
    TRY(check_finite(source, i, to, count));
    if (gathered)
        gather(&source->rows, count / (size_t)source->config.V, own, ret);
    return OK;
}

void merge_source_free(struct merge_source *source)
{
    if (!source)
        return;
    merge_vocabulary_done(&source->rows);
    tokenizer_free(source->tokenizer);
    buffer_done(&source->low);
    model_free(source->model);
    safetensors_free(source->in);
    params_free(source->params);
    mem_free(source);
}
