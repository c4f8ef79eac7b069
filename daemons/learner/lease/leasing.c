#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/lease/lessees.h"
#include "learner/steer/breaker.h"
#include "learner/store/leases.h"
#include "learner/store/rounds.h"
#include "learner/store/terms.h"
#include "svc/cell.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/lease.h"
#include <inttypes.h>
#include <string.h>

/* Open streams. Each has at most two jobs for the storage thread: a message, its departure. */
enum { STREAMS_MAX = 4096 };
enum { JOINS = 64 }; // lines a minute: a ring's generators come together

/* A message on its way from the loop to the storage thread. */
struct arrival {
    struct leasing *leasing;
    struct rpc_call *call;
    struct lease_request request;
};

static struct metric granted =
    METRIC_COUNTER("rlhfd_leases_granted_total", "slots leased to generators");
static struct metric connected =
    METRIC_GAUGE("rlhfd_generators_connected", "generators with an open lease stream");
static struct metric *const rows[] = {&granted, &connected};

struct leasing *leasing_new(const struct leasing_options *options)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    struct leasing *leasing = mem_new(sizeof *leasing);
    leasing->options = *options;
    leasing->left_s = clock_s();
    absences_init(&leasing->absences, clock_ms());
    refusals_register();
    lessees_register();
    return leasing;
}

/* ---- storage thread: replies */

static void tell_over(struct leasing *leasing, struct lessee *lessee)
{
    if (lessee->told)
        return;
    lessee->told = true;
    lessee_send(lessee,
                &(struct lease_reply){.ended = leasing->ended, .draining = !leasing->ended});
}

/* Fills the reply's rows from the data and sends it. */
static err_t send_grants(struct leasing *leasing, struct lessee *lessee,
                         const struct grants *grants)
{
    SCOPED_MEM struct lease_grant *out = mem_array(grants->count, sizeof *out);
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM size_t *at = mem_array(grants->count, sizeof *at);
    for (size_t i = 0; i < grants->count; i++) {
        at[i] = text.len;
        TRY(mixture_row(leasing->options.data, grants->grant[i].epoch, grants->grant[i].prompt,
                        &text));
        bytes_u8(&text, 0);
    }
    for (size_t i = 0; i < grants->count; i++) {
        const struct grant *g = &grants->grant[i];
        out[i] = (struct lease_grant){.id = g->id,
                                      .lineage = g->lineage,
                                      .slot = g->slot,
                                      .attempt = g->attempt,
                                      .prompt = g->prompt,
                                      .epoch = g->epoch,
                                      .start_round = g->start_round,
                                      .version = g->version,
                                      .row = (char *)text.data + at[i],
                                      .deadline_ms = g->lease_ms};
        trace_parent(&g->id, "learner", out[i].traceparent);
        station_note(&g->id, &(struct station){.name = "leased", .number = g->attempt});
    }
    lessee_send(lessee, &(struct lease_reply){.grants = (uint32_t)grants->count, .grant = out});
    metric_add(&granted, (double)grants->count);
    return OK;
}

static err_t grant_to(struct leasing *leasing, struct lessee *lessee, struct store *store)
{
    SCOPED_VALUE(grants) grants = {0};
    lessee->waits_for = "new weights";
    if (lessee->lineage != store_lineage(store)) // it gets this lineage's weights first
        return OK;
    err_t failed = lessee_lease(leasing, lessee, store, &grants);
    if (err_code(failed) ==
        ERR_PRECONDITION) { // weights of another history: it waits for newer ones
        err_free(failed);
        return OK;
    }
    TRY(failed);
    if (grants.stop == LEASE_ENDED)
        leasing->closed = leasing->ended = true;
    lessee->waits_for = grants.stop == LEASE_ALL ? "" : lease_stop_name(grants.stop);
    if (!grants.count)
        return OK;
    return send_grants(leasing, lessee, &grants);
}

static err_t grant_evaluation(struct leasing *leasing, struct lessee *lessee)
{
    SCOPED_VALUE(lease_reply) reply = {0};
    TRY(evaluating_lease(leasing->options.evaluating, lessee->number, lessee->evaluation_lineage,
                         lessee->evaluation_version, lessee->evaluation_want, &reply));
    lessee->evaluation_want -= reply.grants;
    if (reply.grants)
        lessee_send(lessee, &reply);
    return OK;
}

/* Generators leave only after the last version is evaluated: long after the last lease. */
static bool is_over(const struct leasing *leasing)
{
    if (leasing->ended && leasing->options.stays)
        return false;
    return leasing->closed && (!leasing->ended || evaluating_over(leasing->options.evaluating));
}

/* After every change: expire, grant to those who wait, tell the others. */
static err_t settle(void *arg, struct store *store)
{
    struct leasing *leasing = arg;
    const struct live *live = leasing->options.live;
    const bool waits = leasing->options.held && cell_get(leasing->options.held) > 0;
    const bool holds = live_decoding_held(live), paused = live_generation_paused(live) || waits;
    store_hold(store, holds || waits);
    TRY(store_expire(store, clock_ms()));
    TRY(lessees_free_absent(leasing, store, holds));
    if (paused)
        evaluating_stand_still(leasing->options.evaluating);
    for (struct lessee *l = leasing->first; l; l = l->next) {
        lessee_hold(l, holds);
        bool may = !paused && !l->leaves;
        if (!leasing->closed && may && (l->want || l->want_ahead))
            TRY(grant_to(leasing, l, store));
        if (is_over(leasing))
            tell_over(leasing, l);
        else if (may && l->evaluation_want && !rpc_call_full(l->call))
            TRY(grant_evaluation(leasing, l));
    }
    lessees_tell_revoked(leasing, store);
    return OK;
}

/* ---- storage thread: what generators say */

static struct lessee *find(struct leasing *leasing, const struct rpc_call *call)
{
    for (struct lessee *l = leasing->first; l; l = l->next)
        if (l->call == call)
            return l;
    return NULL;
}

/* Takes a stream out, if it is (still) one. */
static void drop_lessee(struct leasing *leasing, const struct rpc_call *call)
{
    struct lessee **at = &leasing->first;
    while (*at && (*at)->call != call)
        at = &(*at)->next;
    if (!*at)
        return;
    struct lessee *gone = *at;
    *at = gone->next;
    evaluating_release(leasing->options.evaluating, gone->number);
    log_limited(LOG_INFO, JOINS, "generator left", "generator=%s", gone->generator);
    lessee_left(leasing, gone);
    metric_set(&connected, (double)--leasing->totals.generators);
    rpc_call_unref(gone->call);
    mem_free(gone->generator);
    mem_free(gone->forward);
    mem_free(gone);
}

/* Ends the older stream of a name: of a process before, or one that its process has lost. */
static void end_stream(struct leasing *leasing, struct lessee *old, const struct join *join,
                       struct rpc_call *by)
{
    SCOPED_MEM char *peer = rpc_call_peer(by);
    SCOPED_MEM char *was = rpc_call_peer(old->call);
    err_t why =
        err_new(ERR_UNAVAILABLE, "generator '%s' came again over a new stream", old->generator);
    if (old->term != join->term) {
        log_warning("generator superseded",
                    "generator=%s term=%" PRIu64 " peer=%s was_term=%" PRIu64
                    " was_peer=%s action=\"give each its own generator.name\"",
                    old->generator, join->term, peer, old->term, was);
        err_free(why);
        why = err_new(ERR_ABORTED,
                      "another process came as generator '%s' from %s: term %" PRIu64
                      " supersedes %" PRIu64 "; give each its own generator.name",
                      old->generator, peer, join->term, old->term);
    }
    rpc_call_finish(old->call, why);
    drop_lessee(leasing, old->call);
}

/* A generator's name is here once: its newest process, over the stream that came last. */
static void replace(struct leasing *leasing, const char *generator, const struct join *join,
                    struct rpc_call *by)
{
    for (struct lessee *l = leasing->first, *next; l; l = next) {
        next = l->next;
        if (strcmp(l->generator, generator) == 0)
            end_stream(leasing, l, join, by);
    }
}

/* Whether a stream may begin so. */
static err_t check_hello(const struct leasing *leasing, const struct lease_request *hello)
{
    if (!hello->generator || !hello->run || strcmp(hello->run, leasing->options.run) != 0)
        return err_new(ERR_PRECONDITION, "this learner trains run '%s', not '%s'",
                       leasing->options.run, hello->run ? hello->run : "");
    if (!hello->incarnation)
        return err_new(ERR_INVALID, "incarnation is 0; a random number is needed");
    SCOPED_MEM char *who = mem_printf("generator '%s'", hello->generator);
    return hello_check(leasing->options.hello, &hello->hello, who);
}

static err_t check_join(const struct lease_request *hello, const struct join *join)
{
    if (join->how == JOIN_SUPERSEDED)
        return err_new(ERR_ABORTED,
                       "another process came as generator '%s' since: it has term %" PRIu64
                       "; give each its own generator.name",
                       hello->generator, join->term);
    if (join->how == JOIN_FULL)
        return err_new(ERR_EXHAUSTED, "%d generators hold leases; no more names are taken",
                       TERMS_MAX);
    return OK;
}

static void append_lessee(struct leasing *leasing, struct lessee *lessee)
{
    lessee->number = ++leasing->streams;
    struct lessee **end = &leasing->first;
    while (*end)
        end = &(*end)->next;
    *end = lessee;
    metric_set(&connected, (double)++leasing->totals.generators);
}

/* Tells it what was taken from it while nobody could: work that is not leased to it any more.
 * Groups that are finished are among them; of those it takes no notice. */
static void revoke_unheld(struct lessee *lessee, struct store *store, const struct digest *known,
                          size_t count)
{
    struct store_holder holder = {lessee->generator, lessee->term};
    SCOPED_MEM struct digest *gone = mem_array(count, sizeof *gone);
    struct lease_reply reply = {.revoked = gone};
    for (size_t i = 0; i < count; i++)
        if (!store_holds(store, &holder, &known[i]))
            gone[reply.revokes++] = known[i];
    if (reply.revokes)
        lessee_send(lessee, &reply);
}

/* What it draws is trained all the same; only nothing of it can be compared bit for bit. */
static void note_forward(const struct leasing *leasing, const struct lessee *lessee)
{
    const char *ours = leasing->options.hello->forward;
    if (!ours || !*lessee->forward || strcmp(ours, lessee->forward) == 0)
        return;
    log_limited(LOG_WARNING, JOINS, "generator has other numerics",
                "generator=%s forward=\"%s\" learner=\"%s\" told_by=kl_mismatch", lessee->generator,
                lessee->forward, ours);
}

static err_t hello(struct leasing *leasing, struct arrival *arrival, struct store *store,
                   const struct join *join, struct lessee **ret)
{
    const struct lease_request *request = &arrival->request;
    struct lessee *lessee = mem_new(sizeof *lessee);
    lessee->call = rpc_call_ref(arrival->call);
    lessee->generator = mem_string(request->generator);
    lessee->forward = mem_string(request->hello.forward ? request->hello.forward : "");
    lessee->term = join->term;
    lessee_count_from(lessee, request);
    lessee->waits_for = "";
    /* It may not have heard of it over a stream that was lost. */
    lessee->leaves = lessee_was_sent_away(leasing, lessee);
    replace(leasing, lessee->generator, join, lessee->call);
    absences_end(&leasing->absences, lessee->generator);
    append_lessee(leasing, lessee);
    lessee_send(lessee,
                &(struct lease_reply){.term = join->term, .protocol = request->hello.protocol});
    if (lessee->leaves)
        lessee_send(lessee, &(struct lease_reply){.leave = true});
    struct store_holder holder = {lessee->generator, lessee->term};
    TRY(store_holder_gone(store, &holder, clock_ms()));
    SCOPED_MEM struct digest *known = mem_array(request->progresses, sizeof *known);
    for (uint32_t i = 0; i < request->progresses; i++)
        known[i] = request->progress[i].id;
    TRY(store_holds_only(store, &holder, known, request->progresses, clock_ms()));
    revoke_unheld(lessee, store, known, request->progresses);
    log_limited(LOG_INFO, JOINS, "generator joined", "generator=%s term=%" PRIu64,
                lessee->generator, lessee->term);
    note_forward(leasing, lessee);
    refusals_older("generator", lessee->generator, &request->hello);
    *ret = lessee;
    return OK;
}

/* *ret NULL: it is refused, and the stream ends. */
static err_t begin(struct leasing *leasing, struct arrival *arrival, struct store *store,
                   struct lessee **ret)
{
    const struct lease_request *request = &arrival->request;
    struct join join = {0};
    if (rpc_call_is_over(arrival->call)) // what was on its way when the stream was ended
        return OK;
    err_t refused = check_hello(leasing, request);
    if (!err_failed(refused))
        refused = rpc_call_claims(arrival->call, request->run, request->generator);
    if (!err_failed(refused)) {
        TRY(store_join(store, request->generator, request->incarnation, clock_ms(), &join));
        refused = check_join(request, &join);
    }
    if (!err_failed(refused))
        return hello(leasing, arrival, store, &join, ret);
    SCOPED_MEM char *peer = rpc_call_peer(arrival->call);
    refusals_note(&leasing->refusals, "generator", request->generator, peer, refused);
    lessee_refused(leasing, request->generator, err_message(refused));
    rpc_call_finish(arrival->call, refused);
    return OK;
}

static err_t take_request(struct leasing *leasing, struct arrival *arrival, struct store *store)
{
    const struct lease_request *request = &arrival->request;
    struct lessee *lessee = find(leasing, arrival->call);
    if (!lessee)
        TRY(begin(leasing, arrival, store, &lessee));
    if (!lessee)
        return OK;
    lessee->heard_ms = clock_ms();
    lessee->lineage = request->lineage;
    lessee->version = request->version;
    lessee->want = request->want;
    lessee->want_ahead = request->want_ahead;
    lessee->holds = request->held;
    lessee->asked = false;
    lessee->evaluation_lineage = request->evaluation_lineage;
    lessee->evaluation_version = request->evaluation_version;
    lessee->evaluation_want = request->evaluation_want;
    lessee_count(leasing, lessee, request);
    struct store_holder holder = {lessee->generator, lessee->term};
    if (request->returns)
        TRY(store_give_back(store, &holder, request->returned, request->returns, clock_ms()));
    if (request->unusables)
        breaker_told(leasing->options.breaker, REASON_FILTERED, lessee->generator,
                     request->unusable_why ? request->unusable_why : "its row makes no prompt");
    if (request->unusables)
        TRY(store_filter(store, &holder, request->unusable, request->unusables, clock_ms()));
    return evaluating_fail(leasing->options.evaluating, request->evaluation_unusable,
                           request->evaluation_unusables);
}

static err_t run_arrival(void *arg, struct store *store)
{
    struct arrival *arrival = arg;
    err_t failed = take_request(arrival->leasing, arrival, store);
    lease_request_done(&arrival->request);
    rpc_call_resume(arrival->call);
    rpc_call_unref(arrival->call);
    mem_free(arrival);
    return failed;
}

static void departed(void *arg)
{
    struct leasing *leasing = arg;
    leasing->open--;
}

/* A closed stream's slots stay leased for a while (absence.h), or until the next hello. */
static err_t run_departure(void *arg, struct store *store)
{
    struct arrival *arrival = arg;
    const struct lessee *gone = find(arrival->leasing, arrival->call);
    if (gone)
        lessee_absent(arrival->leasing, gone, store);
    drop_lessee(arrival->leasing, arrival->call);
    rpc_call_unref(arrival->call);
    loop_post(arrival->leasing->options.loop, departed, arrival->leasing);
    mem_free(arrival);
    return OK;
}

/* ---- loop thread */

static struct arrival *arrival_new(struct leasing *leasing, struct rpc_call *call)
{
    struct arrival *arrival = mem_new(sizeof *arrival);
    arrival->leasing = leasing;
    arrival->call = rpc_call_ref(call);
    return arrival;
}

/* A stream counts until the storage thread has dropped it: short streams are bounded, too. */
static void on_open(struct rpc_call *call, void *user)
{
    struct leasing *leasing = user;
    if (leasing->open == STREAMS_MAX) {
        rpc_call_finish(call, err_new(ERR_EXHAUSTED,
                                      "Prompts.Lease: %d streams are open; no more are taken",
                                      STREAMS_MAX));
        return;
    }
    leasing->open++;
    rpc_call_set_context(call, leasing);
}

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct lease_request request = {0};
    err_t failed =
        lease_request_decode(rpc_message_data(message), rpc_message_len(message), &request);
    if (err_failed(failed)) {
        rpc_call_finish(call, failed);
        return;
    }
    struct arrival *arrival = arrival_new(user, call);
    arrival->request = request;
    /* One message of a stream at a time: a flood fills its own connection, not our mailbox. */
    rpc_call_pause(call);
    storage_post(arrival->leasing->options.storage, run_arrival, arrival);
}

static void on_half_close(struct rpc_call *call, void *user)
{
    (void)user;
    rpc_call_finish(call, OK);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    err_free(why);
    if (!rpc_call_context(call))
        return; // it was refused
    struct arrival *arrival = arrival_new(user, call);
    storage_post(arrival->leasing->options.storage, run_departure, arrival);
}

const struct rpc_method leasing_methods[] = {
    {"/rlhfd.v1.Prompts/Lease",
     NULL,
     NULL,
     RPC_BIDI,
     CALLER_GENERATOR,
     {.open = on_open, .message = on_message, .half_close = on_half_close, .close = on_close},
     RPC_HELLO},
    {0},
};

struct rpc_service leasing_service(struct leasing *leasing)
{
    storage_on_change(leasing->options.storage, settle, NULL, leasing);
    return (struct rpc_service){leasing_methods, leasing};
}

struct leasing_totals leasing_totals(const struct leasing *leasing)
{
    return leasing->totals;
}

void leasing_close(struct leasing *leasing, bool ended)
{
    leasing->closed = true;
    leasing->ended = ended || (leasing->ended && !leasing->options.stays &&
                               evaluating_over(leasing->options.evaluating));
}

bool leasing_is_closed(const struct leasing *leasing)
{
    return leasing->closed;
}

void leasing_free(struct leasing *leasing)
{
    if (!leasing)
        return;
    lessees_forget(leasing);
    mem_free(leasing);
}
