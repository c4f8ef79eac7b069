#include "model/files/stored.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

struct stored stored_of(const struct model_family *family, const struct family_module *module,
                        const char *suffix, int l, int D, int rows, int cols)
{
    struct stored s = {.rows = rows,
                       .cols = cols,
                       .part = module->part,
                       .parts = module->fused ? FUSED_PARTS : 1,
                       .group = module->fused == FUSED_HEADS ? D : rows,
                       .transposed = module->transposed && cols};
    char name[STORED_NAME_MAX - 16];
    snprintf(name, sizeof name, module->fused ? module->within : module->name, l);
    snprintf(s.name, sizeof s.name, "%s%s", name, suffix);
    const size_t prefix = family->prefix ? strlen(family->prefix) : 0;
    s.prefix = prefix && strncmp(s.name, family->prefix, prefix) == 0 ? prefix : 0;
    return s;
}

void stored_shape(const struct stored *s, int *ret_rows, int *ret_cols)
{
    const int rows = s->rows * s->parts;
    *ret_rows = s->transposed ? s->cols : rows;
    *ret_cols = s->transposed ? rows : s->cols;
}

const struct tensor_info *stored_find(const struct safetensors *in, const struct stored *s)
{
    const struct tensor_info *found = safetensors_find(in, s->name);
    return found || !s->prefix ? found : safetensors_find(in, s->name + s->prefix);
}

bool stored_is(const struct stored *s, const char *name)
{
    return strcmp(s->name, name) == 0 || (s->prefix && strcmp(s->name + s->prefix, name) == 0);
}

/* A row of the layout's tensor as a row of the fused one. */
static size_t fused_row(const struct stored *s, int row)
{
    const size_t group = (size_t)s->group, at = (size_t)row;
    return (at / group * (size_t)s->parts + (size_t)s->part) * group + at % group;
}

/* How many rows from this one on lie together, of at most `most`. */
static int run_of(const struct stored *s, int row, int most)
{
    const int left = s->group - row % s->group;
    return left < most ? left : most;
}

/* (columns, rows) of the files: a stretch of rows in each of its rows. */
static err_t read_transposed(const struct safetensors *in, const struct tensor_info *found,
                             const struct stored *s, int row, int rows, float *ret)
{
    const size_t width = (size_t)s->rows * (size_t)s->parts;
    SCOPED_MEM float *stretch = mem_array((size_t)rows, sizeof *stretch);
    for (int c = 0; c < s->cols; c++)
        for (int r = 0, run; r < rows; r += run) {
            run = run_of(s, row + r, rows - r);
            const size_t at = (size_t)c * width + fused_row(s, row + r);
            TRY(safetensors_read_some_f32(in, found, at, (size_t)run, stretch));
            for (int i = 0; i < run; i++)
                ret[(size_t)(r + i) * (size_t)s->cols + (size_t)c] = stretch[i];
        }
    return OK;
}

err_t stored_read(const struct safetensors *in, const struct tensor_info *found,
                  const struct stored *s, int row, int rows, float *ret)
{
    const size_t cols = s->cols ? (size_t)s->cols : 1;
    if (s->transposed)
        return read_transposed(in, found, s, row, rows, ret);
    for (int r = 0, run; r < rows; r += run) {
        run = run_of(s, row + r, rows - r);
        TRY(safetensors_read_some_f32(in, found, fused_row(s, row + r) * cols, (size_t)run * cols,
                                      ret + (size_t)r * cols));
    }
    return OK;
}

void stored_place(const struct stored *s, size_t size, const void *from, void *file)
{
    const size_t cols = s->cols ? (size_t)s->cols : 1;
    const size_t width = (size_t)s->rows * (size_t)s->parts;
    const char *row = from;
    for (int r = 0; r < s->rows; r++, row += cols * size) {
        const size_t at = fused_row(s, r);
        if (!s->transposed)
            memcpy((char *)file + at * cols * size, row, cols * size);
        for (size_t c = 0; s->transposed && c < cols; c++)
            memcpy((char *)file + (c * width + at) * size, row + c * size, size);
    }
}
