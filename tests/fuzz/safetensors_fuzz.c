/* A safetensors file: what opens is read to its last byte. */
#include "base/mem.h"
#include "model/files/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED_FD fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len)
        abort();
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    SCOPED(safetensors) in = NULL;
    err_t e = safetensors_open(path, &in);
    for (int i = 0; !err_failed(e) && i < safetensors_count(in); i++) {
        const struct tensor_info *tensor = safetensors_at(in, i);
        if (tensor->bytes > len || safetensors_find(in, tensor->name) != tensor)
            abort();
        SCOPED_MEM float *values = mem_array(tensor->count, sizeof *values);
        if (tensor->dtype != DTYPE_OTHER)
            e = safetensors_read_f32(in, tensor, values);
    }
    err_free(e);
    return 0;
}
