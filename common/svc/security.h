/* How a process guards its connections, and the roles of its callers.
 *
 *     const struct security security = security_of(recipe);        -- once, in main.c
 *     struct rpc_server_options server = {.address = listen, .security = &security, ...};
 *     TRY(address_check("10.0.0.7:7003", &security));              -- DENIED: plaintext beyond loopback
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

struct recipe;

/* Servers and channels borrow it while they start. NULL is plaintext on loopback alone. */
struct security {
    bool insecure; // plaintext is allowed beyond loopback
};
struct security security_of(const struct recipe *recipe);

/* Roles of callers, one bit each. A method's row has those that may call it (rpc/call.h). */
enum caller {
    CALLER_GENERATOR = 1 << 0,
    CALLER_REWARDER = 1 << 1,
    CALLER_LEARNER = 1 << 2,
    CALLER_VIEWER = 1 << 3, // a person or a program that looks
    CALLER_ADMIN = 1 << 4,  // an operator, who also changes
    CALLER_READS = CALLER_VIEWER | CALLER_ADMIN,
    CALLER_ANY = CALLER_GENERATOR | CALLER_REWARDER | CALLER_LEARNER | CALLER_READS,
};

/* "host:port" or "unix:/path". INVALID: neither; DENIED: plaintext beyond loopback without
 * `insecure`. Resolves nothing. */
err_t address_check(const char *address, const struct security *security);
