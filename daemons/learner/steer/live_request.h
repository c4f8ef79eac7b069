/* What is asked of the live settings: whether it may be, and what names it. Any thread. */
#pragma once
#include "base/hash.h"
#include "learner/steer/live.h"

/* INVALID: a text that is too long or not one line of UTF-8, or too many settings. */
err_t live_request_check(const struct live_request *request);

/* Of what is asked, whoever asks and why: the same request_id must ask the same. */
struct digest live_request_digest(const struct live_request *request);
