#include "svc/http_guard.h"
#include "base/mem.h"
#include "svc/address.h"
#include <string.h>
#include <strings.h>

static const struct http_refusal repeated = {400, false, "Host or Authorization is there twice\n"};
static const struct http_refusal in_url = {
    400, false,
    "a token does not belong into the URL, which logs keep: make a new one, and send it as\n"
    "Authorization: Bearer TOKEN\n"};
static const struct http_refusal other_host = {
    403, false, "this port answers to localhost and the loopback addresses alone\n"};
static const struct http_refusal unknown = {401, true, "the token is not known\n"};
static const struct http_refusal no_token = {401, true, "Authorization: Bearer TOKEN is needed\n"};
static const struct http_refusal nothing = {
    401, true, "a viewer's or admin's certificate is needed, or Authorization: Bearer TOKEN\n"};
static const struct http_refusal other_role = {
    403, false, "the certificate is neither a viewer's nor an admin's\n"};

/* A port may follow. */
static bool is_loopback(const char *host)
{
    const char *colon = strrchr(host, ':');
    const bool has_port =
        colon && !strchr(colon, ']') && (*host == '[' || strchr(host, ':') == colon);
    SCOPED_MEM char *whole = has_port ? mem_string(host) : mem_printf("%s:0", host);
    return address_is_loopback(whole);
}

static bool has_token(const struct http_guard *guard, const struct http_asked *asked)
{
    static const char *const names[] = {"access_token", "token", "bearer", "authorization"};
    for (size_t i = 0; i < asked->argument_count; i++) {
        const char *text = asked->arguments[i];
        for (size_t k = 0; i % 2 == 0 && k < sizeof names / sizeof *names; k++)
            if (strcasecmp(text, names[k]) == 0)
                return true;
        if (guard->tokens && tokens_role(guard->tokens, text))
            return true;
    }
    return false;
}

/* The text behind "Bearer "; NULL: the header is another one. */
static const char *bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";
    const size_t len = strlen(scheme);
    if (!authorization || strncasecmp(authorization, scheme, len) != 0)
        return NULL;
    return authorization + len + strspn(authorization + len, " ");
}

/* Takes as long for every path. */
const char *http_guard_path(const struct http_guard *guard, const char *path)
{
    const size_t len = guard->secret ? strlen(guard->secret) : 0;
    volatile unsigned char differs = 0;
    if (!guard->secret)
        return path;
    if (strlen(path) < len + 2)
        return NULL;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned char)(guard->secret[i] ^ path[1 + i]);
    return differs || path[1 + len] != '/' ? NULL : path + 1 + len;
}

const struct http_refusal *http_guard_refuses(const struct http_guard *guard,
                                              const struct http_asked *asked)
{
    if (asked->repeated)
        return &repeated;
    if (guard->loopback && asked->host && !is_loopback(asked->host))
        return &other_host;
    if (has_token(guard, asked))
        return &in_url;
    if ((!guard->tokens && !guard->certificates) || (asked->caller & CALLER_READS))
        return NULL;
    const char *token = guard->tokens ? bearer(asked->authorization) : NULL;
    if (token)
        return tokens_role(guard->tokens, token) & CALLER_READS ? NULL : &unknown;
    if (asked->caller)
        return &other_role;
    return guard->certificates ? &nothing : &no_token;
}
