#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

static void *checked(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_new(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_grow(void *old, size_t count, size_t size)
{
    return checked(reallocarray(old, count ? count : 1, size ? size : 1));
}

void *mem_copy(const void *data, size_t size)
{
    void *copy = checked(malloc(size ? size : 1));
    if (size)
        memcpy(copy, data, size);
    return copy;
}

char *mem_string(const char *text)
{
    return text ? checked(strdup(text)) : NULL;
}

char *mem_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    return text;
}

void *mem_try_aligned(size_t size)
{
    size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    size_t rounded = (size + alignment - 1) / alignment * alignment;
    if (rounded < size)
        return NULL;
    if (!rounded)
        rounded = alignment;
    void *p = aligned_alloc(alignment, rounded);
    if (!p)
        return NULL;
    if (alignment == HUGE_PAGE)
        madvise(p, rounded, MADV_HUGEPAGE);
    memset(p, 0, rounded);
    return p;
}

void *mem_aligned(size_t size)
{
    return checked(mem_try_aligned(size));
}

void *mem_try_array(size_t count, size_t size)
{
    size_t all;
    if (__builtin_mul_overflow(count, size, &all))
        return NULL; // calloc says so too, but not under a sanitizer
    return calloc(1, all ? all : 1);
}

void mem_free(void *p)
{
    free(p);
}
