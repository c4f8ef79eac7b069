/* The state of the streams to learner and rewarder, and what follows from it. */
#include "base/clock.h"
#include "base/log.h"
#include "generator/daemon.h"
#include "generator/prompts.h"
#include "svc/recipe/recipe.h"
#include "svc/svc.h"
#include <inttypes.h>

static void down(struct daemon *d, struct peer *peer, err_t why)
{
    if (!d->draining)
        peer_down(peer, err_message(why), clock_s());
    err_free(why);
    daemon_show(d);
}

static void up(struct daemon *d, struct peer *peer)
{
    peer_up(peer, clock_s());
    daemon_show(d);
}

void peers_late(void *arg)
{
    struct daemon *d = arg;
    err_t missing = generator_missing(&d->facts.peers, d->recipe->net.join_timeout_s);
    if (err_failed(missing) && !d->draining)
        daemon_failed(d, missing);
    else
        err_free(missing);
}

/* A learner that refuses us for good would only refuse us again. */
static bool refused(struct daemon *d, err_t why)
{
    if (err_code(why) != ERR_PRECONDITION || d->draining)
        return false;
    daemon_failed(d, svc_refused(why, "learner"));
    return true;
}

void peers_lease_down(void *arg, err_t why)
{
    struct daemon *d = arg;
    if (refused(d, why))
        return;
    if (err_code(why) == ERR_ABORTED && !d->draining)
        log_warning("superseded", "why=\"%s\" comes_again_in_ms=%" PRId64, err_message(why),
                    prompts_pause_ms(d->prompts));
    down(d, &d->facts.peers.learner, why);
}

void peers_lease_up(void *arg)
{
    struct daemon *d = arg;
    up(d, &d->facts.peers.learner);
}

void peers_rewarder_down(void *arg, err_t why)
{
    struct daemon *d = arg;
    if (err_code(why) == ERR_PRECONDITION && !d->draining &&
        !err_failed(d->failed)) { // others have to make its groups
        d->failed = svc_refused(why, "rewarder");
        daemon_give_back(d, true);
        return;
    }
    down(d, &d->facts.peers.rewarder, why);
}

void peers_rewarder_up(void *arg)
{
    struct daemon *d = arg;
    up(d, &d->facts.peers.rewarder);
}

void peers_weights_down(void *arg, err_t why)
{
    struct daemon *d = arg;
    if (refused(d, why))
        return;
    down(d, &d->facts.peers.weights, why);
}

void peers_weights_up(void *arg)
{
    struct daemon *d = arg;
    up(d, &d->facts.peers.weights);
}

void peers_evaluated_down(void *arg, err_t why)
{
    (void)arg;
    log_limited(LOG_INFO, 1, "stream of evaluated weights lost", "why=\"%s\"", err_message(why));
    err_free(why);
}
