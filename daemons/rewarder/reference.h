/* The frozen reference model as a stage: adds to each completion the log-probabilities of its
 * tokens under it. They are taken at the group's temperature (1 where that is 0, in a greedy
 * evaluation, as they were stamped), and have the bits that the learner's own forward gives at the
 * same weights.
 *
 *     rewarder: {reference: frozen}
 *
 * It computes all completions, or of training pairs the best and the worst
 * (recipe_refers_to_pairs), in as few forwards as learner.micro_tokens allows. Opening: NOT_FOUND,
 * INVALID; PRECONDITION: the model does not fit the policy's vocabulary, tokenizer or length, and
 * both directories are named. A call: RANGE, INVALID, DATA_LOSS: a sequence is too long, a token
 * lies outside the vocabulary, or has no probability. Owner: a thread of its own, with a backend of
 * rewarder.threads. */
#pragma once
#include "rewarder/stage.h"

extern const struct stage_class reference_frozen;
