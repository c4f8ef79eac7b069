#include "tls/spiffe.h"
#include <stdio.h>
#include <string.h>

static const struct {
    enum identity_role role;
    const char *name;
} roles[] = {
    {IDENTITY_GENERATOR, "generator"}, {IDENTITY_REWARDER, "rewarder"},
    {IDENTITY_LEARNER, "learner"},     {IDENTITY_VIEWER, "viewer"},
    {IDENTITY_ADMIN, "admin"},
};
enum { ROLES = sizeof roles / sizeof *roles };

const char *identity_role_name(enum identity_role role)
{
    for (size_t i = 0; i < ROLES; i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "?";
}

bool identity_role_parse(const char *text, enum identity_role *ret)
{
    for (size_t i = 0; i < ROLES; i++)
        if (strcmp(roles[i].name, text) == 0) {
            *ret = roles[i].role;
            return true;
        }
    return false;
}

void identity_roles_print(unsigned set, char *ret, size_t size)
{
    size_t len = 0;
    *ret = '\0';
    for (size_t i = 0; i < ROLES; i++)
        if (set & roles[i].role && len < size)
            len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? ", " : "", roles[i].name);
}

/* Not isalnum: the locale must have no say. */
static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool identity_is_name(const char *text, size_t most)
{
    const size_t len = strnlen(text, most + 1);
    if (!len || len > most || !is_alnum(*text))
        return false;
    for (const char *p = text; *p; p++)
        if (!is_alnum(*p) && *p != '.' && *p != '_' && *p != '-')
            return false;
    return true;
}

/* Names of domains have no capitals. */
bool identity_is_domain(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            return false;
    return identity_is_name(text, IDENTITY_DOMAIN);
}

/* The part up to the next slash, or to the end where it is the last; false: it does not fit. */
static bool take(const char **at, const char *end, bool last, size_t most, char *ret)
{
    const char *slash = memchr(*at, '/', (size_t)(end - *at));
    if (last != !slash)
        return false;
    const char *stop = slash ? slash : end;
    const size_t len = (size_t)(stop - *at);
    if (!len || len > most || memchr(*at, '\0', len))
        return false;
    memcpy(ret, *at, len);
    ret[len] = '\0';
    *at = slash ? slash + 1 : end;
    return true;
}

static bool parse(const char *text, size_t len, struct identity *ret)
{
    static const char scheme[] = "spiffe://";
    const char *at = text + sizeof scheme - 1, *end = text + len;
    char word[8], role[16];
    struct identity who = {0};
    if (len >= IDENTITY_TEXT || len < sizeof scheme || memcmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    if (!take(&at, end, false, IDENTITY_DOMAIN, who.domain) ||
        !take(&at, end, false, sizeof word - 1, word) ||
        !take(&at, end, false, IDENTITY_RUN, who.run) ||
        !take(&at, end, false, sizeof role - 1, role) ||
        !take(&at, end, true, IDENTITY_NAME, who.name))
        return false;
    if (!identity_is_domain(who.domain) || strcmp(word, "run") != 0 ||
        !identity_is_name(who.run, IDENTITY_RUN) || !identity_role_parse(role, &who.role) ||
        !identity_is_name(who.name, IDENTITY_NAME))
        return false;
    *ret = who;
    return true;
}

err_t identity_parse(const void *text, size_t len, struct identity *ret)
{
    enum { SHOWN = 100 };
    char shown[SHOWN + 1];
    const char *from = text;
    const size_t some = len < SHOWN ? len : SHOWN;
    if (parse(text, len, ret))
        return OK;
    for (size_t i = 0; i < some; i++)
        shown[i] = from[i] > ' ' && from[i] < 127 && from[i] != '"' ? from[i] : '?';
    shown[some] = '\0';
    return err_new(ERR_INVALID,
                   "'%s%s' is no identity; one is spiffe://DOMAIN/run/RUN/ROLE/NAME, ROLE being "
                   "generator, rewarder, learner, viewer or admin",
                   shown, len > some ? "..." : "");
}

void identity_print(const struct identity *who, char ret[IDENTITY_TEXT])
{
    snprintf(ret, IDENTITY_TEXT, "spiffe://%s/run/%s/%s/%s", who->domain, who->run,
             identity_role_name(who->role), who->name);
}

err_t identity_belongs(const struct identity *who, const char *subject, const struct identity *ours,
                       const char *run)
{
    if (strcmp(ours->domain, who->domain) != 0)
        return err_new(ERR_DENIED, "%s of domain '%s'; this is domain '%s'", subject, who->domain,
                       ours->domain);
    if (run && strcmp(run, who->run) != 0)
        return err_new(ERR_DENIED, "%s of run '%s'; this is run '%s'", subject, who->run, run);
    return OK;
}
