/* A model.safetensors.index.json beside two good files. A model that opens has each tensor once
 * and is read to its last byte; an error is one line. */
#include "base/file.h"
#include "base/mem.h"
#include "model/files/safetensors.h"
#include "testing/testing.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 3, COLS = 2 };

static void must(err_t e)
{
    if (err_failed(e))
        abort();
}

static void write_shard(const char *directory, const char *file, const char *a, const char *b)
{
    static const float values[ROWS * COLS] = {1, -2, 3, -4, 5, -6};
    const struct tensor_source tensors[] = {
        {.name = a, .dtype = DTYPE_F32, .rows = ROWS, .cols = COLS, .data = values},
        {.name = b, .dtype = DTYPE_BF16, .rows = ROWS, .data = values}};
    SCOPED_MEM char *path = file_join(directory, file);
    must(safetensors_write(path, tensors, 2, NULL, 0));
}

/* With the two files, made by the first call. */
static const char *model_directory(void)
{
    static const char *directory;
    if (!directory) {
        directory = testing_directory();
        write_shard(directory, "one", "a", "b");
        write_shard(directory, "two", "c", "d");
    }
    return directory;
}

static err_t read_all(const struct safetensors *in)
{
    for (int i = 0; i < safetensors_count(in); i++) {
        const struct tensor_info *tensor = safetensors_at(in, i);
        float values[ROWS * COLS];
        if (safetensors_find(in, tensor->name) != tensor || tensor->count > ROWS * COLS)
            abort();
        TRY(safetensors_read_f32(in, tensor, values));
    }
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *directory = model_directory();
    SCOPED_MEM char *path = file_join(directory, "model.safetensors.index.json");
    SCOPED_FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len)
        abort();
    SCOPED(safetensors) in = NULL;
    err_t e = safetensors_open_model(directory, &in);
    if (!err_failed(e))
        e = read_all(in);
    else if (strchr(err_message(e), '\n')) // one line, whatever the bytes are
        abort();
    err_free(e);
    return 0;
}
