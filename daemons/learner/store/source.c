/* The data as the source of slots. */
#include "base/rng.h"
#include "learner/store/inner.h"

uint64_t slot_prompt(const struct store *store, uint64_t number)
{
    uint64_t epoch = number / store->schema.rows, index = number % store->schema.rows;
    struct rng rng = rng_keyed(store->schema.seed, RNG_SHUFFLE, epoch, 0);
    return store->schema.shuffle ? rng_permute(&rng, index, store->schema.rows) : index;
}

bool store_source_empty(const struct store *store)
{
    uint64_t epoch = store->counters.next_slot / store->schema.rows;
    return (store->rules.epochs && epoch >= store->rules.epochs) || epoch > UINT32_MAX;
}
