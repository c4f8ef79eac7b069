/* One daemon that `rlhfctl up` keeps running: started, announced, started again when a signal ended
 * it.
 *
 *     struct member *member = member_new(&options, words, count);
 *     TRY(member_start(member));          -- options.announced follows, then options.gone
 *
 * Owner: the loop's thread. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include "svc/child.h"
#include "svc/loop.h"

struct member;
struct member_options {
    struct loop *loop;
    /* "generator", "generator-2": in endpoints.json and log names; run and it must outlive it */
    const char *name;
    const char *program; // beside us
    const char *run;     // directory
    int recipe,
        lock; // descriptors it inherits: the recipe's text, read at each start, and RUN/lock
    const char *kind; // "generator": the section of its addresses
    bool called;      // others connect to it: a restart binds the address it had
    void (*announced)(void *arg, struct member *member);
    void (*restarted)(void *arg, struct member *member, const char *why);
    /* The member will not come back. Takes why; OK: ended by itself */
    void (*gone)(void *arg, struct member *member, err_t why);
    void *arg;
};

/* words: arguments after the recipe, copied. */
struct member *member_new(const struct member_options *options, const char *const *words,
                          size_t count);
err_t member_start(struct member *member);
void member_stop(struct member *member, int signal); // from here on its end is expected
bool member_running(const struct member *member);
const char *member_name(const struct member *member);
/* {"pid", "listen", "admin", "probes", "metrics"}; NULL: not yet */
const json_t *member_endpoint(const struct member *member);
void member_free(struct member *member); // kills a process that still runs
DEFINE_SCOPED(member)
