#include "admin/admin.h"
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "base/version.h"
#include "svc/loop.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "svc/stations.h"
#include <string.h>

enum { WATCH_DEFAULT_MS = 1000, WATCH_MIN_MS = 100, WATCH_MAX_MS = 60000, WATCHES_MAX = 64 };

/* One status is made for all who have asked since the one before was begun, so none is older than
 * its request. */
enum { WAITING_MAX = 1024, PAUSE_MS = 20 };

struct rpc_admin {
    struct admin_options options;
    const struct held *held; // NULL: none
    size_t watches;
    struct asker *first, **end; // for the next status
    size_t waiting;
    struct rpc_admin_asking *asking; // NULL: no status is being made
    struct loop_timer *pause;        // between the beginnings of two
    int64_t begun_ms;
};

/* A WatchStatus call: its context. It outlives the call by at most one answer. */
struct watch {
    struct rpc_admin *admin;
    struct rpc_call *call; // a reference
    struct loop_timer *timer;
    bool asking, closed;
};

struct asker {
    struct asker *next;
    struct rpc_call *call; // a reference
    struct watch *watch;   // NULL: GetStatus
};

struct rpc_admin_asking {
    struct admin_options options;
    struct held_now held;
    struct rpc_admin *admin; // NULL: it is gone
    struct asker *first;
};

static void begin(void *arg);

struct rpc_admin *rpc_admin_new(const struct admin_options *options, const struct held *held)
{
    struct rpc_admin *admin = mem_new(sizeof *admin);
    admin->options = *options;
    admin->held = held;
    admin->end = &admin->first;
    admin->pause = loop_timer_new(options->loop, begin, admin);
    admin->begun_ms = clock_ms() - PAUSE_MS;
    return admin;
}

struct numbers {
    size_t count;
    Rlhfd__Admin__V1__Number **at;
};

static void add_number(void *arg, const char *name, double value)
{
    struct numbers *numbers = arg;
    Rlhfd__Admin__V1__Number *number = mem_new(sizeof *number);
    rlhfd__admin__v1__number__init(number);
    number->name = mem_string(name);
    number->value = value;
    numbers->at = mem_grow(numbers->at, numbers->count + 1, sizeof(Rlhfd__Admin__V1__Number *));
    numbers->at[numbers->count++] = number;
}

static void numbers_done(struct numbers *numbers)
{
    for (size_t i = 0; i < numbers->count; i++) {
        mem_free(numbers->at[i]->name);
        mem_free(numbers->at[i]);
    }
    mem_free(numbers->at);
}

/* Points into details. */
static void fill_details(const struct admin_details *details, Rlhfd__Admin__V1__Text *text,
                         Rlhfd__Admin__V1__Text **texts, Rlhfd__Admin__V1__LagCount *lag,
                         Rlhfd__Admin__V1__LagCount **lags)
{
    for (size_t i = 0; i < details->texts; i++) {
        rlhfd__admin__v1__text__init(&text[i]);
        text[i].name = (char *)details->text[i].name;
        text[i].value = (char *)details->text[i].value;
        texts[i] = &text[i];
    }
    for (size_t i = 0; i < details->lags; i++) {
        const struct admin_lag *from = &details->lag[i];
        rlhfd__admin__v1__lag_count__init(&lag[i]);
        lag[i].lag = from->lag;
        lag[i].trained = from->trained;
        lag[i].stored = from->stored;
        lag[i].leased = from->leased;
        lags[i] = &lag[i];
    }
}

/* Points into now. */
static void fill_held(const struct held_now *now, Rlhfd__Admin__V1__HeldUp *ret)
{
    rlhfd__admin__v1__held_up__init(ret);
    ret->cause = (char *)hold_word(now->hold.cause);
    ret->text = (char *)now->hold.text;
    ret->ready = hold_ready(now->hold.cause);
    ret->seconds = now->seconds;
}

static struct rpc_message *make_status(const struct rpc_admin_asking *asking,
                                       const struct admin_details *details)
{
    const struct admin_options *options = &asking->options;
    SCOPED_VALUE(numbers) numbers = {0};
    SCOPED_MEM Rlhfd__Admin__V1__Text *text = mem_array(details->texts, sizeof *text);
    SCOPED_MEM Rlhfd__Admin__V1__Text **texts = mem_array(details->texts, sizeof *texts);
    SCOPED_MEM Rlhfd__Admin__V1__LagCount *lag = mem_array(details->lags, sizeof *lag);
    SCOPED_MEM Rlhfd__Admin__V1__LagCount **lags = mem_array(details->lags, sizeof *lags);
    metrics_each(add_number, &numbers);
    fill_details(details, text, texts, lag, lags);
    Rlhfd__Admin__V1__Status status = RLHFD__ADMIN__V1__STATUS__INIT;
    status.daemon = (char *)options->daemon;
    status.run = (char *)options->run;
    status.build = (char *)version_text;
    SCOPED_VALUE(bytes) security = {0};
    security_text(&options->security, &security);
    status.security = (char *)security.data;
    status.state = (char *)options->state(options->arg);
    status.n_numbers = numbers.count;
    status.numbers = numbers.at;
    status.n_texts = details->texts;
    status.texts = texts;
    status.n_lags = details->lags;
    status.lags = lags;
    Rlhfd__Admin__V1__HeldUp held;
    fill_held(&asking->held, &held);
    if (asking->held.hold.cause != HOLD_NONE)
        status.held_up = &held;
    return rpc_message_pack(&status.base);
}

static void watch_free(struct watch *watch)
{
    loop_timer_free(watch->timer);
    rpc_call_unref(watch->call);
    mem_free(watch);
}

/* status NULL: there will be none. */
static void answer(struct asker *asker, struct rpc_message *status)
{
    struct watch *watch = asker->watch;
    if (status && !rpc_call_is_over(asker->call))
        rpc_call_send_message(asker->call, status);
    if (!watch)
        rpc_call_finish(asker->call, OK);
    else if (watch->closed)
        watch_free(watch);
    else
        watch->asking = false;
    rpc_call_unref(asker->call);
    mem_free(asker);
}

static void answer_all(struct asker *asker, struct rpc_message *status)
{
    for (struct asker *next; asker; asker = next) {
        next = asker->next;
        answer(asker, status);
    }
}

/* ---- one status after the other */

static void begin(void *arg)
{
    struct rpc_admin *admin = arg;
    struct rpc_admin_asking *asking = mem_new(sizeof *asking);
    *asking =
        (struct rpc_admin_asking){.options = admin->options, .admin = admin, .first = admin->first};
    if (admin->held)
        asking->held = *held_now(admin->held);
    admin->first = NULL;
    admin->end = &admin->first;
    admin->waiting = 0;
    admin->asking = asking;
    admin->begun_ms = clock_ms();
    if (admin->options.collect)
        admin->options.collect(admin->options.arg, asking);
    else
        rpc_admin_answer(asking, &(struct admin_details){0});
}

/* Without a pause a flood of requests would have the thread that is asked make nothing but
 * statuses. */
static void begin_soon(struct rpc_admin *admin)
{
    if (!admin->first || admin->asking || loop_timer_running(admin->pause))
        return;
    int64_t left_ms = admin->begun_ms + PAUSE_MS - clock_ms();
    if (left_ms > 0)
        loop_timer_start(admin->pause, left_ms, 0);
    else
        begin(admin);
}

void rpc_admin_answer(struct rpc_admin_asking *asking, const struct admin_details *details)
{
    struct rpc_admin *admin = asking->admin;
    SCOPED(rpc_message) status = make_status(asking, details);
    answer_all(asking->first, status);
    mem_free(asking);
    if (!admin)
        return;
    admin->asking = NULL;
    begin_soon(admin);
}

static void ask(struct rpc_admin *admin, struct rpc_call *call, struct watch *watch)
{
    struct asker *asker = mem_new(sizeof *asker);
    *asker = (struct asker){.call = rpc_call_ref(call), .watch = watch};
    *admin->end = asker;
    admin->end = &asker->next;
    admin->waiting++;
    begin_soon(admin);
}

static void get_status(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb;
    struct rpc_admin *admin = user;
    if (admin->waiting >= WAITING_MAX)
        rpc_call_finish(
            call, err_new(ERR_EXHAUSTED, "GetStatus: %d requests wait: try again", WAITING_MAX));
    else
        ask(admin, call, NULL);
}

/* A client that does not read misses what it does not read. */
static void tick(void *arg)
{
    struct watch *watch = arg;
    if (watch->asking || rpc_call_full(watch->call))
        return;
    watch->asking = true;
    ask(watch->admin, watch->call, watch);
}

static void watch_status(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    (void)message;
    struct rpc_admin *admin = user;
    uint32_t given = ((const Rlhfd__Admin__V1__WatchStatusRequest *)pb)->interval_ms;
    uint32_t interval = given ? given : WATCH_DEFAULT_MS;
    if (interval < WATCH_MIN_MS || interval > WATCH_MAX_MS) {
        rpc_call_finish(
            call,
            err_field(err_new(ERR_INVALID, "interval_ms: %u; allowed: 0, or 100 to 60000", given),
                      "interval_ms", "0, or 100 to 60000"));
        return;
    }
    if (rpc_call_context(call))
        return; // it has said already
    if (admin->watches >= WATCHES_MAX) {
        rpc_call_finish(call, err_new(ERR_EXHAUSTED, "%d watch already", WATCHES_MAX));
        return;
    }
    struct watch *watch = mem_new(sizeof *watch);
    *watch = (struct watch){.admin = admin,
                            .call = rpc_call_ref(call),
                            .timer = loop_timer_new(admin->options.loop, tick, watch)};
    admin->watches++;
    rpc_call_set_context(call, watch);
    loop_timer_start(watch->timer, interval, interval);
    tick(watch);
}

static void on_half_close_watch(struct rpc_call *call, void *user)
{
    (void)call, (void)user; // it goes on
}

static void on_close_watch(struct rpc_call *call, err_t why, void *user)
{
    (void)user;
    struct watch *watch = rpc_call_context(call);
    err_free(why);
    if (!watch)
        return;
    watch->admin->watches--;
    watch->closed = true;
    loop_timer_stop(watch->timer);
    if (!watch->asking)
        watch_free(watch);
}

static void drain(struct rpc_call *call, struct rpc_message *message,
                  const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb;
    struct rpc_admin *admin = user;
    Rlhfd__Admin__V1__DrainReply reply = RLHFD__ADMIN__V1__DRAIN_REPLY__INIT;
    rpc_call_reply(call, &reply.base);
    if (rpc_call_identity(call)) {
        char who[IDENTITY_TEXT];
        identity_print(rpc_call_identity(call), who);
        log_info("drain asked for", "by=\"%s\"", who);
    }
    admin->options.drain(admin->options.arg);
}

/* Points into from. */
static void fill_station(const struct station *from, Rlhfd__Admin__V1__Station *ret)
{
    rlhfd__admin__v1__station__init(ret);
    ret->name = (char *)from->name;
    if (from->detail)
        ret->detail = (char *)from->detail;
    ret->number = from->number;
    ret->time_s = from->time_s;
    ret->seconds = from->seconds;
}

static void trace_group(struct rpc_call *call, struct rpc_message *message,
                        const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)user;
    const ProtobufCBinaryData *id = &((const Rlhfd__Admin__V1__TraceGroupRequest *)pb)->id;
    struct digest group;
    struct stations way;
    if (id->len != sizeof group.byte) {
        rpc_call_finish(call,
                        err_field(err_new(ERR_INVALID, "id has %zu bytes; 16 are allowed", id->len),
                                  "id", "16 bytes"));
        return;
    }
    memcpy(group.byte, id->data, sizeof group.byte);
    if (!stations_find(&group, &way)) {
        rpc_call_finish(call, err_new(ERR_NOT_FOUND, "not among the latest groups here"));
        return;
    }
    Rlhfd__Admin__V1__Station station[STATIONS_MAX], *stations[STATIONS_MAX];
    Rlhfd__Admin__V1__GroupTrace reply = RLHFD__ADMIN__V1__GROUP_TRACE__INIT;
    for (uint32_t i = 0; i < way.count; i++) {
        fill_station(&way.at[i], &station[i]);
        stations[i] = &station[i];
    }
    reply.traceparent = way.parent;
    reply.n_stations = way.count;
    reply.stations = stations;
    rpc_call_reply(call, &reply.base);
}

static const struct rpc_method methods[] = {
    {"/rlhfd.admin.v1.Admin/GetStatus",
     &rlhfd__admin__v1__get_status_request__descriptor,
     &rlhfd__admin__v1__status__descriptor,
     RPC_UNARY,
     CALLER_READS,
     {.message = get_status},
     0},
    {"/rlhfd.admin.v1.Admin/WatchStatus",
     &rlhfd__admin__v1__watch_status_request__descriptor,
     &rlhfd__admin__v1__status__descriptor,
     RPC_SERVER_STREAM,
     CALLER_READS,
     {.message = watch_status, .half_close = on_half_close_watch, .close = on_close_watch},
     0},
    {"/rlhfd.admin.v1.Admin/Drain",
     &rlhfd__admin__v1__drain_request__descriptor,
     &rlhfd__admin__v1__drain_reply__descriptor,
     RPC_UNARY,
     CALLER_ADMIN,
     {.message = drain},
     0},
    {"/rlhfd.admin.v1.Admin/TraceGroup",
     &rlhfd__admin__v1__trace_group_request__descriptor,
     &rlhfd__admin__v1__group_trace__descriptor,
     RPC_UNARY,
     CALLER_READS,
     {.message = trace_group},
     0},
    {0},
};

struct rpc_service rpc_admin_service(struct rpc_admin *admin)
{
    return (struct rpc_service){methods, admin};
}

void rpc_admin_free(struct rpc_admin *admin)
{
    if (!admin)
        return;
    if (admin->asking)
        admin->asking->admin = NULL;
    answer_all(admin->first, NULL);
    loop_timer_free(admin->pause);
    mem_free(admin);
}
