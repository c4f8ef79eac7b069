/* How a process guards its connections, and the roles of its callers.
 *
 *     SCOPED_VALUE(security) security = {0};
 *     TRY(security_open(recipe, CALLER_LEARNER, "", &security));   -- once, first in main.c
 *     struct rpc_server_options server = {.address = listen, .security = &security, ...};
 *     TRY(address_check("10.0.0.7:7003", &security));              -- DENIED: plaintext beyond loopback
 *
 * Any thread. */
#pragma once
#include "base/bytes.h"
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
    CALLER_DAEMONS = IDENTITY_DAEMONS,
    CALLER_READS = CALLER_VIEWER | CALLER_ADMIN,
    CALLER_ANY = CALLER_DAEMONS | CALLER_READS,
};

/* Of a recipe: with net.tls the keys of the daemon `name`, else plaintext. Name "": none was given.
 * The log and the metrics rlhfd_insecure and rlhfd_certificate_until_seconds tell the outcome.
 * INVALID, NOT_FOUND: the keys; DENIED: they are of another role, run or name. The recipe is
 * borrowed. */
err_t security_open(const struct recipe *recipe, enum caller role, const char *name,
                    struct security *ret);
void security_done(struct security *security);

/* One's own name, as the certificate has it; owned by the caller. NULL: plaintext. */
char *security_name(const struct security *security);

/* For people: "plaintext", "insecure: ...", "TLS as spiffe://... until 2026-12-01 ...". */
void security_text(const struct security *security, struct bytes *ret);

/* "host:port" or "unix:/path". INVALID: neither; DENIED: plaintext beyond loopback without
 * `insecure`. Resolves nothing. */
err_t address_check(const char *address, const struct security *security);
