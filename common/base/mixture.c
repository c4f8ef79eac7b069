#include "base/mixture.h"
#include "base/mem.h"
#include "base/rng.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>

struct mixture {
    struct mixture_plan plan;
    struct jsonl *file[MIXTURE_FILES];
    double weight[MIXTURE_FILES];
    struct digest digest;
};

err_t mixture_plan_add(struct mixture_plan *plan, uint64_t rows, double weight, bool shuffle)
{
    const double places = round(weight * (double)rows);
    if (rows && !(places >= 1 && places <= JSONL_ROWS))
        return err_new(ERR_RANGE,
                       "weight %g of %" PRIu64 " rows is %.0f places in an epoch; 1 to %d are "
                       "allowed",
                       weight, rows, places, JSONL_ROWS);
    const uint64_t whole = rows ? (uint64_t)places : 0;
    plan->part[plan->files++] = (struct mixture_part){rows, whole, shuffle && rows && whole % rows};
    plan->places += whole;
    return OK;
}

void mixture_plan_find(const struct mixture_plan *plan, uint64_t epoch, uint64_t i,
                       size_t *ret_file, uint64_t *ret_row)
{
    size_t file = 0;
    assert(i < plan->places);
    for (; i >= plan->part[file].places; file++)
        i -= plan->part[file].places;
    const struct mixture_part *part = &plan->part[file];
    /* Epochs are at most 2^32, a file's places 2^26. */
    const uint64_t count = epoch * part->places + i, at = count % part->rows;
    const struct rng rng = rng_keyed(plan->seed, RNG_MIXTURE, count / part->rows, file);
    *ret_file = file;
    *ret_row = part->drawn ? rng_permute(&rng, at, part->rows) : at;
}

static err_t add(struct mixture *mixture, const struct mixture_file *file, bool shuffle)
{
    const size_t i = mixture->plan.files;
    mixture->weight[i] = file->weight;
    TRY(jsonl_open(file->path, &mixture->file[i]));
    err_t failed =
        mixture_plan_add(&mixture->plan, jsonl_rows(mixture->file[i]), file->weight, shuffle);
    if (err_failed(failed))
        jsonl_free(STEAL(mixture->file[i]));
    return err_wrap(failed, "'%s'", file->path);
}

static struct digest digest_of(const struct mixture *mixture)
{
    if (mixture->plan.files == 1 && mixture->weight[0] == 1)
        return jsonl_digest(mixture->file[0]);
    struct hash *hash = hash_begin();
    for (size_t i = 0; i < mixture->plan.files; i++) {
        const struct digest rows = jsonl_digest(mixture->file[i]);
        hash_put(hash, rows.byte, sizeof rows.byte);
        hash_put(hash, &mixture->weight[i], sizeof mixture->weight[i]);
    }
    return hash_end(hash);
}

err_t mixture_open(const struct mixture_file *files, size_t count, uint64_t seed, bool shuffle,
                   struct mixture **ret)
{
    SCOPED(mixture) mixture = mem_new(sizeof *mixture);
    assert(count && count <= MIXTURE_FILES);
    mixture->plan.seed = seed;
    for (size_t i = 0; i < count; i++)
        TRY(add(mixture, &files[i], shuffle));
    mixture->digest = digest_of(mixture);
    *ret = STEAL(mixture);
    return OK;
}

err_t mixture_row(const struct mixture *mixture, uint64_t epoch, uint64_t i, struct bytes *ret)
{
    size_t file;
    uint64_t row;
    mixture_plan_find(&mixture->plan, epoch, i, &file, &row);
    return jsonl_row(mixture->file[file], row, ret);
}

char *mixture_name(const struct mixture *mixture, uint64_t epoch, uint64_t i)
{
    size_t file;
    uint64_t row;
    mixture_plan_find(&mixture->plan, epoch, i, &file, &row);
    return mem_printf("%s:%" PRIu64, jsonl_path(mixture->file[file]), row + 1);
}

uint64_t mixture_rows(const struct mixture *mixture)
{
    return mixture->plan.places;
}

size_t mixture_longest(const struct mixture *mixture)
{
    size_t longest = 0;
    for (size_t i = 0; i < mixture->plan.files; i++) {
        const size_t one = jsonl_longest(mixture->file[i]);
        longest = one > longest ? one : longest;
    }
    return longest;
}

struct digest mixture_digest(const struct mixture *mixture)
{
    return mixture->digest;
}

size_t mixture_files(const struct mixture *mixture)
{
    return mixture->plan.files;
}

const struct jsonl *mixture_file(const struct mixture *mixture, size_t file)
{
    return mixture->file[file];
}

void mixture_free(struct mixture *mixture)
{
    if (!mixture)
        return;
    for (size_t i = 0; i < mixture->plan.files; i++)
        jsonl_free(mixture->file[i]);
    mem_free(mixture);
}
