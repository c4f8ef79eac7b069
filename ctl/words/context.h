/* Which run a command is about: --run, --address, --context, or the context in use. Contexts are
 * names for runs, kept in $XDG_CONFIG_HOME/rlhfd/contexts.json (~/.config without the variable):
 *
 *     {"current": "sort", "contexts": {"sort": {"run": "/home/me/run"},
 *                                      "cluster": {"address": "learner:7013", "tls": "/home/me/keys"}}}
 *
 *     SCOPED(target) target = NULL;
 *     TRY(target_find(&flags, &target));       -- the addresses of its daemons
 *     target->daemon[target->learner].address
 *
 * Owner: the main thread. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include <stdbool.h>

struct target_flags {
    const char *run, *address, *context; // NULL: not given
    const char *tls;                     // directory of keys; NULL: not given
    bool own;                            // the run is ours: its keys, whatever RLHFD_TLS says
};

enum { TARGET_DAEMONS_MAX = 256 };
struct target {
    char *run; // its directory; NULL: known by an address alone
    char *tls; // directory of keys: --tls, RLHFD_TLS, the context's, the run's; NULL: plaintext
    size_t count;
    struct target_daemon {
        char *name, *address; // "generator-2", "127.0.0.1:7013"
        char *metrics;        // "127.0.0.1:7203"; of a run that does not tell, the one by default
    } daemon[TARGET_DAEMONS_MAX];
    size_t learner; // which one answers for the run; count: none
};

/* INVALID: none is given and none is in use, or several are; NOT_FOUND: no such context, no
 * endpoints.json in the run. */
err_t target_find(const struct target_flags *flags, struct target **ret);

/* Reads endpoints.json again and adds its new daemons. True: this daemon has another address
 * now. */
bool target_look_again(struct target *target, size_t daemon);
void target_free(struct target *target);
DEFINE_SCOPED(target)

/* All contexts, as in the file; without a file there are none. INVALID: names the file. */
err_t contexts_read(json_t **ret);
err_t contexts_write(const json_t *contexts);
char *contexts_path(void); // owned by the caller

/* Changes of the contexts in memory. INVALID: a name (letters, digits, . _ -), an address;
 * NOT_FOUND: no such context, no such directory. tls: of keys; NULL: none of its own. */
err_t contexts_add(json_t *contexts, const char *name, const char *run, const char *address,
                   const char *tls);
err_t contexts_use(json_t *contexts, const char *name);
err_t contexts_remove(json_t *contexts, const char *name);
