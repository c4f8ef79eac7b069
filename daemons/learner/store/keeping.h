/* Private to the store's sources, beside inner.h: slots whose groups are kept apart (quarantine.h),
 * and the place that one needs to come back. Owner: the storage thread. */
#pragma once
#include "learner/store/inner.h"

/* Whether a lease is the rewarders', which score a kept group again. */
static inline bool slot_is_again(const struct slot *slot)
{
    return slot->state == SLOT_LEASED && !slot->term;
}

/* ---- fate.c */

void slot_filtered(struct store *store, struct slot *slot); // its group, by the rules

/* LEASED, its group is there but for a score: it waits for store_retry. why: copied, and cut. */
void slot_quarantine(struct store *store, struct slot *slot, uint64_t age, const char *generator,
                     const char *why);
void slot_forget_kept(struct store *store, const struct slot *slot); // its bytes, if they are kept

/* ---- bounds.c: whether a group of this age whose lease was given up may be kept */
bool store_has_place(const struct store *store, uint64_t age);
