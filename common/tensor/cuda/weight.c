/* Weights: made in one block of device memory, filled from the host, read back. gemm.h packs. */
#include "tensor/cuda/weight.h"
#include "base/mem.h"
#include "tensor/cuda/gemm.h"
#include "tensor/forms_check.h"

enum {
    ALIGN = 256,          // Each packed weight begins at a multiple of this.
    PUT_BYTES = 8 << 20,  // The workspace takes so many bytes of rows before they are packed.
    READ_BYTES = 4 << 20, // A read unpacks so many bytes at a time.
};

struct weight_block {
    char *memory; // NULL: nothing is packed
    int weights;  // in it, not freed yet
};

static size_t packed_of(const struct weight_form *form)
{
    return form->packed ? (packed_bytes(form->N, form->K) + ALIGN - 1) / ALIGN * ALIGN : 0;
}

err_t cuda_weights_new(struct backend *be, const struct weight_form *form, int count,
                       struct weight **ret)
{
    size_t bytes = 0;
    void *memory = NULL;
    TRY(weight_forms_check(form, count));
    for (int i = 0; i < count; i++)
        bytes += packed_of(&form[i]);
    if (!count)
        return OK;
    if (bytes)
        TRY(cuda_memory_new(be, bytes, &memory));
    struct weight_block *block = mem_new(sizeof *block);
    *block = (struct weight_block){memory, count};
    char *at = block->memory;
    for (int i = 0; i < count; i++) {
        const struct weight weight = {.N = form[i].N,
                                      .K = form[i].K,
                                      .rows = form[i].rows,
                                      .packed = form[i].packed ? at : NULL,
                                      .precise = form[i].precise,
                                      .block = block};
        ret[i] = mem_copy(&weight, sizeof weight);
        at += packed_of(&form[i]);
    }
    return OK;
}

/* Rows that are not held row-major, by way of the workspace. */
static err_t pack_from_host(struct cuda *cuda, struct weight *weight, const bf16 *w, int row,
                            int rows)
{
    const size_t width = (size_t)weight->K * sizeof *w;
    const int fit = (int)(PUT_BYTES / width) / WEIGHT_ROWS * WEIGHT_ROWS;
    const int most = fit ? fit : WEIGHT_ROWS;
    for (int done = 0; done < rows;) {
        const int some = rows - done < most ? rows - done : most;
        void *there = NULL;
        TRY(cuda_workspace(cuda, (size_t)some * width, &there));
        TRY(staging_put(&cuda->staging, there, w + (size_t)done * (size_t)weight->K,
                        (size_t)some * width));
        TRY_CUDA(pack_weight(cuda->stream, weight->packed, there, weight->N, weight->K, row + done,
                             some));
        done += some;
    }
    return OK;
}

err_t cuda_weight_put(struct backend *be, struct weight *weight, const bf16 *w, int row, int rows)
{
    struct cuda *cuda = cuda_of(be);
    if (row < 0 || rows < 0 || rows > weight->N - row || row % WEIGHT_ROWS ||
        (rows % WEIGHT_ROWS && row + rows != weight->N))
        return err_new(ERR_RANGE, "weight of %d rows: %d rows from %d on cannot be packed alone",
                       weight->N, rows, row);
    if (!rows)
        return OK;
    if (!weight->rows)
        return pack_from_host(cuda, weight, w, row, rows);
    bf16 *there = weight->rows + (size_t)row * (size_t)weight->K;
    TRY(staging_put(&cuda->staging, there, w, (size_t)rows * (size_t)weight->K * sizeof *w));
    if (weight->packed)
        TRY_CUDA(pack_weight(cuda->stream, weight->packed, there, weight->N, weight->K, row, rows));
    return OK;
}

err_t cuda_weight_repack(struct backend *be, struct weight *weight)
{
    struct cuda *cuda = cuda_of(be);
    if (!weight->rows || !weight->packed)
        return err_new(ERR_INVALID,
                       "weight of %d x %d: only what is held in both forms is packed "
                       "again",
                       weight->N, weight->K);
    TRY_CUDA(pack_weight(cuda->stream, weight->packed, weight->rows, weight->N, weight->K, 0,
                         weight->N));
    return OK;
}

/* With the reader's lock and its device memory. */
static err_t read_packed(struct cuda *cuda, const struct weight *weight, size_t first, size_t count,
                         bf16 *ret)
{
    struct cuda_reader *reader = &cuda->reader;
    enum { MOST = READ_BYTES / sizeof(bf16) };
    TRY(reader_begin(cuda));
    if (!reader->unpacked)
        TRY(device_memory(READ_BYTES, &reader->unpacked));
    for (size_t done = 0; done < count;) {
        const size_t some = count - done < MOST ? count - done : MOST;
        TRY_CUDA(unpack_weight(reader->stream, reader->unpacked, weight->packed, weight->N,
                               weight->K, first + done, some));
        TRY(reader_copy(reader, ret + done, reader->unpacked, some * sizeof *ret));
        done += some;
    }
    return OK;
}

err_t cuda_weight_get(struct backend *be, const struct weight *weight, size_t first, size_t count,
                      bf16 *ret)
{
    struct cuda *cuda = cuda_of(be);
    if (weight->rows)
        return cuda_get(be, ret, weight->rows + first, count * sizeof *ret);
    pthread_mutex_lock(&cuda->reader.lock);
    const err_t e = read_packed(cuda, weight, first, count, ret);
    pthread_mutex_unlock(&cuda->reader.lock);
    return e;
}

void cuda_weight_free(struct backend *be, struct weight *weight)
{
    if (!weight)
        return;
    struct weight_block *block = weight->block;
    if (--block->weights == 0) {
        cuda_memory_free(be, block->memory);
        mem_free(block);
    }
    mem_free(weight);
}
