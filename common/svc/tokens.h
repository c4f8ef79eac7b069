/* Bearer tokens from a file, each with the role of who shows it. A line is ROLE TOKEN; empty lines
 * and those with # at the beginning are none.
 *
 *     TRY(tokens_open("tokens", &tokens));       -- INVALID: names the file, the line, what is allowed
 *     tokens_role(tokens, "3q2-7w...")           -- CALLER_VIEWER; 0: no such token
 *
 * A file that has changed is read again at the next look. While it cannot be read, or is faulty, no
 * token counts, and the log says so once. Every token is compared with, each in the same time. Any
 * thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "svc/security.h"

enum { TOKENS_MAX = 64, TOKEN_LEN_MIN = 20, TOKEN_LEN_MAX = 200 };

struct tokens;
/* DENIED: others than the owner and its group may read or write the file. */
err_t tokens_open(const char *path, struct tokens **ret);
unsigned tokens_role(struct tokens *tokens, const char *token); // of enum caller
void tokens_free(struct tokens *tokens);
DEFINE_SCOPED(tokens)
