#include "learner/offline/chunks.h"
#include "base/mem.h"
#include "svc/recipe/recipe_place.h"
#include <inttypes.h>

/* Rows [first, first + rows) as a dataset of their own. */
static err_t one_part(const struct recipe *recipe, uint64_t first, uint64_t rows, double weight,
                      struct chunk *ret)
{
    ret->first = first;
    ret->plan = (struct mixture_plan){.seed = (uint64_t)recipe->run.seed};
    return mixture_plan_add(&ret->plan, rows, weight, recipe->data.shuffle);
}

/* Rounds until its rows end, or without an end (data.epochs: 0) as many as the run has. */
static err_t set_rounds(const struct recipe *recipe, uint64_t left, struct chunk *ret)
{
    const uint64_t each = (uint64_t)recipe->learner.groups, epochs = (uint64_t)recipe->data.epochs;
    const bool drop = recipe->learner.last_batch == RECIPE_LAST_DROP;
    ret->each = each;
    ret->shuffle = recipe->data.shuffle;
    ret->all = epochs ? ret->plan.places * epochs : UINT64_MAX;
    ret->rounds = ret->all / each + (!drop && ret->all % each != 0);
    if (!ret->rounds)
        return recipe_wrong(recipe, "learner.groups",
                            "%" PRIu64 " is more than the %" PRIu64
                            " places of the rows, and learner.last_batch: drop leaves no round",
                            each, ret->all);
    if (left && ret->rounds > left)
        ret->rounds = left;
    return OK;
}

static err_t check_chunks(const struct recipe *recipe, const struct dataset *rows, uint64_t count)
{
    const struct recipe_files *files = &recipe->data.train;
    if (count > 1 && !recipe->data.epochs)
        return recipe_wrong(recipe, "train.chunks",
                            "%" PRIu64 " chunks need data.epochs, the passes over each", count);
    if (count > rows->count)
        return recipe_wrong(recipe, "train.chunks",
                            "%" PRIu64 " is more than the %" PRIu64 " rows that fit", count,
                            rows->count);
    for (size_t f = 0; f < files->count; f++) {
        if (recipe->train.chunks == 0 && !rows->plan.part[f].rows)
            return recipe_wrong(recipe, "train.chunks", "0, and no row of '%s' fits",
                                files->at[f].path);
        if (recipe->train.chunks > 1 && files->at[f].weight != 1)
            return recipe_wrong(recipe, "train.chunks",
                                "%" PRIu64 " equal parts of rows with weight %g; allowed: weights "
                                "of 1, or 0: a chunk for each file",
                                count, files->at[f].weight);
    }
    return OK;
}

/* Chunk c: file c, or the c-th of equal parts, or all. */
static err_t set_part(const struct recipe *recipe, const struct dataset *rows, uint64_t count,
                      struct chunk *chunk)
{
    const uint64_t c = chunk->number, begin = rows->count * c / count,
                   end = rows->count * (c + 1) / count;
    uint64_t first = 0;
    chunk->plan = rows->plan;
    if (recipe->train.chunks == 1)
        return OK;
    if (recipe->train.chunks > 1)
        return one_part(recipe, begin, end - begin, 1, chunk);
    for (uint64_t f = 0; f < c; f++)
        first += rows->plan.part[f].rows;
    return one_part(recipe, first, rows->plan.part[c].rows, recipe->data.train.at[c].weight, chunk);
}

err_t chunks_plan(const struct recipe *recipe, const struct dataset *rows, struct chunks *ret)
{
    const uint64_t count = recipe->train.chunks ? (uint64_t)recipe->train.chunks
                                                : recipe->data.train.count,
                   most = (uint64_t)recipe->run.rounds;
    SCOPED_VALUE(chunks) chunks = {0};
    TRY(check_chunks(recipe, rows, count));
    chunks.at = mem_array(count, sizeof *chunks.at);
    while (chunks.count < count && (!most || chunks.rounds < most)) {
        struct chunk *chunk = &chunks.at[chunks.count];
        chunk->number = chunks.count++;
        chunk->first_round = chunks.rounds;
        TRY(set_part(recipe, rows, count, chunk));
        TRY(set_rounds(recipe, most ? most - chunks.rounds : 0, chunk));
        chunks.rounds += chunk->rounds;
    }
    *ret = chunks;
    chunks = (struct chunks){0};
    return OK;
}

const struct chunk *chunks_find(const struct chunks *chunks, uint64_t round)
{
    const struct chunk *chunk = chunks->at;
    while (round >= chunk->first_round + chunk->rounds)
        chunk++;
    return chunk;
}

size_t chunk_rows(const struct chunk *chunk, uint64_t round, uint64_t *ret)
{
    const uint64_t begin = (round - chunk->first_round) * chunk->each;
    size_t count = 0;
    for (uint64_t n = begin; n < begin + chunk->each && n < chunk->all; n++)
        ret[count++] = chunk->first + row_files_at(&chunk->plan, chunk->shuffle, n);
    return count;
}

void chunks_done(struct chunks *chunks)
{
    mem_free(chunks->at);
}
