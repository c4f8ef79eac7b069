/* Blocks of memory that go round: their owner lends them out, other threads give them back, and the
 * owner takes them for the next.
 *
 *     struct spares *spares = spares_new();
 *     struct spare *spare = spares_lend(spares, memory, 7);  -- memory: from mem_*; 7: what it holds
 *     spares_back(spare);                                    -- any thread, once
 *     if (spares_take(spares, 7, &memory)) ...               -- one that is back, and holds that
 *     spares_close(spares);                                  -- what is still out is freed as it comes
 *
 * Owner: one thread, but for spares_back. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct spare;
struct spares;
struct spares *spares_new(void);
struct spare *spares_lend(struct spares *spares, void *memory, uint64_t holds);
void spares_back(void *spare);

/* The block that was lent with this number; those with lower numbers that are back are freed.
 * False: it is still out, or there is none. */
bool spares_take(struct spares *spares, uint64_t holds, void **ret);
void spares_close(struct spares *spares); // NULL is allowed
