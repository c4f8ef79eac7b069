/* Digests of trained weights that later builds have to make again: tests/golden/weights.json,
 * written by the build before columns and objective rows (2026-11-29). Its part cuda_ops has
 * those of ops of the CUDA backend (tests/cuda/bits_test.c).
 *
 *     golden_check("sort", "grpo", digests);                      -- fails the test at the first one that differs
 *     RLHFD_GOLDEN=write build/tests/test_ring_golden             -- writes what this build makes instead of comparing
 *
 * A test whose keys or calls have new names is edited. A digest never is: one that differs says
 * that training has changed. RLHFD_GOLDEN=write is for new entries, and for a change of the
 * numerics that is meant and has an entry in DECISIONS.md. With it a test writes all its digests,
 * and git diff shows which have changed. Tests that write are run one by one, as they share the
 * file. No digest depends on threads or on the instruction set. Owner: the test's thread. */
#pragma once
#include "base/json.h"

/* digests: a text, or an array of texts by version. Borrowed. */
void golden_check(const char *part, const char *name, const json_t *digests);

/* A trainee's digests of versions 1 to count, as `rlhfctl explain` tells them of a run that has
 * ended; owned by the caller. */
json_t *golden_versions(const char *recipe, const char *run, const char *trainee, size_t count);
