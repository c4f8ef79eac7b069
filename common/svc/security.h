/* How a process guards its connections, and the roles of its callers.
 *
 *     const struct security security = security_of(recipe);        -- once, in main.c
 *     struct rpc_server_options server = {.address = listen, .security = &security, ...};
 *     TRY(address_check("10.0.0.7:7003", &security));              -- DENIED: plaintext beyond loopback
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include "tls/keyring.h"
#include <stdbool.h>

struct recipe;

/* Servers and channels copy it; what it points to outlives them. NULL is plaintext on loopback
 * alone. */
struct security {
    bool insecure;         // plaintext is allowed beyond loopback
    struct tls_keys *keys; // TLS on every port and connection; NULL: plaintext
    const char *run;       // with keys: the run that peers must be of
};
struct security security_of(const struct recipe *recipe);

/* The keys in force, referenced; NULL: plaintext. A set that is found to be faulty is logged,
 * once. */
struct tls_set *security_set(const struct security *security);

/* Roles of callers, one bit each. A method's row has those that may call it (rpc/call.h). */
enum caller {
    CALLER_GENERATOR = IDENTITY_GENERATOR,
    CALLER_REWARDER = IDENTITY_REWARDER,
    CALLER_LEARNER = IDENTITY_LEARNER,
    CALLER_VIEWER = IDENTITY_VIEWER,
    CALLER_ADMIN = IDENTITY_ADMIN,
    CALLER_READS = CALLER_VIEWER | CALLER_ADMIN,
    CALLER_ANY = CALLER_GENERATOR | CALLER_REWARDER | CALLER_LEARNER | CALLER_READS,
};

/* "host:port" or "unix:/path". INVALID: neither; DENIED: plaintext beyond loopback without
 * `insecure`. Resolves nothing. */
err_t address_check(const char *address, const struct security *security);
