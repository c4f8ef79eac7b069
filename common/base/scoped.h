/* Scoped cleanup: a local that frees itself however the function ends.
 *
 *     DEFINE_SCOPED(replay)                    -- once, beside replay_free(struct replay *)
 *
 *     SCOPED(replay) replay = NULL;            -- replay_free(replay) on every way out
 *     TRY(replay_open(dir, &limits, &replay));
 *     *ret = STEAL(replay);                    -- hand it to the caller: now NULL here
 *
 * SCOPED_VALUE(bytes) is the same for values embedded in the frame: it calls bytes_done(&value). */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCOPED(type)       __attribute__((cleanup(type##_scoped_free))) struct type *
#define SCOPED_VALUE(type) __attribute__((cleanup(type##_done))) struct type
#define DEFINE_SCOPED(type)                                                                        \
    static inline void type##_scoped_free(struct type **p)                                         \
    {                                                                                              \
        if (*p)                                                                                    \
            type##_free(*p);                                                                       \
    }

/* Takes the pointer out of its scope: the value, and NULL left behind. */
#define STEAL(p)                                                                                   \
    ({                                                                                             \
        typeof(p) stolen_ = (p);                                                                   \
        (p) = NULL;                                                                                \
        stolen_;                                                                                   \
    })

/* For memory from mem_*, malloc or strdup; files; descriptors (-1: none). */
static inline void scoped_free_mem(void *p)
{
    free(*(void **)p);
}
static inline void scoped_close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}
static inline void scoped_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define SCOPED_MEM  __attribute__((cleanup(scoped_free_mem)))
#define SCOPED_FILE __attribute__((cleanup(scoped_close_file))) FILE *
#define SCOPED_FD   __attribute__((cleanup(scoped_close_fd))) int
