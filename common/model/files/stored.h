/* Where the files of a family have a tensor of the layout: as it is, with rows and columns swapped,
 * or as rows of a fused map.
 *
 *     struct stored s = stored_of(module, ".weight", l, D, rows, cols);
 *     const struct tensor_info *found = stored_find(in, &s);       -- NULL: the files lack it
 *     TRY(stored_read(in, found, &s, row, rows, values));          -- float32 of rows of the layout's
 *     for each part of a fused tensor
 *         stored_place(&s, sizeof *part, part, fused);             -- and back
 *
 * Any thread: nothing changes once made. */
#pragma once
#include "model/files/family.h"
#include "model/files/safetensors.h"

enum { STORED_NAME_MAX = 160 };
struct stored {
    char name[STORED_NAME_MAX]; // of the files' tensor
    size_t prefix;              // bytes of the name that a bare trunk's files lack
    int rows, cols;             // of the layout's tensor; cols 0: a vector
    int part, parts;            // parts 1: it is the whole of the files' tensor
    int group;                  // rows of a part that lie together
    bool transposed;
};

/* suffix: ".weight" or ".bias"; l takes the place of the names' %d; D: a head's rows. */
struct stored stored_of(const struct model_family *family, const struct family_module *module,
                        const char *suffix, int l, int D, int rows, int cols);

/* Whether the files' tensor is the layout's, element by element. */
static inline bool stored_plain(const struct stored *s)
{
    return s->parts == 1 && !s->transposed;
}

/* The shape of the files' tensor. ret_cols 0: a vector. */
void stored_shape(const struct stored *s, int *ret_rows, int *ret_cols);

/* By its name, or by that without the prefix. NULL: none. */
const struct tensor_info *stored_find(const struct safetensors *in, const struct stored *s);

/* Whether a name of the files is this tensor's, in either form. */
bool stored_is(const struct stored *s, const char *name);

/* Rows row..row+rows-1 of the layout's tensor. INVALID: as safetensors_read_f32. */
err_t stored_read(const struct safetensors *in, const struct tensor_info *found,
                  const struct stored *s, int row, int rows, float *ret);

/* All of the layout's tensor, elements of `size` bytes, into its places in the files'. */
void stored_place(const struct stored *s, size_t size, const void *from, void *file);
