#include "rewarder/judge/judge_cache.h"
#include "base/bytes.h"
#include "base/mem.h"

enum { WAYS = 4 };

struct entry {
    struct digest digest;
    double verdict;
    uint64_t used; // the clock when it was put; 0: empty
};

struct judge_cache {
    size_t sets;
    uint64_t clock;
    struct entry *entry; // (sets * WAYS)
};

struct judge_cache *judge_cache_new(size_t entries)
{
    struct judge_cache *cache = mem_new(sizeof *cache);
    cache->sets = (entries + WAYS - 1) / WAYS;
    cache->entry = mem_array(cache->sets * WAYS, sizeof *cache->entry);
    return cache;
}

void judge_cache_free(struct judge_cache *cache)
{
    if (!cache)
        return;
    mem_free(cache->entry);
    mem_free(cache);
}

static struct entry *set_of(const struct judge_cache *cache, const struct digest *digest)
{
    return &cache->entry[be64_load(digest->byte) % cache->sets * WAYS];
}

bool judge_cache_find(const struct judge_cache *cache, const struct digest *digest, double *ret)
{
    if (!cache->sets)
        return false;
    const struct entry *set = set_of(cache, digest);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].used && digest_equal(&set[i].digest, digest)) {
            *ret = set[i].verdict;
            return true;
        }
    return false;
}

void judge_cache_put(struct judge_cache *cache, const struct digest *digest, double verdict)
{
    if (!cache->sets)
        return;
    struct entry *oldest = set_of(cache, digest);
    for (size_t i = 1; i < WAYS; i++)
        if (set_of(cache, digest)[i].used < oldest->used)
            oldest = set_of(cache, digest) + i;
    *oldest = (struct entry){*digest, verdict, ++cache->clock};
}
