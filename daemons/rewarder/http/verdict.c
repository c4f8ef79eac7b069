#include "rewarder/http/verdict.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include "rewarder/answer_fault.h"
#include <string.h>
#include <strings.h>

enum { SHOWN_MOST = 160, CA_BYTES_MOST = 4 << 20 };

void fetch_verdict_begin(struct fetch_verdict *verdict, size_t head_most, size_t body_most,
                         double most_ms)
{
    bytes_clear(&verdict->body);
    verdict->head_len = 0;
    verdict->head_most = head_most;
    verdict->body_most = body_most;
    verdict->most_ms = most_ms;
    verdict->framed = verdict->too_long = false;
    *verdict->why = 0;
}

void fetch_verdict_done(struct fetch_verdict *verdict)
{
    bytes_done(&verdict->body);
}

static bool begins(const char *line, size_t len, const char *name)
{
    const size_t name_len = strlen(name);
    return len >= name_len && strncasecmp(line, name, name_len) == 0;
}

size_t fetch_verdict_header(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_verdict *verdict = arg;
    const size_t len = size * count;
    verdict->head_len += len;
    if (verdict->head_len > verdict->head_most) {
        verdict->too_long = true;
        return 0;
    }
    if (begins(data, len, "HTTP/")) // the final head, behind one of 1xx
        verdict->framed = false;
    if (begins(data, len, "Content-Length:") || begins(data, len, "Transfer-Encoding:"))
        verdict->framed = true;
    return len;
}

size_t fetch_verdict_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_verdict *verdict = arg;
    const size_t len = size * count;
    if (len > verdict->body_most - verdict->body.len) {
        verdict->too_long = true;
        return 0;
    }
    bytes_put(&verdict->body, data, len);
    return len;
}

/* ---- what it was */

static err_t of_code(const struct fetch_verdict *verdict, CURLcode code)
{
    const char *why = *verdict->why ? verdict->why : curl_easy_strerror(code);
    if (verdict->too_long)
        return answer_fault(ANSWER_TOO_LONG, "more than %zu bytes of headers or %zu of a body",
                            verdict->head_most, verdict->body_most);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return answer_fault(ANSWER_UNREACHABLE, "%s", why);
    case CURLE_OPERATION_TIMEDOUT:
        return answer_fault(ANSWER_LATE, "no whole answer in %.0f ms (%zu bytes came)",
                            verdict->most_ms, verdict->head_len + verdict->body.len);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return answer_fault(ANSWER_UNTRUSTED, "%s", why);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return answer_fault(ANSWER_NOT_HTTP, "%s", why);
    default:
        return answer_fault(ANSWER_CUT, "%s", why);
    }
}

static enum answer_fault of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
    case 407:
        return ANSWER_DENIED;
    case 404:
    case 405:
    case 410:
        return ANSWER_NOT_FOUND;
    case 408:
    case 425:
    case 429:
        return ANSWER_BUSY;
    default:
        return status >= 300 && status < 400   ? ANSWER_REDIRECTED
               : status >= 400 && status < 500 ? ANSWER_REFUSED
                                               : ANSWER_SERVER_ERROR;
    }
}

/* The first bytes of what an error says. */
static char *shown(const struct bytes *body)
{
    SCOPED_VALUE(bytes) text = {0};
    const size_t len = body->len < SHOWN_MOST ? body->len : SHOWN_MOST;
    printable(&text, (const char *)body->data, len, "");
    return mem_string(text.data ? (const char *)text.data : "");
}

err_t fetch_verdict(const struct fetch_verdict *verdict, CURLcode code, long status)
{
    if (code != CURLE_OK)
        return of_code(verdict, code);
    if (status < 200 || status > 299) {
        SCOPED_MEM char *says = shown(&verdict->body);
        return answer_fault(of_status(status), "status %ld%s%s", status, *says ? ": " : "", says);
    }
    if (!verdict->framed && verdict->body.len)
        return answer_fault(ANSWER_CUT, "neither Content-Length nor chunks say where it ends");
    return OK;
}

/* ---- settings */

static err_t check_parts(CURLU *parts, const char *url, char **ret_shown)
{
    char *scheme = NULL, *user = NULL, *fragment = NULL, *text = NULL;
    if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK)
        return err_new(ERR_INVALID, "url: '%.200s' is none; allowed: http://HOST:PORT/PATH, https",
                       url);
    curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    curl_url_get(parts, CURLUPART_USER, &user, 0);
    curl_url_get(parts, CURLUPART_FRAGMENT, &fragment, 0);
    const bool known = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    const bool plain = known && !user && !fragment;
    curl_free(scheme);
    curl_free(user);
    curl_free(fragment);
    if (!known)
        return err_new(ERR_INVALID, "url: '%.200s': http and https are allowed", url);
    if (!plain)
        return err_new(ERR_INVALID, "url: no user, password or fragment is allowed; a key has a "
                                    "file (key_file)");
    curl_url_set(parts, CURLUPART_QUERY, NULL, 0);
    curl_url_get(parts, CURLUPART_URL, &text, 0);
    *ret_shown = mem_string(text ? text : "?");
    curl_free(text);
    return OK;
}

err_t fetch_url_check(const char *url, char **ret_shown)
{
    CURLU *parts = curl_url();
    err_t failed = parts ? check_parts(parts, url, ret_shown)
                         : err_new(ERR_EXHAUSTED, "libcurl has no memory");
    curl_url_cleanup(parts);
    return failed;
}

static err_t check_certificates(const char *path)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    SCOPED_VALUE(bytes) text = {0};
    TRY(file_read(path, CA_BYTES_MOST, &text));
    if (!text.len || !memmem(text.data, text.len, begin, sizeof begin - 1))
        return err_new(ERR_INVALID, "'%s' has no certificate in PEM", path);
    return OK;
}

err_t fetch_ca_check(const char *path, const char *url)
{
    if (*path)
        return err_wrap(check_certificates(path), "ca_file");
    if (!begins(url, strlen(url), "https:"))
        return OK;
    const char *usual = NULL;
    CURL *easy = curl_easy_init();
    if (easy)
        curl_easy_getinfo(easy, CURLINFO_CAINFO, &usual);
    err_t failed = usual ? check_certificates(usual) : OK;
    curl_easy_cleanup(easy);
    return err_wrap(failed, "ca_file: none is named, and the system's cannot be used");
}
