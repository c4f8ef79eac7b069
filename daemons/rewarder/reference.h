/* The frozen reference model as a stage: adds to each completion the log-probabilities of its
 * tokens under it. The temperature is the group's, or 1 where that is 0, in a greedy evaluation, as
 * tokens are stamped. At the same weights the learner's own forward gives the same bits.
 *
 *     rewarder: {reference: frozen}
 *
 * All completions are computed; of training pairs only the best and the worst
 * (recipe_refers_to_pairs). The forwards are as few as learner.micro_tokens allows. Opening:
 * NOT_FOUND, INVALID; PRECONDITION: the model does not fit the policy's vocabulary, tokenizer or
 * length, and both directories are named. A call: RANGE, INVALID, DATA_LOSS: a sequence is too
 * long, a token lies outside the vocabulary, or has no probability. Owner: a thread of its own,
 * with a backend of rewarder.threads. */
#pragma once
#include "rewarder/stage.h"

extern const struct stage_class reference_frozen;
