#include "learner/replay/refusals.h"
#include "base/clock.h"
#include "base/log.h"
#include "svc/metrics.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 60000, OLDER = 64 }; // OLDER: lines a minute

static struct metric refused =
    METRIC_COUNTER("rlhfd_hellos_refused_total",
                   "streams of workers refused: another recipe, protocol or process");
static struct metric *const rows[] = {&refused};

void refusals_register(void)
{
    metrics_register(rows, 1);
}

static struct refusal *find(struct refusals *refusals, const char *who)
{
    struct refusal *oldest = &refusals->at[0];
    for (int i = 0; i < refusals->count; i++) {
        struct refusal *at = &refusals->at[i];
        if (strcmp(at->who, who) == 0)
            return at;
        if (at->logged_ms < oldest->logged_ms)
            oldest = at;
    }
    if (refusals->count < REFUSALS_MAX)
        oldest = &refusals->at[refusals->count++];
    *oldest = (struct refusal){.logged_ms = clock_ms() - PAUSE_MS};
    snprintf(oldest->who, sizeof oldest->who, "%s", who);
    return oldest;
}

void refusals_note(struct refusals *refusals, const char *kind, const char *name, const char *peer,
                   err_t why)
{
    char who[REFUSAL_KEY];
    const char *port = strrchr(peer, ':');
    const int host = port ? (int)(port - peer) : (int)strlen(peer);
    metric_add(&refused, 1);
    snprintf(who, sizeof who, "%s %s %.*s", kind, name ? name : "", host, peer);
    struct refusal *at = find(refusals, who);
    at->since++;
    if (clock_ms() - at->logged_ms < PAUSE_MS)
        return;
    log_warning("worker refused", "kind=%s name=%s peer=%s times=%" PRIu64 " why=\"%s\"", kind,
                name ? name : "", peer, at->since, err_message(why));
    at->logged_ms = clock_ms();
    at->since = 0;
}

void refusals_older(const char *kind, const char *name, const struct hello *hello)
{
    if (hello->protocol == HELLO_PROTOCOL)
        return;
    log_limited(LOG_WARNING, OLDER, "worker of an older protocol",
                "kind=%s name=%s protocol=%" PRIu32 " build=%s learner=%d", kind, name,
                hello->protocol, hello->build ? hello->build : "", HELLO_PROTOCOL);
}
