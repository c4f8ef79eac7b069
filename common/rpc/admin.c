#include "rpc/admin.h"
#include "admin.pb-c.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include "svc/metrics.h"

enum { WATCH_DEFAULT_MS = 1000, WATCH_MIN_MS = 100, WATCH_MAX_MS = 60000, WATCHES_MAX = 64 };

struct rpc_admin {
    struct admin_options options;
    size_t watches;
};

/* A WatchStatus call: its context. It outlives the call by at most one answer. */
struct watch {
    struct rpc_admin *admin;
    struct rpc_call *call; // a reference
    struct loop_timer *timer;
    bool asking, closed;
};

struct rpc_admin_asking {
    struct admin_options options;
    struct rpc_call *call; // a reference
    struct watch *watch;   // NULL: GetStatus
};

struct rpc_admin *rpc_admin_new(const struct admin_options *options)
{
    struct rpc_admin *admin = mem_new(sizeof *admin);
    admin->options = *options;
    return admin;
}

/* ---- the server's side */

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

static void send_status(const struct admin_options *options, struct rpc_call *call,
                        const struct admin_details *details)
{
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
    status.state = (char *)options->state(options->arg);
    status.n_numbers = numbers.count;
    status.numbers = numbers.at;
    status.n_texts = details->texts;
    status.texts = texts;
    status.n_lags = details->lags;
    status.lags = lags;
    rpc_call_send(call, &status.base);
}

static void watch_free(struct watch *watch)
{
    loop_timer_free(watch->timer);
    rpc_call_unref(watch->call);
    mem_free(watch);
}

void rpc_admin_answer(struct rpc_admin_asking *asking, const struct admin_details *details)
{
    struct watch *watch = asking->watch;
    if (!rpc_call_is_over(asking->call))
        send_status(&asking->options, asking->call, details);
    if (!watch)
        rpc_call_finish(asking->call, OK);
    else if (watch->closed)
        watch_free(watch);
    else
        watch->asking = false;
    rpc_call_unref(asking->call);
    mem_free(asking);
}

static void ask(const struct rpc_admin *admin, struct rpc_call *call, struct watch *watch)
{
    struct rpc_admin_asking *asking = mem_new(sizeof *asking);
    *asking = (struct rpc_admin_asking){admin->options, rpc_call_ref(call), watch};
    if (admin->options.collect)
        admin->options.collect(admin->options.arg, asking);
    else
        rpc_admin_answer(asking, &(struct admin_details){0});
}

static void get_status(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb;
    ask(user, call, NULL);
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
    admin->options.drain(admin->options.arg);
}

static const struct rpc_method methods[] = {
    {"/rlhfd.admin.v1.Admin/GetStatus",
     &rlhfd__admin__v1__get_status_request__descriptor,
     &rlhfd__admin__v1__status__descriptor,
     RPC_UNARY,
     {.message = get_status},
     0},
    {"/rlhfd.admin.v1.Admin/WatchStatus",
     &rlhfd__admin__v1__watch_status_request__descriptor,
     &rlhfd__admin__v1__status__descriptor,
     RPC_SERVER_STREAM,
     {.message = watch_status, .half_close = on_half_close_watch, .close = on_close_watch},
     0},
    {"/rlhfd.admin.v1.Admin/Drain",
     &rlhfd__admin__v1__drain_request__descriptor,
     &rlhfd__admin__v1__drain_reply__descriptor,
     RPC_UNARY,
     {.message = drain},
     0},
    {0},
};

struct rpc_service rpc_admin_service(struct rpc_admin *admin)
{
    return (struct rpc_service){methods, admin};
}

void rpc_admin_free(struct rpc_admin *admin)
{
    mem_free(admin);
}

/* ---- the client's side */

struct asking {
    void (*done)(void *arg, const struct admin_status *status, err_t why);
    void *arg;
    bool answered;
};

static void on_status(struct rpc_call *call, struct rpc_message *message,
                      const struct ProtobufCMessage *pb, void *user)
{
    (void)call, (void)message;
    struct asking *asking = user;
    const Rlhfd__Admin__V1__Status *got = (const void *)pb;
    SCOPED_MEM const char **names = mem_array(got->n_numbers, sizeof *names);
    SCOPED_MEM double *values = mem_array(got->n_numbers, sizeof *values);
    for (size_t i = 0; i < got->n_numbers; i++) {
        names[i] = got->numbers[i]->name;
        values[i] = got->numbers[i]->value;
    }
    struct admin_status status = {.daemon = got->daemon,
                                  .run = got->run,
                                  .state = got->state,
                                  .count = got->n_numbers,
                                  .name = names,
                                  .value = values};
    asking->answered = true;
    asking->done(asking->arg, &status, OK);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct asking *asking = user;
    if (!asking->answered)
        asking->done(asking->arg, NULL,
                     err_failed(why) ? why : err_new(ERR_INTERNAL, "an empty answer"));
    else
        err_free(why);
    mem_free(asking);
}

void rpc_admin_get_status(struct rpc_channel *channel, int64_t deadline_ms,
                          void (*done)(void *arg, const struct admin_status *status, err_t why),
                          void *arg)
{
    struct asking *asking = mem_new(sizeof *asking);
    *asking = (struct asking){.done = done, .arg = arg};
    Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    rpc_call_unary(channel, &methods[0], &request.base,
                   &(struct rpc_call_options){.deadline_ms = deadline_ms},
                   &(struct rpc_handlers){.message = on_status, .close = on_close}, asking);
}
