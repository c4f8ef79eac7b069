#include "learner/lease/lessees.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/replay/store_figures.h"
#include "learner/steer/learner_hold.h"
#include "learner/store/lag.h"
#include "learner/store/rounds.h"
#include "svc/metrics.h"
#include "svc/peer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* SLACK_S: a message may lie on its way so long after the one before. TOKENS_PER_S_MAX: no
 * generator is as fast. */
enum { RATE_S = 2, SLACK_S = 10, TOKENS_PER_S_MAX = 100000000 };
enum { LOSSES = 64 }; // lines a minute: a rack may go at once
/* Generators say something four times a second. A connection that is cut silently is closed after
 * 10 to 30 s, each at a time of its own. */
enum { SILENT_MS = 5000 };

#define REVOKED(why)                                                                               \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_leases_revoked_total",                             \
                    "leases taken back, and why", "reason=\"" why "\"")
static struct metric revoked_leases[REVOKED_WHYS] = {
    [REVOKED_EXPIRED] = REVOKED("expired"),     [REVOKED_STALE] = REVOKED("stale"),
    [REVOKED_STRAGGLER] = REVOKED("straggler"), [REVOKED_ENDED] = REVOKED("ended"),
    [REVOKED_LINEAGE] = REVOKED("lineage"),     [REVOKED_LOST] = REVOKED("lost"),
    [REVOKED_DRAINED] = REVOKED("drained"),     [REVOKED_VOID] = REVOKED("void")};

static struct metric leased_ahead = METRIC_COUNTER(
    "rlhfd_leases_ahead_total", "slots leased for a version to come, of those granted");

void lessees_register(void)
{
    static struct metric *rows[REVOKED_WHYS + 1] = {&leased_ahead};
    for (size_t i = 0; i < REVOKED_WHYS; i++)
        rows[1 + i] = &revoked_leases[i];
    metrics_register(rows, REVOKED_WHYS + 1);
}

/* Over a stream that is gone nothing arrives: its leases are freed by the next hello, or after a
 * grace. */
void lessee_send(struct lessee *lessee, const struct lease_reply *reply)
{
    SCOPED_VALUE(bytes) out = {0};
    lease_reply_encode(reply, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(lessee->call, message);
    rpc_message_free(message);
}

void lessee_hold(struct lessee *lessee, bool holds)
{
    if (lessee->holds == holds || lessee->asked)
        return;
    lessee->asked = true;
    lessee_send(lessee, &(struct lease_reply){.hold = holds, .go_on = !holds});
}

/* How many slots a reply may grant: a stream that is full takes none now. */
static size_t reply_room(const struct leasing *leasing, const struct lessee *lessee)
{
    const size_t row_bytes = mixture_longest(leasing->options.data);
    const size_t most = LEASE_ROWS_BYTES / (row_bytes ? row_bytes : 1);
    if (rpc_call_full(lessee->call))
        return 0;
    return most < LEASE_GRANTS_MAX ? most : LEASE_GRANTS_MAX;
}

static size_t least(size_t want, size_t room)
{
    return want < room ? want : room;
}

err_t lessee_lease(const struct leasing *leasing, struct lessee *lessee, struct store *store,
                   struct grants *ret)
{
    const struct store_holder holder = {lessee->generator, lessee->term};
    const int64_t now_ms = clock_ms();
    const size_t room = reply_room(leasing, lessee);
    const size_t want = least(lessee->want, room);
    if (want) // one that has all it wants asks neither pacing nor the disk
        TRY(store_lease(store, &holder, lessee->version, want, now_ms, ret));
    const size_t now = ret->count;
    lessee->want -= (uint32_t)now;
    TRY(store_lease_ahead(store, &holder, lessee->version, leasing->totals.generators,
                          least(lessee->want_ahead, room - now), now_ms, ret));
    lessee->want_ahead -= (uint32_t)(ret->count - now);
    for (size_t i = 0; i < ret->count; i++)
        store_figures_lag(LAG_LEASED, lag_of(store_next_round(store), ret->grant[i].start_round));
    metric_add(&leased_ahead, (double)(ret->count - now));
    return OK;
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

static void note_away(struct leasing *leasing, const struct store_holder *holder)
{
    struct sent_away *away = sent_away(leasing, holder->generator);
    if (!away) {
        away = mem_new(sizeof *away);
        away->generator = mem_string(holder->generator);
        away->next = leasing->away;
        leasing->away = away;
    }
    away->term = holder->term;
    log_info("generator sent away", "generator=%s", holder->generator);
}

static void send_away(struct leasing *leasing, struct lessee *lessee)
{
    note_away(leasing, &(struct store_holder){lessee->generator, lessee->term});
    lessee->leaves = true;
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
    absences_done(&leasing->absences);
}

/* ---- those that have gone with leases */

void lessee_absent(struct leasing *leasing, const struct lessee *lessee, struct store *store)
{
    const struct store_holder holder = {lessee->generator, lessee->term};
    SCOPED_MEM char *peer = rpc_call_peer(lessee->call);
    if (store_leased(store, &holder))
        absences_add(&leasing->absences, lessee->generator, lessee->term, peer, clock_ms())->away =
            lessee->leaves;
}

/* The open stream of this very process; NULL: it has none. */
static struct lessee *lessee_of(const struct leasing *leasing, const struct store_holder *holder)
{
    struct lessee *found = leasing->first;
    while (found &&
           (found->term != holder->term || strcmp(found->generator, holder->generator) != 0))
        found = found->next;
    return found;
}

/* A holder that has not come since the learner's start is absent since then. */
static void note_holder(void *arg, const struct store_holder *holder)
{
    struct leasing *leasing = arg;
    if (!lessee_of(leasing, holder))
        absences_add(&leasing->absences, holder->generator, holder->term, "",
                     leasing->absences.began_ms);
}

/* On hold nobody decodes, and when leasing is closed nobody is granted anything. One that is silent
 * may have been cut off together with those whose streams are closed. */
static bool has_company(const struct leasing *leasing, bool held)
{
    const int64_t now_ms = clock_ms();
    const struct lessee *l = leasing->first;
    while (l && (l->leaves || now_ms - l->heard_ms > SILENT_MS))
        l = l->next;
    return l && !held && !leasing->closed;
}

static err_t free_leases(struct leasing *leasing, struct store *store, struct absence *absence,
                         enum revoked_why why)
{
    size_t count;
    const struct store_holder holder = {absence->generator, absence->term};
    TRY(store_free_leases(store, &holder, why, clock_ms(), &count));
    if (count)
        log_limited(LOG_WARNING, LOSSES, "leases freed",
                    "generator=%s peer=%s leases=%zu gone_s=%.1f why=%s", absence->generator,
                    absence->peer, count, (double)(clock_ms() - absence->since_ms) / 1e3,
                    revoked_why_name(why));
    absences_remove(&leasing->absences, absence);
    return OK;
}

err_t lessees_free_absent(struct leasing *leasing, struct store *store, bool held)
{
    struct absences *absences = &leasing->absences;
    const int64_t now_ms = clock_ms(),
                  grace_ms = live_recipe(leasing->options.live)->learner.lease_grace_ms;
    if (!leasing->knows_absent)
        store_holders(store, note_holder, leasing);
    leasing->knows_absent = true;
    absences_company(absences, has_company(leasing, held), now_ms);
    for (struct absence *over; (over = absences_over(absences, grace_ms, now_ms));)
        TRY(free_leases(leasing, store, over, over->away ? REVOKED_DRAINED : REVOKED_LOST));
    return OK;
}

void lessees_tell_revoked(struct leasing *leasing, struct store *store)
{
    struct revoked *revoked;
    size_t count;
    store_revoked(store, &revoked, &count);
    for (size_t i = 0; i < count; i++) {
        struct lessee *lessee =
            lessee_of(leasing, &(struct store_holder){revoked[i].generator, revoked[i].term});
        if (lessee)
            lessee_send(lessee, &(struct lease_reply){.revokes = 1, .revoked = &revoked[i].id});
        log_limited(LOG_INFO, 1, "lease revoked", "generator=%s why=%s", revoked[i].generator,
                    revoked_why_name(revoked[i].why));
        metric_add(&revoked_leases[revoked[i].why], 1);
    }
    revoked_free(revoked, count);
}

/* ---- the rest */

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
    for (size_t i = 0; i < leasing->absences.count; i++) {
        const struct absence *a = &leasing->absences.at[i];
        const struct store_holder holder = {a->generator, a->term};
        const size_t leased = store_leased(store, &holder);
        if (leased)
            fn(arg, &(struct leasing_worker){.name = a->generator,
                                             .peer = a->peer,
                                             .forward = "",
                                             .term = a->term,
                                             .leased = (uint32_t)leased,
                                             .lost = true,
                                             .lost_s = (double)(clock_ms() - a->since_ms) / 1e3,
                                             .waits_for = ""});
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
    const struct absence *lost = absences_find(&leasing->absences, facts->lease_holder);
    if (facts->has_lease && lost)
        snprintf(facts->lease_holder, sizeof facts->lease_holder, "%.30s (gone for %.0f s)",
                 lost->generator, (double)(clock_ms() - lost->since_ms) / 1e3);
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

static struct lessee *serving(const struct leasing *leasing, const char *generator)
{
    struct lessee *found = leasing->first;
    while (found && strcmp(found->generator, generator) != 0)
        found = found->next;
    return found;
}

/* Nobody decodes its groups: the others get them now. */
static err_t drain_lost(struct leasing *leasing, struct store *store, struct absence *lost)
{
    note_away(leasing, &(struct store_holder){lost->generator, lost->term});
    return free_leases(leasing, store, lost, REVOKED_DRAINED);
}

err_t leasing_drain(struct leasing *leasing, struct store *store, const char *generator,
                    bool commit, struct leasing_drained *ret)
{
    struct lessee *found = serving(leasing, generator);
    struct absence *lost = found ? NULL : absences_find(&leasing->absences, generator);
    struct store_holder holder = {generator, found ? found->term : lost ? lost->term : 0};
    const uint32_t leased = (uint32_t)store_leased(store, &holder);
    if (!found && !leased)
        return err_reason(
            err_field(err_new(ERR_NOT_FOUND, "no generator '%.100s' is connected or holds leases",
                              generator),
                      "name", "a generator of ListWorkers"),
            "UNKNOWN_WORKER");
    const char *state = !found ? "LOST" : found->leaves ? "DRAINING" : "SERVING";
    if (commit && lost)
        TRY(drain_lost(leasing, store, lost));
    else if (commit && !found->leaves)
        send_away(leasing, found);
    *ret = (struct leasing_drained){state, leased};
    return OK;
}
