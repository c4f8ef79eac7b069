#include "generator/turns.h"

/* Evaluation may take 1 / SHARE of training's seconds while training never pauses. With less, an
 * evaluation outlasts the rounds to the next one. With more, the generator's rate suffers. */
enum { SHARE = 8 };

bool turns_next(const struct turns *turns, bool training, bool evaluation, enum track_kind *ret)
{
    if (!training && !evaluation)
        return false;
    *ret = evaluation && (!training || turns->credit_s > 0) ? TRACK_EVALUATION : TRACK_TRAINING;
    return true;
}

void turns_took(struct turns *turns, enum track_kind kind, double seconds, bool other)
{
    if (kind == TRACK_EVALUATION)
        turns->credit_s = other ? turns->credit_s - seconds : 0;
    else if (other)
        turns->credit_s += seconds / SHARE;
}
