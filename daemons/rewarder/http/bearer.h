/* The bearer key of a server, from a file that may be replaced while the process runs.
 *
 *     TRY(bearer_open("/etc/rlhfd/judge.key", &bearer));
 *     TRY(bearer_header(bearer, &header));            -- "Authorization: Bearer sk-..."
 *
 * A file that has changed is read again at the next look. No message and no log shows a key. Owner:
 * one thread at a time. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"

enum { BEARER_LEN_MAX = 4096 };

struct bearer;
/* NOT_FOUND, DENIED, INVALID: the file has no key of printable characters, or others than its owner
 * and its group may read it. */
err_t bearer_open(const char *path, struct bearer **ret);

/* Appends the header's line. no_key (answer_fault.h): there is no such file now, or it is
 * faulty. */
err_t bearer_header(struct bearer *bearer, struct bytes *ret);
void bearer_free(struct bearer *bearer);
DEFINE_SCOPED(bearer)
