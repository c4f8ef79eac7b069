/* Memory that never returns NULL: running out aborts, and the process is restarted.
 *
 *     struct group *group = mem_new(sizeof *group);        -- zeroed
 *     float *rows = mem_array(N, sizeof *rows);            -- zeroed; N * size checked for overflow
 *
 * A size that came from outside is first checked against a named limit, then taken with
 * mem_try_array, which may fail. Everything here is freed with free() (mem_free is the same thing).
 * Any thread. */
#pragma once
#include <stddef.h>

void *mem_new(size_t size);                           // zeroed; size 0 gives a unique pointer
void *mem_array(size_t count, size_t size);           // zeroed
void *mem_grow(void *old, size_t count, size_t size); // realloc; new bytes are not zeroed
void *mem_copy(const void *data, size_t size);
char *mem_string(const char *text); // a copy; NULL stays NULL
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed, 64-byte aligned, in huge pages where the system has them: large arrays. Freed with
 * free(). The second gives NULL where there is no memory. */
void *mem_aligned(size_t size);
void *mem_try_aligned(size_t size);

/* Zeroed, or NULL: for sizes that settings or others' data decide. */
void *mem_try_array(size_t count, size_t size);
void mem_free(void *p);
