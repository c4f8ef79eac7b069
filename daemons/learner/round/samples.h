/* RUN/samples.jsonl: some of each round's completions as text, for people. A line each:
 *
 *     {"round": 7, "version": 8, "lineage": 1, "slot": 93, "prompt": "...", "completion": "...",
 *      "reward": 1.5, "scores": {"exact": 1, "length": 0.5}, "finish": "stop", "tokens": 12}
 *
 *     samples = samples_new(recipe);
 *     samples_round(samples, round, groups, 4, version);     -- the first 4 groups, in recorded order
 *
 * The file is for looking at, and decides nothing: where it cannot be written the log says so, and
 * training goes on. A full one becomes samples.jsonl.1, in place of an older one. Owner: the
 * compute thread. */
#pragma once
#include "base/scoped.h"
#include "learner/store/rounds.h"
#include "svc/recipe/recipe.h"

enum { SAMPLES_MAX_BYTES = 64 << 20 };

struct samples;
struct samples *samples_new(const struct recipe *recipe); // borrowed; opens nothing yet
void samples_round(struct samples *samples, const struct round *round, struct group *const *groups,
                   uint64_t count, uint64_t version);
void samples_free(struct samples *samples);
DEFINE_SCOPED(samples)
