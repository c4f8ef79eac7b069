/* A group that a stop of the ring cannot take goes on as a failed one: the group's names and the
 * reason, and nothing else. So every stop has room for it, the learner ends its lease, and its
 * generator gets a disposition. A stream that broke instead would break at each attempt.
 *
 *     group_encode_within(group, GROUP_MAX_BYTES, &out);         -- to a peer: as it is, or failed
 *     err_t e = group_decode(data, len, &limits, &group);        -- from a peer: as it is, or failed
 *     if (err_failed(e))
 *         TRY(failed_group_decode(data, len, e, &group));
 *
 * Any thread. */
#pragma once
#include "wire/rollout.h"

/* The names of a group with this failure; the caller's. */
struct group *failed_group(const struct group *group, const char *failure);

/* Appends the group's bytes, or those of failed_group where there are more than `most`. */
void group_encode_within(const struct group *group, size_t most, struct bytes *ret);

/* The names in a message that group_decode has refused, as far as they can be read; the failure is
 * why, which is taken. Names that do not belong together are left as they are: the learner finds no
 * such lease, and answers all the same. On failure the error is why: there is no id to answer. */
err_t failed_group_decode(const uint8_t *data, size_t len, err_t why, struct group **ret);
