#include "learner/store/lineages.h"
#include "base/mem.h"
#include <stdlib.h>

void lineages_done(struct lineages *lineages)
{
    free(lineages->at);
    *lineages = (struct lineages){0};
}

const struct fork *lineages_find(const struct lineages *lineages, uint32_t lineage)
{
    for (size_t i = 0; i < lineages->count; i++)
        if (lineages->at[i].lineage == lineage)
            return &lineages->at[i];
    return NULL;
}

static void add(struct lineages *lineages, const struct fork *fork)
{
    lineages->at = mem_grow(lineages->at, lineages->count + 1, sizeof *lineages->at);
    lineages->at[lineages->count++] = *fork;
}

static err_t read_forks(struct db *db, struct lineages *ret)
{
    uint8_t from[KEY_ROUND];
    key_round('f', 0, 0, from);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(db, DB_ROUNDS, from, sizeof from, &cursor);
    for (struct db_row row; db_next(cursor, &row) && row.key[0] == 'f';) {
        struct fork fork;
        struct reader key = {row.key + 1, row.key_len - 1};
        uint32_t lineage = 0;
        if (!read_be32(&key, &lineage))
            return err_new(ERR_DATA_LOSS, "a fork record with a key of %zu bytes", row.key_len);
        TRY(err_wrap(fork_decode(lineage, row.value, row.value_len, &fork), "lineage %u", lineage));
        if (!ret->count) // the parent of the oldest fork is the first lineage
            add(ret, &(struct fork){fork.parent, fork.parent, 0, 0});
        if (!lineages_find(ret, fork.parent))
            return err_new(ERR_DATA_LOSS, "lineage %u: its parent %u is missing", lineage,
                           fork.parent);
        add(ret, &fork);
    }
    return db_cursor_error(cursor);
}

err_t lineages_load(struct db *db, uint32_t current, struct lineages *ret)
{
    SCOPED_VALUE(lineages) found = {.current = current};
    TRY(read_forks(db, &found));
    if (!found.count)
        add(&found, &(struct fork){current, current, 0, 0});
    if (found.at[found.count - 1].lineage != current)
        return err_new(ERR_DATA_LOSS, "lineage %u is missing", current);
    lineages_done(ret);
    *ret = found;
    found = (struct lineages){0};
    return OK;
}

static bool is_first(const struct fork *fork)
{
    return fork->parent == fork->lineage;
}

uint32_t lineages_of_round(const struct lineages *lineages, uint64_t round)
{
    const struct fork *at = lineages_find(lineages, lineages->current);
    while (!is_first(at) && round < at->round)
        at = lineages_find(lineages, at->parent);
    return at->lineage;
}

uint32_t lineages_of_version(const struct lineages *lineages, uint64_t version)
{
    const struct fork *at = lineages_find(lineages, lineages->current);
    while (!is_first(at) && version <= at->version)
        at = lineages_find(lineages, at->parent);
    return at->lineage;
}

/* Of a lineage in the history: how far it is part of it. */
static bool in_history(const struct lineages *lineages, uint32_t lineage, uint64_t *limit)
{
    uint64_t least = *limit;
    const struct fork *at = lineages_find(lineages, lineages->current);
    for (; at->lineage != lineage; at = lineages_find(lineages, at->parent)) {
        if (is_first(at))
            return false;
        least = at->version < least ? at->version : least;
    }
    *limit = least;
    return true;
}

bool lineages_limit(const struct lineages *lineages, uint32_t lineage, uint64_t last_version,
                    uint64_t *ret)
{
    uint64_t limit = last_version;
    const struct fork *at = lineages_find(lineages, lineage);
    if (!at)
        return false;
    for (; !in_history(lineages, at->lineage, &limit); at = lineages_find(lineages, at->parent))
        limit = at->version < limit ? at->version : limit;
    *ret = limit;
    return true;
}

uint32_t lineages_next(const struct lineages *lineages)
{
    return lineages->at[lineages->count - 1].lineage + 1;
}
