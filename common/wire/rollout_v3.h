/* Groups as stores of format 3 hold them.
 *
 *     TRY(group_decode_v3(data, len, &limits, &group));       -- as group_decode, in the errors too
 *
 * Their bytes stay in the store as they are, under the digests that were recorded of them; nothing
 * writes them any more. Any thread. */
#pragma once
#include "wire/rollout.h"

err_t group_decode_v3(const uint8_t *data, size_t len, const struct group_limits *limits,
                      struct group **ret);
