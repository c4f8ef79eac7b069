/* Runs a fuzz target without libFuzzer: the files of a directory, and seeded mutations of them. A
 * file that ever crashed a target belongs into its corpus, and is tried here on every machine. */
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/scoped.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, FILES_MAX = 256, MUTATIONS = 20000, SECONDS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t load(const char *directory, struct bytes *ret)
{
    size_t count = 0;
    DIR *entries = opendir(directory);
    if (!entries) {
        fprintf(stderr, "no corpus '%s'\n", directory);
        exit(1);
    }
    for (struct dirent *entry; (entry = readdir(entries)) && count < FILES_MAX;) {
        if (entry->d_name[0] == '.')
            continue;
        SCOPED_MEM char *path = file_join(directory, entry->d_name);
        err_t e = file_read(path, FILE_MAX, &ret[count]);
        if (err_failed(e)) {
            fprintf(stderr, "%s\n", err_message(e));
            exit(1);
        }
        count++;
    }
    closedir(entries);
    return count;
}

/* Its own block, so that reading past the end is seen. */
static void feed(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

/* One to eight edits: a byte set, a bit turned, a piece cut out, a piece doubled. */
static void mutate(const struct rng *rng, uint64_t *draw, const struct bytes *from,
                   struct bytes *ret)
{
    bytes_clear(ret);
    bytes_put(ret, from->data, from->len);
    for (uint64_t edits = 1 + rng_below(rng, (*draw)++, 8); edits && ret->len; edits--) {
        const size_t at = rng_below(rng, (*draw)++, ret->len);
        const size_t len = 1 + rng_below(rng, (*draw)++, ret->len - at);
        switch (rng_below(rng, (*draw)++, 4)) {
        case 0:
            ret->data[at] = (uint8_t)rng_below(rng, (*draw)++, 256);
            break;
        case 1:
            ret->data[at] ^= (uint8_t)(1u << rng_below(rng, (*draw)++, 8));
            break;
        case 2:
            memmove(ret->data + at, ret->data + at + len, ret->len - at - len);
            ret->len -= len;
            break;
        default:
            if (ret->len < FILE_MAX) {
                uint8_t *to = bytes_extend(ret, len); // may move what it copies from
                memcpy(to, ret->data + at, len);
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct bytes files[FILES_MAX] = {0}, mutated = {0};
    const size_t count = load(argc > 1 ? argv[1] : ".", files);
    const double end_s = clock_s() + SECONDS;
    const struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    uint64_t draw = 0;
    int tried = 0;

    for (size_t i = 0; i < count; i++)
        feed(files[i].data, files[i].len);
    for (; count && tried < MUTATIONS && clock_s() < end_s; tried++) {
        mutate(&rng, &draw, &files[rng_below(&rng, draw++, count)], &mutated);
        feed(mutated.data, mutated.len);
    }
    printf("%zu files, %d mutations\n", count, tried);
    bytes_done(&mutated);
    for (size_t i = 0; i < count; i++)
        bytes_done(&files[i]);
    return count ? 0 : 1;
}
