/* safetensors files: named tensors behind a JSON header. Files from outside are hostile. The header
 * has at most 100 MB, keys are unique, sizes match shapes, and tensors tile the data without holes
 * or overlaps. Every error names the file, the tensor and the fault.
 *
 *     SCOPED(safetensors) in = NULL;
 *     TRY(safetensors_open_model("sft", &in));                     -- model.safetensors, or the
 * shards of its index const struct tensor_info *t = safetensors_find(in, "model.norm.weight");
 *     TRY(safetensors_read_f32(in, t, values));
 *
 * Any thread; an open file belongs to one. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tensor/buffer.h"
#include <stddef.h>
#include <stdint.h>

enum dtype {
    DTYPE_BF16,
    DTYPE_F16,
    DTYPE_F32,
    DTYPE_OTHER /* laid out and checked, but not read */
};
const char *dtype_name(enum dtype dtype); // "bfloat16", as config.json says it

enum { TENSOR_RANK_MAX = 8 };
struct tensor_info {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t shape[TENSOR_RANK_MAX];
    size_t count;          // elements
    uint64_t begin, bytes; // in its file
    int file;
};

struct safetensors;
err_t safetensors_open(const char *path, struct safetensors **ret);

/* DIR/model.safetensors, or else every shard that DIR/model.safetensors.index.json names.
 * NOT_FOUND: neither is there. */
err_t safetensors_open_model(const char *directory, struct safetensors **ret);

int safetensors_count(const struct safetensors *in);
const struct tensor_info *safetensors_at(const struct safetensors *in, int i);
/* NULL: none */
const struct tensor_info *safetensors_find(const struct safetensors *in, const char *name);
/* Of the first file; NULL: none */
const char *safetensors_metadata(const struct safetensors *in, const char *key);
const char *safetensors_path(const struct safetensors *in, const struct tensor_info *tensor);

/* All of a BF16, F16 or F32 tensor, converted. INVALID: another dtype, or the file was cut while it
 * was open; part of ret may be filled then. */
err_t safetensors_read_f32(const struct safetensors *in, const struct tensor_info *tensor,
                           float *ret);
/* Elements [first, first + count) of it alone; bf16 is the nearest, ties to even. */
err_t safetensors_read_some_bf16(const struct safetensors *in, const struct tensor_info *tensor,
                                 size_t first, size_t count, bf16 *ret);
err_t safetensors_read_some_f32(const struct safetensors *in, const struct tensor_info *tensor,
                                size_t first, size_t count, float *ret);
/* All of it, into a backend's memory from element `at` on. */
err_t safetensors_load_f32(const struct safetensors *in, const struct tensor_info *tensor,
                           struct buffer *to, size_t at);
void safetensors_free(struct safetensors *in);
DEFINE_SCOPED(safetensors)

/* One tensor to write: BF16 or F32, cols 0: a vector. */
struct tensor_source {
    const char *name;
    enum dtype dtype;
    int rows, cols;
    const void *data;
    struct backend *be; // in whose memory the data is; NULL: the host's
    /* Where no memory has it so: its bytes [at, at + len), from its first to its last. */
    err_t (*read)(void *arg, size_t at, size_t len, void *ret);
    void *arg;
};

/* Writes path.tmp beside it, fsyncs, renames; on error path is as it was. metadata: count pairs of
 * key and value beside
 * {"format": "pt"}, which is always there. */
err_t safetensors_write(const char *path, const struct tensor_source *tensors, int count,
                        const char *const (*metadata)[2], int pairs);
