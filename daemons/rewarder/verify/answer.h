/* The answer inside a text.
 *
 *     if (answer_find(text, ANSWER_AUTO, &answer)) ...      -- borrowed from the text
 *
 * Any thread. */
#pragma once
#include "rewarder/scorer.h"

/* The values of `extract`. */
enum answer_place {
    /* The first that is there: the last \boxed{}, the text behind the last ####, behind the last
     * "answer is" or "answer:", the last formula between dollars, the last number. */
    ANSWER_AUTO,
    ANSWER_BOXED,
    ANSWER_HASH,
    ANSWER_WHOLE, // all of it
};
#define ANSWER_WORDS "auto|boxed|hash|whole"

bool answer_find(struct text_slice text, enum answer_place place, struct text_slice *ret);

/* A dataset's column names its answer likewise, by \boxed{} or ####; without them all of it is the
 * answer. */
struct text_slice answer_wanted(struct text_slice text);

/* The inside of the last block between lines of ```; the whole text where there is none. */
struct text_slice answer_block(struct text_slice text);
