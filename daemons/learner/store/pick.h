/* Picks the stored groups that make a round, by replay.policy. The choice is recorded, so a replay
 * picks nothing.
 *
 *     SCOPED_MEM struct slot **picked = pick_groups(store, 64);   -- oldest first, then by slot, each once
 *
 *     fifo       the oldest, then the lowest slots; with max_uses > 1 again in the rounds after
 *     uniform    every stored group is as likely as any other
 *     priority   without replacement, the chance of being next in proportion to
 *                (spread + 0.01 * mean spread) ^ replay.priority_exponent, where spread is the mean of
 *                |reward - the group's mean reward| and mean spread is over what is stored; all alike if that is 0
 *
 * Draws depend on (run.seed, round, slot) and the stored groups, not on the order in which they
 * came. For every policy the groups within the lag limit are those stored: the sweep before has
 * taken the others out. Owner: the storage thread. */
#pragma once
#include <stddef.h>

struct slot;
struct store;

/* take of them, at most as many as are stored; the array is the caller's. */
struct slot **pick_groups(struct store *store, size_t take);
