/* Flipped bits in the files of a run: for the tests of crash/.
 *
 *     struct files files = {0};
 *     list_files(run, "store", ".log", &files);
 *     struct flip flip = draw_flip(&files, 1, 7, 0);       -- the seventh of kind 1, in the first file
 *     flip_bit(copy, &flip);
 *
 * Owner: the test's thread. */
#pragma once
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "testing/testing.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 128 };

struct flip {
    char name[256]; // of the file in RUN
    uint64_t byte;
    int bit;
};

static inline void flip_bit(const char *run_directory, const struct flip *flip)
{
    SCOPED_MEM char *path = file_join(run_directory, flip->name);
    SCOPED_FILE file = fopen(path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)flip->byte, SEEK_SET), 0);
    const int was = fgetc(file);
    assert_int_equal(fseek(file, (long)flip->byte, SEEK_SET), 0);
    assert_true(was != EOF && fputc(was ^ 1 << flip->bit, file) != EOF);
}

struct files {
    char *at[FILES_MAX];
    uint64_t bytes[FILES_MAX];
    int count;
};

static inline int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void list_files(const char *run_directory, const char *directory, const char *ending,
                              struct files *ret)
{
    SCOPED_MEM char *path = file_join(run_directory, directory);
    DIR *listing = opendir(path);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        struct stat status;
        const size_t len = strlen(entry->d_name);
        if (fstatat(dirfd(listing), entry->d_name, &status, 0) || !S_ISREG(status.st_mode) ||
            !status.st_size || len < strlen(ending) ||
            strcmp(entry->d_name + len - strlen(ending), ending) != 0)
            continue;
        assert_true(ret->count < FILES_MAX);
        ret->at[ret->count++] = file_join(directory, entry->d_name);
    }
    closedir(listing);
    qsort(ret->at, (size_t)ret->count, sizeof ret->at[0], by_name);
    for (int i = 0; i < ret->count; i++) {
        struct stat status;
        SCOPED_MEM char *file = file_join(run_directory, ret->at[i]);
        assert_int_equal(stat(file, &status), 0);
        ret->bytes[i] = (uint64_t)status.st_size;
    }
}

static inline void free_names(struct files *files)
{
    for (int i = 0; i < files->count; i++)
        mem_free(files->at[i]);
}

/* Each file in turn; where in it is drawn. Every third lies in the first bytes, where headers
 * are. */
static inline struct flip draw_flip(const struct files *files, uint64_t kind, int n, int file)
{
    struct rng rng = rng_keyed(11, RNG_TEST, kind, (uint64_t)n);
    struct flip flip = {0};
    const uint64_t bytes = files->bytes[file], most = n % 3 == 0 && bytes > 64 ? 64 : bytes;
    snprintf(flip.name, sizeof flip.name, "%s", files->at[file]);
    flip.byte = rng_below(&rng, 0, most);
    flip.bit = (int)rng_below(&rng, 1, 8);
    return flip;
}
