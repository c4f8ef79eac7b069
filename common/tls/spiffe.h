/* The identity of a process or a person, a name in its certificate:
 * spiffe://DOMAIN/run/RUN/ROLE/NAME.
 *
 *     struct identity who;
 *     TRY(identity_parse(uri, len, &who));     -- INVALID: says what such a name looks like
 *     char text[IDENTITY_TEXT];
 *     identity_print(&who, text);              -- "spiffe://rlhfd/run/sort/generator/g-0"
 *
 * Such names come from outside. Every part has a longest length and a set of characters, and
 * nothing else is an identity. Any thread. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

/* One bit each: a method's row has those that may call it. */
enum identity_role {
    IDENTITY_GENERATOR = 1 << 0,
    IDENTITY_REWARDER = 1 << 1,
    IDENTITY_LEARNER = 1 << 2,
    IDENTITY_VIEWER = 1 << 3, // a person or a program that looks
    IDENTITY_ADMIN = 1 << 4,  // an operator, who also changes
    IDENTITY_DAEMONS = IDENTITY_GENERATOR | IDENTITY_REWARDER | IDENTITY_LEARNER,
};

enum {
    IDENTITY_DOMAIN = 64, // longest parts, in bytes
    IDENTITY_RUN = 64,
    IDENTITY_NAME = 64,
    IDENTITY_TEXT = 240, // longest text, with its end
};

struct identity {
    char domain[IDENTITY_DOMAIN + 1];
    char run[IDENTITY_RUN + 1];
    enum identity_role role;
    char name[IDENTITY_NAME + 1];
};

/* Text of len bytes, which may hold anything. INVALID: not exactly such a name. */
err_t identity_parse(const void *text, size_t len, struct identity *ret);
void identity_print(const struct identity *who, char ret[IDENTITY_TEXT]);

/* Whether a text may be DOMAIN: as RUN and NAME, without capitals. */
bool identity_is_domain(const char *text);

/* DENIED: of another domain than ours, or of another run than this one (NULL: any). `subject`
 * begins the sentence: "the certificate is". */
err_t identity_belongs(const struct identity *who, const char *subject, const struct identity *ours,
                       const char *run);

/* Whether a text may be RUN or NAME: a letter or digit, then also ". _ -". */
bool identity_is_name(const char *text, size_t most);

const char *identity_role_name(enum identity_role role); // "generator"; "?": no single role
bool identity_role_parse(const char *text, enum identity_role *ret);
/* "generator, learner": the names of a set; cut where size ends. */
void identity_roles_print(unsigned roles, char *ret, size_t size);
