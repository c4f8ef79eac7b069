#include "model/files/safetensors.h"
#include "base/bytes.h"
#include "base/env.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    HEADER_MAX = 100000000,
    NAME_MAX_BYTES = 255,
    INDEX_MAX_BYTES = 64 << 20,
    SHARDS_MAX = 4096
};

struct source {
    char *path;
    int fd;
    uint64_t data_at, data_bytes;
};

struct safetensors {
    int files, count;
    struct source *file;
    struct tensor_info *tensor; // sorted by name once open
    json_t *metadata;           // of the first file; may be NULL
};

/* The names in a file, and an element's size. */
static const struct {
    const char *name;
    unsigned bytes;
    enum dtype dtype;
} dtypes[] = {
    {"BF16", 2, DTYPE_BF16},  {"F16", 2, DTYPE_F16},       {"F32", 4, DTYPE_F32},
    {"F64", 8, DTYPE_OTHER},  {"I64", 8, DTYPE_OTHER},     {"U64", 8, DTYPE_OTHER},
    {"I32", 4, DTYPE_OTHER},  {"U32", 4, DTYPE_OTHER},     {"I16", 2, DTYPE_OTHER},
    {"U16", 2, DTYPE_OTHER},  {"I8", 1, DTYPE_OTHER},      {"U8", 1, DTYPE_OTHER},
    {"BOOL", 1, DTYPE_OTHER}, {"F8_E4M3", 1, DTYPE_OTHER}, {"F8_E5M2", 1, DTYPE_OTHER},
};

const char *dtype_name(enum dtype dtype)
{
    static const char *const names[] = {"bfloat16", "float16", "float32", "other"};
    return names[dtype];
}

/* Every message about a tensor begins alike. */
#define BAD(path, name, ...)                                                                       \
    err_wrap(err_new(ERR_INVALID, __VA_ARGS__), "%s: tensor '%s'", path, name)

static err_t parse_dtype(const json_t *json, const char *path, const char *name,
                         struct tensor_info *info, unsigned *ret_bytes)
{
    const char *text = json_string_value(json_object_get(json, "dtype"));
    for (size_t i = 0; text && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, text) == 0) {
            info->dtype = dtypes[i].dtype;
            *ret_bytes = dtypes[i].bytes;
            return OK;
        }
    return BAD(path, name, "dtype '%.20s' is none of BF16, F16, F32, ...",
               text ? text : "(missing)");
}

/* Fills rank, shape and count; the bytes they make up go to *ret_bytes. */
static err_t parse_shape(const json_t *json, const char *path, const char *name,
                         struct tensor_info *info, unsigned element, uint64_t *ret_bytes)
{
    const json_t *shape = json_object_get(json, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > TENSOR_RANK_MAX)
        return BAD(path, name, "'shape' must be a list of at most %d sizes", TENSOR_RANK_MAX);
    uint64_t bytes = element;
    info->rank = (int)json_array_size(shape);
    for (int i = 0; i < info->rank; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return BAD(path, name, "'shape' holds what is not a size");
        info->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(bytes, (uint64_t)info->shape[i], &bytes))
            return BAD(path, name, "'shape' is larger than any file");
    }
    info->count = bytes / element;
    *ret_bytes = bytes;
    return OK;
}

static err_t parse_offsets(const json_t *json, const char *path, const char *name,
                           uint64_t data_bytes, struct tensor_info *info)
{
    const json_t *offsets = json_object_get(json, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return BAD(path, name, "'data_offsets' must be [begin, end]");
    if ((uint64_t)json_integer_value(end) > data_bytes)
        return BAD(
            path, name,
            "its data ends at byte %lld of %llu: the file is cut short, or its header is wrong",
            (long long)json_integer_value(end), (unsigned long long)data_bytes);
    info->begin = (uint64_t)json_integer_value(begin);
    info->bytes = (uint64_t)json_integer_value(end) - info->begin;
    return OK;
}

static bool name_is_plain(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return len > 0 && len <= NAME_MAX_BYTES;
}

static err_t parse_tensor(struct safetensors *in, const char *name, const json_t *json)
{
    const struct source *file = &in->file[in->files - 1];
    struct tensor_info info = {.file = in->files - 1};
    unsigned element = 0;
    uint64_t bytes = 0;
    if (!name_is_plain(name))
        return err_new(ERR_INVALID,
                       "%s: a tensor's name is empty, over %d bytes or holds control characters",
                       file->path, NAME_MAX_BYTES);
    if (!json_is_object(json))
        return BAD(file->path, name, "must be an object with dtype, shape and data_offsets");
    TRY(parse_dtype(json, file->path, name, &info, &element));
    TRY(parse_shape(json, file->path, name, &info, element, &bytes));
    TRY(parse_offsets(json, file->path, name, file->data_bytes, &info));
    if (info.bytes != bytes)
        return BAD(file->path, name, "its shape takes %llu bytes, its data_offsets span %llu",
                   (unsigned long long)bytes, (unsigned long long)info.bytes);
    info.name = mem_string(name);
    in->tensor[in->count++] = info;
    return OK;
}

static int by_begin(const void *a, const void *b)
{
    const struct tensor_info *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor_info *)a)->name, ((const struct tensor_info *)b)->name);
}

/* The file's tensors, sorted by where they begin, must follow one another from the first byte to
 * the last. */
static err_t check_tiling(const struct source *file, struct tensor_info *tensor, int count)
{
    uint64_t at = 0;
    qsort(tensor, (size_t)count, sizeof *tensor, by_begin);
    for (int i = 0; i < count; i++) {
        if (tensor[i].begin != at)
            return BAD(file->path, tensor[i].name, "its data begins at byte %llu, %s (byte %llu)",
                       (unsigned long long)tensor[i].begin,
                       tensor[i].begin < at ? "inside another tensor" : "after a hole",
                       (unsigned long long)at);
        at += tensor[i].bytes;
    }
    if (at != file->data_bytes)
        return err_new(ERR_INVALID, "%s: %llu bytes follow the last tensor", file->path,
                       (unsigned long long)(file->data_bytes - at));
    return OK;
}

static err_t parse_metadata(struct safetensors *in, const char *path, const json_t *json)
{
    bool strings = json_is_object(json);
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)json, key, value) {
        strings = strings && json_is_string(value);
    }
    if (!strings)
        return err_new(ERR_INVALID, "%s: '__metadata__' must be an object of strings", path);
    if (!in->metadata)
        in->metadata = json_incref((json_t *)json);
    return OK;
}

static err_t parse_header(struct safetensors *in, const json_t *header)
{
    const struct source *file = &in->file[in->files - 1];
    const int first = in->count;
    const char *name;
    json_t *value;
    if (!json_is_object(header))
        return err_new(ERR_INVALID, "%s: its header is not a JSON object", file->path);
    in->tensor =
        mem_grow(in->tensor, (size_t)in->count + json_object_size(header), sizeof *in->tensor);
    json_object_foreach ((json_t *)header, name, value) {
        if (strcmp(name, "__metadata__") == 0)
            TRY(parse_metadata(in, file->path, value));
        else
            TRY(parse_tensor(in, name, value));
    }
    return check_tiling(file, in->tensor + first, in->count - first);
}

static err_t read_at(const struct source *file, uint64_t at, void *ret, size_t len)
{
    size_t got;
    TRY(file_get(file->fd, file->path, at, ret, len, &got));
    if (got < len)
        return err_new(ERR_INVALID, "%s: ends at byte %llu: it was cut short", file->path,
                       (unsigned long long)(at + got));
    return OK;
}

/* Opens one more file and adds its tensors. */
static err_t add_file(struct safetensors *in, const char *path)
{
    in->file = mem_grow(in->file, (size_t)in->files + 1, sizeof *in->file);
    struct source *file = &in->file[in->files++];
    *file = (struct source){.path = mem_string(path),
                            .fd = env()->open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0)};
    struct stat status;
    if (file->fd < 0 || fstat(file->fd, &status))
        return err_errno(errno, "cannot open '%s'", path);
    if (!S_ISREG(status.st_mode))
        return err_new(ERR_INVALID, "'%s' is not a file", path);
    const uint64_t size = (uint64_t)status.st_size;
    uint8_t prefix[8];
    if (size < sizeof prefix)
        return err_new(ERR_INVALID, "%s: is %llu bytes long: no safetensors file is that short",
                       path, (unsigned long long)size);
    TRY(read_at(file, 0, prefix, sizeof prefix));
    uint64_t header_len = 0;
    for (int i = 7; i >= 0; i--)
        header_len = header_len << 8 | prefix[i];
    if (header_len > HEADER_MAX)
        return err_new(
            ERR_INVALID,
            "%s: its header would be %llu bytes long, over the %d allowed: not safetensors?", path,
            (unsigned long long)header_len, HEADER_MAX);
    if (header_len > size - sizeof prefix)
        return err_new(ERR_INVALID,
                       "%s: its header of %llu bytes is cut short: the file has %llu bytes", path,
                       (unsigned long long)header_len, (unsigned long long)size);
    file->data_at = sizeof prefix + header_len;
    file->data_bytes = size - file->data_at;
    SCOPED_VALUE(bytes) text = {0};
    TRY(read_at(file, sizeof prefix, bytes_extend(&text, header_len), header_len));
    SCOPED_MEM char *what = mem_printf("%s: header", path);
    SCOPED_JSON json_t *header = NULL;
    TRY(json_parse((const char *)text.data, text.len, what, &header));
    return parse_header(in, header);
}

/* All files are there: tensors by name, each once. */
static err_t finish(struct safetensors *in)
{
    if (in->count) // an array of none may be NULL
        qsort(in->tensor, (size_t)in->count, sizeof *in->tensor, by_name);
    for (int i = 1; i < in->count; i++)
        if (by_name(&in->tensor[i - 1], &in->tensor[i]) == 0)
            return BAD(safetensors_path(in, &in->tensor[i]), in->tensor[i].name, "is in '%s' too",
                       safetensors_path(in, &in->tensor[i - 1]));
    return OK;
}

err_t safetensors_open(const char *path, struct safetensors **ret)
{
    SCOPED(safetensors) in = mem_new(sizeof *in);
    TRY(add_file(in, path));
    TRY(finish(in));
    *ret = STEAL(in);
    return OK;
}

static err_t add_shard_once(struct safetensors *in, const char *directory, const char *index,
                            const char *shard)
{
    if (!name_is_plain(shard))
        return err_new(ERR_INVALID,
                       "%s: a file's name is empty, over %d bytes or holds control characters",
                       index, NAME_MAX_BYTES);
    if (strchr(shard, '/') || *shard == '.')
        return err_new(ERR_INVALID, "%s: '%.80s' is not the name of a file beside it", index,
                       shard);
    SCOPED_MEM char *path = file_join(directory, shard);
    for (int i = 0; i < in->files; i++)
        if (strcmp(in->file[i].path, path) == 0)
            return OK;
    if (in->files == SHARDS_MAX)
        return err_new(ERR_INVALID, "%s: names more than %d files", index, SHARDS_MAX);
    return add_file(in, path);
}

static err_t open_shards(const char *directory, const char *index, struct safetensors **ret)
{
    SCOPED(safetensors) in = mem_new(sizeof *in);
    SCOPED_JSON json_t *json = NULL;
    TRY(json_read_file(index, INDEX_MAX_BYTES, &json));
    json_t *map = json_object_get(json, "weight_map"), *shard;
    const char *name;
    if (!json_object_size(map)) // 0 of what is no object, too
        return err_new(ERR_INVALID, "%s: 'weight_map' must be an object of tensor names and files",
                       index);
    json_object_foreach (map, name, shard) {
        if (!json_is_string(shard))
            return err_new(ERR_INVALID,
                           "%s: 'weight_map' must be an object of tensor names and files", index);
        if (!name_is_plain(name))
            return err_new(
                ERR_INVALID,
                "%s: a tensor's name is empty, over %d bytes or holds control characters", index,
                NAME_MAX_BYTES);
        TRY(add_shard_once(in, directory, index, json_string_value(shard)));
    }
    TRY(finish(in));
    json_object_foreach (map, name, shard) {
        SCOPED_MEM char *path = file_join(directory, json_string_value(shard));
        const struct tensor_info *tensor = safetensors_find(in, name);
        if (!tensor || strcmp(safetensors_path(in, tensor), path) != 0)
            return BAD(index, name, "is not in '%s', where the index says it is", path);
    }
    *ret = STEAL(in);
    return OK;
}

err_t safetensors_open_model(const char *directory, struct safetensors **ret)
{
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    SCOPED_MEM char *index = file_join(directory, "model.safetensors.index.json");
    if (!file_exists(path) && file_exists(index))
        return open_shards(directory, index, ret);
    return safetensors_open(path, ret);
}

int safetensors_count(const struct safetensors *in)
{
    return in->count;
}

const struct tensor_info *safetensors_at(const struct safetensors *in, int i)
{
    return &in->tensor[i];
}

const struct tensor_info *safetensors_find(const struct safetensors *in, const char *name)
{
    const struct tensor_info key = {.name = name};
    return in->count ? bsearch(&key, in->tensor, (size_t)in->count, sizeof key, by_name) : NULL;
}

const char *safetensors_metadata(const struct safetensors *in, const char *key)
{
    return json_string_value(json_object_get(in->metadata, key));
}

const char *safetensors_path(const struct safetensors *in, const struct tensor_info *tensor)
{
    return in->file[tensor->file].path;
}

static float f16_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
                   fraction = half & 1023;
    if (!exponent) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Element i of raw file data as float32. Files are little-endian, as are the machines we build for.
 */
static float element(const uint8_t *data, enum dtype dtype, size_t i)
{
    uint16_t half;
    float value;
    if (dtype == DTYPE_F32) {
        memcpy(&value, data + 4 * i, sizeof value);
        return value;
    }
    memcpy(&half, data + 2 * i, sizeof half);
    return dtype == DTYPE_BF16 ? bf16_to_float(half) : f16_to_float(half);
}

/* Reads in pieces and converts them; exactly one of the two outputs is there. */
static err_t read_converted(const struct safetensors *in, const struct tensor_info *tensor,
                            size_t first, size_t all, float *f32, bf16 *half)
{
    enum { PIECE = 1 << 14 };
    const struct source *file = &in->file[tensor->file];
    if (tensor->dtype == DTYPE_OTHER)
        return BAD(file->path, tensor->name, "its dtype is none of BF16, F16, F32");
    const size_t size = tensor->dtype == DTYPE_F32 ? 4 : 2;
    SCOPED_MEM uint8_t *piece = mem_array(PIECE, size);
    for (size_t at = 0; at < all; at += PIECE) {
        size_t count = all - at < PIECE ? all - at : PIECE;
        TRY(read_at(file, file->data_at + tensor->begin + (first + at) * size, piece,
                    count * size));
        for (size_t i = 0; f32 && i < count; i++)
            f32[at + i] = element(piece, tensor->dtype, i);
        for (size_t i = 0; half && i < count; i++)
            half[at + i] = bf16_from_float(element(piece, tensor->dtype, i));
    }
    return OK;
}

err_t safetensors_read_f32(const struct safetensors *in, const struct tensor_info *tensor,
                           float *ret)
{
    return read_converted(in, tensor, 0, tensor->count, ret, NULL);
}

err_t safetensors_load_f32(const struct safetensors *in, const struct tensor_info *tensor,
                           struct buffer *to, size_t at)
{
    enum { PIECE = 1 << 16 };
    SCOPED_MEM float *piece = mem_array(PIECE, sizeof *piece);
    for (size_t first = 0; first < tensor->count; first += PIECE) {
        const size_t left = tensor->count - first, count = left < PIECE ? left : PIECE;
        TRY(read_converted(in, tensor, first, count, piece, NULL));
        TRY(buffer_put(to, (at + first) * sizeof *piece, piece, count * sizeof *piece));
    }
    return OK;
}

static err_t check_range(const struct tensor_info *tensor, size_t first, size_t count)
{
    if (first <= tensor->count && count <= tensor->count - first)
        return OK;
    return err_new(ERR_RANGE, "tensor '%s': elements %zu to %zu of %zu", tensor->name, first,
                   first + count, tensor->count);
}

err_t safetensors_read_some_bf16(const struct safetensors *in, const struct tensor_info *tensor,
                                 size_t first, size_t count, bf16 *ret)
{
    TRY(check_range(tensor, first, count));
    return read_converted(in, tensor, first, count, NULL, ret);
}

err_t safetensors_read_some_f32(const struct safetensors *in, const struct tensor_info *tensor,
                                size_t first, size_t count, float *ret)
{
    TRY(check_range(tensor, first, count));
    return read_converted(in, tensor, first, count, ret, NULL);
}

void safetensors_free(struct safetensors *in)
{
    if (!in)
        return;
    for (int i = 0; i < in->files; i++) {
        if (in->file[i].fd >= 0)
            close(in->file[i].fd);
        free(in->file[i].path);
    }
    for (int i = 0; i < in->count; i++)
        free((char *)in->tensor[i].name);
    free(in->tensor);
    free(in->file);
    json_decref(in->metadata);
    free(in);
}
