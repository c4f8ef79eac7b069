/* Beside groups and dispositions on Replay.Append: whether groups wait at a rewarder for a stage
 * that does not answer, and groups that the learner has scored once more.
 *
 *     waiting_encode("rewarder.scorers[0] does not answer", &out);   -- "": none waits
 *     if (waiting_decode(data, len, held)) ...                       -- else it is a group
 *     again_encode(group, &out);
 *     err_t e = again_decode(data, len, &group);                      -- NOT_FOUND: a disposition
 *
 * Any thread. */
#pragma once
#include "wire/rollout.h"

enum { WAITING_TEXT = 400 };

void waiting_encode(const char *held, struct bytes *ret); // a long text is cut
bool waiting_decode(const uint8_t *data, size_t len, char ret_held[WAITING_TEXT]);

/* The group as its generator sent it: what a rewarder added, and its failure, are left out. */
void again_encode(const struct group *group, struct bytes *ret);

/* INVALID: malformed, as group_decode says. */
err_t again_decode(const uint8_t *data, size_t len, struct group **ret);
