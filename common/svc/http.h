/* An HTTP port: GET and HEAD of the pages of a table.
 *
 *     const struct http_page pages[] = {{"/livez", "text/plain", render, arg}};
 *     SCOPED(http) http = NULL;
 *     TRY(http_start(&(struct http_options){.address = "127.0.0.1:7101", .pages = pages, .page_count = 1}, &http));
 *     http_address(http)                            -- the port in use where it was 0
 *
 * The server has a thread of its own, which renders the pages; every call from any thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include "svc/http_guard.h"
#include <stddef.h>

struct http;
enum { HTTP_CONNECTIONS = 64 }; // at a time: a connection beyond closes the oldest

struct http_page {
    const char *path, *type;
    unsigned (*render)(void *arg, struct bytes *ret); // the status
    void *arg;
};

struct http_options {
    const char *address;
    const struct http_page *pages; // borrowed while the server lives
    size_t page_count;
    /* Of a path that is no page's: the status and the type; 0: not found. NULL: all others are
     * not. */
    unsigned (*other)(void *arg, const char *path, const char **ret_type, struct bytes *ret);
    void *arg;                       // of other
    struct http_guard guard;         // {0}: anyone may read
    const struct security *security; // TLS, for guard.certificates alone; borrowed for the call
};

/* Listens at host:port. INVALID: no address; UNAVAILABLE: the address is in use, or not ours. */
err_t http_start(const struct http_options *options, struct http **ret);
/* "127.0.0.1:43817": the port in use; borrowed until http_free */
const char *http_address(const struct http *http);
void http_free(struct http *http);
DEFINE_SCOPED(http)
