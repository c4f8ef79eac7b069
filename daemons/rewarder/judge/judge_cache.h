/* Inside judge only: verdicts that were given, by the digest of the request that asked.
 *
 *     if (judge_cache_find(cache, &digest, &verdict)) ...
 *     judge_cache_put(cache, &digest, verdict);           -- may take another one's place
 *
 * One thread. */
#pragma once
#include "base/hash.h"

struct judge_cache;

/* entries 0: it finds nothing. */
struct judge_cache *judge_cache_new(size_t entries);
void judge_cache_free(struct judge_cache *cache);
bool judge_cache_find(const struct judge_cache *cache, const struct digest *digest, double *ret);
void judge_cache_put(struct judge_cache *cache, const struct digest *digest, double verdict);
