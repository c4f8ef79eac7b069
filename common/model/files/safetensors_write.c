#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/files/safetensors.h"
#include <stdlib.h>

static size_t source_bytes(const struct tensor_source *tensor)
{
    return (size_t)tensor->rows * (tensor->cols ? (size_t)tensor->cols : 1) *
           (tensor->dtype == DTYPE_F32 ? 4 : 2);
}

static json_t *describe(const struct tensor_source *tensor, uint64_t begin)
{
    json_t *shape = json_array();
    json_array_append_new(shape, json_integer(tensor->rows));
    if (tensor->cols)
        json_array_append_new(shape, json_integer(tensor->cols));
    return json_pack("{s:s,s:o,s:[I,I]}", "dtype", tensor->dtype == DTYPE_F32 ? "F32" : "BF16",
                     "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + source_bytes(tensor)));
}

/* The length and the JSON, padded with spaces so that the data begins at a multiple of 8. */
static void put_header(const json_t *header, struct bytes *ret)
{
    SCOPED_MEM char *text = json_to_text(header);
    size_t len = strlen(text), padded = (len + 7) / 8 * 8;
    for (int i = 0; i < 8; i++)
        bytes_u8(ret, (uint8_t)((uint64_t)padded >> 8 * i));
    bytes_put(ret, text, len);
    while (len++ < padded)
        bytes_u8(ret, ' ');
}

/* A backend's memory comes by pieces. */
static err_t read_source(void *arg, size_t at, size_t len, void *ret)
{
    const struct tensor_source *tensor = arg;
    return tensor->be->ops->get(tensor->be, ret, (const char *)tensor->data + at, len);
}

static struct file_part part_of(const struct tensor_source *tensor)
{
    if (tensor->read)
        return (struct file_part){
            .len = source_bytes(tensor), .read = tensor->read, .arg = tensor->arg};
    return (struct file_part){.data = tensor->be ? NULL : tensor->data,
                              .len = source_bytes(tensor),
                              .read = tensor->be ? read_source : NULL,
                              .arg = (void *)tensor};
}

err_t safetensors_write(const char *path, const struct tensor_source *tensors, int count,
                        const char *const (*metadata)[2], int pairs)
{
    SCOPED_JSON json_t *header = json_object();
    json_t *about = json_pack("{s:s}", "format", "pt"); // transformers refuses a file without it
    for (int i = 0; i < pairs; i++)
        json_object_set_new(about, metadata[i][0], json_string(metadata[i][1]));
    json_object_set_new(header, "__metadata__", about);
    SCOPED_MEM struct file_part *parts = mem_array((size_t)count + 1, sizeof *parts);
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        json_object_set_new(header, tensors[i].name, describe(&tensors[i], at));
        parts[i + 1] = part_of(&tensors[i]);
        at += parts[i + 1].len;
    }
    SCOPED_VALUE(bytes) text = {0};
    put_header(header, &text);
    parts[0] = (struct file_part){.data = text.data, .len = text.len};
    return file_write_parts(path, parts, (size_t)count + 1);
}
