/* The tree of lineages: a fork begins one at the end of a round of its parent, whose later rounds
 * are cut off.
 *
 *     SCOPED_VALUE(lineages) lineages = {0};
 *     TRY(lineages_load(db, counters.lineage, &lineages));
 *     key_round('r', lineages_of_round(&lineages, 7), 7, key);   -- who recorded round 7 of this history
 *
 * The history is the current lineage's rounds and, below its fork, its ancestors'. Weights of a
 * version made before a fork are the same in both branches. Any thread. */
#pragma once
#include "learner/store/db.h"
#include "learner/store/record.h"

struct lineages {
    struct fork *at; // ascending by lineage; the first is of round and version 0, its own parent
    size_t count;
    uint32_t current;
};

/* DATA_LOSS: damaged, or a tree that does not hold together. */
err_t lineages_load(struct db *db, uint32_t current, struct lineages *ret);
void lineages_done(struct lineages *lineages);
/* NULL: unknown */
const struct fork *lineages_find(const struct lineages *lineages, uint32_t lineage);

uint32_t lineages_of_round(const struct lineages *lineages, uint64_t round);
uint32_t lineages_of_version(const struct lineages *lineages, uint64_t version);

/* The newest version of this lineage that belongs to the history, too. Versions up to it are the
 * same weights under either lineage. last_version: the newest of all. False: no such lineage. */
bool lineages_limit(const struct lineages *lineages, uint32_t lineage, uint64_t last_version,
                    uint64_t *ret);

/* The number of a new one. */
uint32_t lineages_next(const struct lineages *lineages);
