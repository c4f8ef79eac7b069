/* Shared by the stand-ins for CUDA's runtime and NCCL: settings from the environment,
 * "key=value,key=value". */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The number after key= in the variable, or what it is without. */
static inline int fake_setting(const char *variable, const char *key, int without)
{
    const char *at = getenv(variable);
    const size_t len = strlen(key);
    for (; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, key, len) == 0 && at[len] == '=')
            return (int)strtol(at + len + 1, NULL, 10);
    return without;
}

/* fn(arg) in the order of the stream's other operations. to: memory of the device where the call
 * writes `bytes` bytes; NULL: none. */
void fake_stream_push(void *stream, void (*fn)(void *arg), void *arg, void *to, size_t bytes);
