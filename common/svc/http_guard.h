/* Decides who may read the pages of an HTTP port, by what a request says of itself.
 *
 *     const struct http_guard guard = {.tokens = tokens, .certificates = true};
 *     struct http_asked asked = {.host = "learner:7203", .authorization = "Bearer 3q2-7w..."};
 *     const struct http_refusal *no = http_guard_refuses(&guard, &asked);      -- NULL: it may
 *
 * Any thread. */
#pragma once
#include "svc/tokens.h"
#include <stdbool.h>

/* Without tokens and certificates anyone may read who reaches the port. */
struct http_guard {
    struct tokens *tokens; // borrowed; NULL: none
    bool certificates;     // the port speaks TLS: a viewer's or an admin's certificate will do
    /* The port is a loopback one. A request to another name comes from a web page in a browser,
     * which would read what its own site may not (DNS rebinding). */
    bool loopback;
    /* Every path begins with /SECRET, which its reader alone knows; NULL: none. Others do not even
     * learn which pages there are. */
    const char *secret;
};

/* The path behind the secret, within path; NULL: it has another one. */
const char *http_guard_path(const struct http_guard *guard, const char *path);

struct http_asked {
    const char *host, *authorization; // headers; NULL: not there
    bool repeated;                    // one of them is there twice
    const char *const *arguments; // names of what follows ? in the URL, and their values, in turn
    size_t argument_count;        // of both
    unsigned caller;              // the role of the certificate (enum caller); 0: none
};

struct http_refusal {
    unsigned status;
    bool challenge; // WWW-Authenticate: Bearer
    const char *text;
};
const struct http_refusal *http_guard_refuses(const struct http_guard *guard,
                                              const struct http_asked *asked);
