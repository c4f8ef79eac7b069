/* Inside http only: an answer as it comes in, held to its bounds, and what it was in the end.
 *
 *     fetch_verdict_begin(&verdict, head_bytes, body_bytes, most_ms);
 *     -- libcurl calls fetch_verdict_header and fetch_verdict_body
 *     TRY(fetch_verdict(&verdict, code, status));       -- then verdict.body is a whole answer of 2xx
 */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

struct fetch_verdict {
    struct bytes body;
    size_t head_len, head_most, body_most;
    double most_ms;
    bool framed;   // the head says where the body ends
    bool too_long; // which ended it
    char why[CURL_ERROR_SIZE];
};

void fetch_verdict_begin(struct fetch_verdict *verdict, size_t head_most, size_t body_most,
                         double most_ms);
void fetch_verdict_done(struct fetch_verdict *verdict);

/* As libcurl calls them. */
size_t fetch_verdict_header(char *data, size_t size, size_t count, void *verdict);
size_t fetch_verdict_body(char *data, size_t size, size_t count, void *verdict);

/* A named fault, or OK. */
err_t fetch_verdict(const struct fetch_verdict *verdict, CURLcode code, long status);

/* INVALID. *ret_shown: the URL without its query, which may be a secret; the caller's. */
err_t fetch_url_check(const char *url, char **ret_shown);
/* A file of certificates; "": the system's, for a URL of https. */
err_t fetch_ca_check(const char *path, const char *url);
