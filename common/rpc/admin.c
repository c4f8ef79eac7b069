#include "rpc/admin.h"
#include "admin.pb-c.h"
#include "base/mem.h"
#include "rpc/client.h"
#include "svc/metrics.h"

struct rpc_admin {
    struct admin_options options;
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

static void get_status(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)message, (void)pb;
    const struct rpc_admin *admin = user;
    struct numbers numbers = {0};
    metrics_each(add_number, &numbers);
    Rlhfd__Admin__V1__Status status = RLHFD__ADMIN__V1__STATUS__INIT;
    status.daemon = (char *)admin->options.daemon;
    status.run = (char *)admin->options.run;
    status.state = (char *)admin->options.state(admin->options.arg);
    status.n_numbers = numbers.count;
    status.numbers = numbers.at;
    rpc_call_reply(call, &status.base);
    for (size_t i = 0; i < numbers.count; i++) {
        mem_free(numbers.at[i]->name);
        mem_free(numbers.at[i]);
    }
    mem_free(numbers.at);
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
