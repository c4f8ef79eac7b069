/* Picks the track that the compute thread steps next. Evaluation has its turn when training has
 * nothing to decode. Else evaluation gets an eighth of the seconds that training's steps take.
 *
 *     if (turns_next(&turns, track_busy(training), track_busy(evaluation), &kind))
 *         begun = clock_s(), step(kind), turns_took(&turns, kind, clock_s() - begun, other_is_busy);
 *
 * Pure. */
#pragma once
#include "generator/track.h"

struct turns {
    double credit_s; // seconds that evaluation may still take; negative: too many were taken
};

/* False: neither has work. */
bool turns_next(const struct turns *turns, bool training, bool evaluation, enum track_kind *ret);

/* other: the other track has work too. Where it has none, nothing is owed. */
void turns_took(struct turns *turns, enum track_kind kind, double seconds, bool other);
