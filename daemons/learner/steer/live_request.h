/* Requests to change live settings: the check of their texts, and their digest. Any thread. */
#pragma once
#include "base/hash.h"
#include "learner/steer/live.h"

/* INVALID: a text that is too long or not one line of UTF-8, or too many settings. */
err_t live_request_check(const struct live_request *request);

/* Digest of kind and settings, without author and reason: a repeated request_id must have the same
 * digest. */
struct digest live_request_digest(const struct live_request *request);
