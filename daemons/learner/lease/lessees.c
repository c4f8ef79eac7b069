#include "learner/lease/lessees.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/steer/learner_hold.h"
#include "learner/store/rounds.h"
#include "svc/peer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* SLACK_S: a message may lie on its way so long after the one before. TOKENS_PER_S_MAX: no
 * generator is as fast. */
enum { RATE_S = 2, SLACK_S = 10, TOKENS_PER_S_MAX = 100000000 };

void lessee_send(struct lessee *lessee, const struct lease_reply *reply)
{
    SCOPED_VALUE(bytes) out = {0};
    lease_reply_encode(reply, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(
        lessee->call,
        message); // a stream that is gone frees its leases by its next hello or deadline
    rpc_message_free(message);
}

void lessee_hold(struct lessee *lessee, bool holds)
{
    if (lessee->holds == holds || lessee->asked)
        return;
    lessee->asked = true;
    lessee_send(lessee, &(struct lease_reply){.hold = holds, .go_on = !holds});
}

void lessee_count_from(struct lessee *lessee, const struct lease_request *hello)
{
    lessee->idle_s = lessee->first_idle_s = hello->idle_s;
    lessee->busy_s = lessee->first_busy_s = hello->busy_s;
    lessee->tokens = lessee->first_tokens = lessee->rate_tokens = (double)hello->tokens;
    lessee->since_s = lessee->rate_s = clock_s();
}

/* How much a counter has grown, which is at most `most` since the hello; what is more is not
 * believed. */
static double grown(double said, double first, double most, double *counted)
{
    const double now = fmin(said, first + most), more = fmax(0, now - *counted);
    *counted += more;
    return more;
}

void lessee_count(struct leasing *leasing, struct lessee *lessee,
                  const struct lease_request *request)
{
    struct leasing_totals *t = &leasing->totals;
    double now = clock_s(), passed = now - lessee->rate_s, most = now - lessee->since_s + SLACK_S;
    t->idle_s += grown(request->idle_s, lessee->first_idle_s, most, &lessee->idle_s);
    t->busy_s += grown(request->busy_s, lessee->first_busy_s, most, &lessee->busy_s);
    t->tokens += grown((double)request->tokens, lessee->first_tokens, most * TOKENS_PER_S_MAX,
                       &lessee->tokens);
    if (passed < RATE_S)
        return;
    lessee->tokens_per_s = (lessee->tokens - lessee->rate_tokens) / passed;
    lessee->rate_s = now;
    lessee->rate_tokens = lessee->tokens;
}

/* Those sent away: one entry of each name, its newest. */
static struct sent_away *sent_away(struct leasing *leasing, const char *generator)
{
    struct sent_away *found = leasing->away;
    while (found && strcmp(found->generator, generator) != 0)
        found = found->next;
    return found;
}

bool lessee_was_sent_away(struct leasing *leasing, const struct lessee *lessee)
{
    const struct sent_away *away = sent_away(leasing, lessee->generator);
    return away && away->term == lessee->term;
}

static void send_away(struct leasing *leasing, struct lessee *lessee)
{
    struct sent_away *away = sent_away(leasing, lessee->generator);
    if (!away) {
        away = mem_new(sizeof *away);
        away->generator = mem_string(lessee->generator);
        away->next = leasing->away;
        leasing->away = away;
    }
    away->term = lessee->term;
    lessee->leaves = true;
    log_info("generator sent away", "generator=%s", lessee->generator);
    lessee_send(lessee, &(struct lease_reply){.leave = true});
}

void lessees_forget(struct leasing *leasing)
{
    for (struct sent_away *away = leasing->away, *next; away; away = next) {
        next = away->next;
        mem_free(away->generator);
        mem_free(away);
    }
    leasing->away = NULL;
}

void leasing_workers(const struct leasing *leasing, struct store *store,
                     void (*fn)(void *arg, const struct leasing_worker *worker), void *arg)
{
    for (const struct lessee *l = leasing->first; l; l = l->next) {
        SCOPED_MEM char *peer = rpc_call_peer(l->call);
        uint64_t last = store_last_version(store);
        struct store_holder holder = {l->generator, l->term};
        fn(arg,
           &(struct leasing_worker){.name = l->generator,
                                    .peer = peer,
                                    .forward = l->forward,
                                    .term = l->term,
                                    .version = l->version,
                                    .versions_behind = last > l->version ? last - l->version : 0,
                                    .lineage = l->lineage,
                                    .leased = (uint32_t)store_leased(store, &holder),
                                    .wanted = l->want,
                                    .draining = l->leaves,
                                    .holds = l->holds,
                                    .tokens = l->tokens,
                                    .tokens_per_s = l->tokens_per_s,
                                    .busy_s = l->busy_s,
                                    .idle_s = l->idle_s,
                                    .connected_s = clock_s() - l->since_s,
                                    .waits_for = l->want ? l->waits_for : ""});
    }
}

void lessee_left(struct leasing *leasing, const struct lessee *lessee)
{
    SCOPED_MEM char *peer = rpc_call_peer(lessee->call);
    leasing->left_s = clock_s();
    snprintf(leasing->left, sizeof leasing->left, "%.30s (%s)", lessee->generator, peer);
}

void lessee_refused(struct leasing *leasing, const char *generator, const char *why)
{
    snprintf(leasing->refused, sizeof leasing->refused, "%s", generator ? generator : "?");
    snprintf(leasing->refused_why, sizeof leasing->refused_why, "%s", why);
    leasing->refused_s = clock_s();
}

void leasing_facts(const struct leasing *leasing, struct hold_facts *facts)
{
    const double now_s = clock_s();
    struct hold_peers *peers = &facts->generators;
    peers->were = leasing->streams > 0;
    peers->gone_s = now_s - leasing->left_s;
    snprintf(peers->last, sizeof peers->last, "%s", leasing->left);
    if (*leasing->refused && now_s - leasing->refused_s < PEER_CALM_S) {
        snprintf(peers->refused, sizeof peers->refused, "%s", leasing->refused);
        snprintf(peers->refused_why, sizeof peers->refused_why, "%s", leasing->refused_why);
    }
    for (const struct lessee *l = leasing->first; l; l = l->next) {
        peers->connected += !l->leaves;
        if (l->leaves || facts->has_worker)
            continue;
        facts->has_worker = true;
        facts->worker.version = l->version;
        snprintf(facts->worker.name, sizeof facts->worker.name, "%s", l->generator);
        snprintf(facts->worker.waits_for, sizeof facts->worker.waits_for, "%s",
                 l->want ? l->waits_for : "");
    }
}

err_t leasing_drain(struct leasing *leasing, struct store *store, const char *generator,
                    bool commit, bool *ret_serves, uint32_t *ret_leased)
{
    struct lessee *found = leasing->first;
    while (found && strcmp(found->generator, generator) != 0)
        found = found->next;
    if (!found)
        return err_reason(
            err_field(err_new(ERR_NOT_FOUND, "no generator '%.100s' is connected", generator),
                      "name", "a generator of ListWorkers"),
            "UNKNOWN_WORKER");
    struct store_holder holder = {found->generator, found->term};
    *ret_serves = !found->leaves;
    *ret_leased = (uint32_t)store_leased(store, &holder);
    if (commit && !found->leaves)
        send_away(leasing, found);
    return OK;
}
