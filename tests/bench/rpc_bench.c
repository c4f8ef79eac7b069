/* gRPC over loopback between two processes: unary calls per second, messages and bytes per second
 * of a stream. bench_rpc [KEYS [FIGURE]]: by TLS, both sides with the certificate in the directory
 * KEYS ("": plaintext); figures alone that begin with FIGURE. */
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "svc/loop.h"
#include "svc/security.h"
#include "svc/svc.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
// clang-format off
#include "admin.pb-c.h"
#include "weights.pb-c.h"
// clang-format on

enum { CONCURRENT = 64, SECONDS = 2, MIB = 1 << 20, CHUNKS = 1024, SMALL = 200000 };

static uint8_t *blob; // a chunk's values
static struct security security;
static const char *only = ""; // figures that begin so

static bool wanted(const char *figure)
{
    return strncmp(figure, only, strlen(only)) == 0;
}

static const char *security_word(void)
{
    return security.keys ? "tls" : "plaintext";
}

static void get_status(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *,
                       void *)
{
    Rlhfd__Admin__V1__Status status = RLHFD__ADMIN__V1__STATUS__INIT;
    status.daemon = "learner";
    rpc_call_reply(call, &status.base);
}

static void keep(void *)
{
}

/* The request says how many messages of how many bytes; the context counts those sent. */
struct wanted {
    uint64_t count, bytes, sent;
};

static void push(struct rpc_call *call, void *)
{
    struct wanted *wanted = rpc_call_context(call);
    while (wanted->sent < wanted->count && !rpc_call_full(call)) {
        Rlhfd__V1__Chunk chunk = RLHFD__V1__CHUNK__INIT;
        chunk.first = wanted->sent++;
        SCOPED(rpc_message)
        message = rpc_message_pack_with_bytes(&chunk.base, 2, 15, blob, wanted->bytes, keep, NULL);
        rpc_call_send_message(call, message);
    }
    if (wanted->sent == wanted->count)
        rpc_call_finish(call, OK);
}

static void subscribe(struct rpc_call *call, struct rpc_message *message,
                      const struct ProtobufCMessage *, void *user)
{
    struct wanted *wanted = mem_new(sizeof *wanted);
    rpc_message_read(message, 0, 16, wanted);
    rpc_call_set_context(call, wanted);
    push(call, user);
}

static void subscribe_closed(struct rpc_call *call, err_t why, void *)
{
    err_free(why);
    mem_free(rpc_call_context(call));
}

#define STATUS_TYPES                                                                               \
    &rlhfd__admin__v1__get_status_request__descriptor, &rlhfd__admin__v1__status__descriptor
static const struct rpc_method methods[] = {
    {"/bench/Inline", STATUS_TYPES, RPC_UNARY, CALLER_ANY, {.message = get_status}, RPC_INLINE},
    {"/bench/Loop", STATUS_TYPES, RPC_UNARY, CALLER_ANY, {.message = get_status}},
    {"/bench/Subscribe",
     NULL,
     NULL,
     RPC_BIDI,
     CALLER_ANY,
     {.message = subscribe, .writable = push, .close = subscribe_closed}},
    {0},
};

static err_t serve(int to_parent)
{
    SCOPED(loop) loop = NULL;
    SCOPED(rpc) rpc = NULL;
    SCOPED(rpc_server) server = NULL;
    blob = mem_array(MIB, 1);
    TRY(loop_new(&loop));
    TRY(rpc_new(loop, &rpc));
    struct rpc_service services[] = {{methods, NULL}};
    TRY(rpc_server_start(rpc,
                         &(struct rpc_server_options){.address = "127.0.0.1:0",
                                                      .security = &security,
                                                      RPC_SERVICES(services)},
                         &server));
    const int port = rpc_server_port(server);
    if (write(to_parent, &port, sizeof port) != sizeof port)
        return err_new(ERR_INTERNAL, "pipe");
    return loop_run(loop);
}

struct client {
    struct loop *loop;
    struct rpc_channel *channel;
    const struct rpc_method *method;
    int64_t end_ms;
    int live;
    uint64_t calls, messages, bytes;
    uint8_t *place;
};

static void finish(struct client *client)
{
    if (--client->live == 0)
        loop_stop(client->loop);
}

static void again(struct client *client);

static void answered(struct rpc_call *, err_t why, void *user)
{
    struct client *client = user;
    if (err_failed(why))
        fprintf(stderr, "%s\n", err_message(why));
    else
        client->calls++;
    err_free(why);
    if (clock_ms() < client->end_ms)
        again(client);
    else
        finish(client);
}

static void again(struct client *client)
{
    static const struct rpc_handlers handlers = {.close = answered};
    Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    rpc_call_unary(client->channel, client->method, &request.base,
                   &(struct rpc_call_options){.deadline_ms = 10000}, &handlers, client);
}

static err_t unary(struct client *client, int server_method, const char *name)
{
    for (int warm = 1; warm >= 0; warm--) {
        client->method = &methods[server_method];
        client->calls = 0;
        client->live = CONCURRENT;
        const double begin = clock_s();
        client->end_ms = clock_ms() + (warm ? 300 : SECONDS * 1000);
        for (int i = 0; i < CONCURRENT; i++)
            again(client);
        TRY(loop_run(client->loop));
        if (!warm)
            printf(
                "{\"bench\": \"rpc\", \"security\": \"%s\", \"figure\": \"%s\", \"calls_per_s\": %.0f}\n",
                security_word(), name, (double)client->calls / (clock_s() - begin));
    }
    return OK;
}

static void place(struct rpc_call *, struct rpc_message *message, const struct ProtobufCMessage *,
                  void *user)
{
    struct client *client = user;
    struct ProtobufCMessage *small;
    size_t offset, len;
    err_t e =
        rpc_message_split(message, 2, 15, &rlhfd__v1__chunk__descriptor, &small, &offset, &len);
    if (err_failed(e))
        abort();
    protobuf_c_message_free_unpacked(small, NULL);
    rpc_message_read(message, offset, len, client->place);
    client->messages++;
    client->bytes += len;
}

static void placed(struct rpc_call *, err_t why, void *user)
{
    if (err_failed(why))
        fprintf(stderr, "%s\n", err_message(why));
    err_free(why);
    finish(user);
}

static err_t stream(struct client *client, uint64_t count, uint64_t bytes, const char *name)
{
    static const struct rpc_handlers handlers = {.message = place, .close = placed};
    client->messages = client->bytes = 0;
    client->live = 1;
    const double begin = clock_s();
    struct rpc_call *call = rpc_call_stream(client->channel, &methods[2], NULL, &handlers, client);
    const uint64_t request[2] = {count, bytes};
    SCOPED(rpc_message) message = rpc_message_copy(request, sizeof request);
    rpc_call_send_message(call, message);
    TRY(loop_run(client->loop));
    const double seconds = clock_s() - begin;
    printf(
        "{\"bench\": \"rpc\", \"security\": \"%s\", \"figure\": \"%s\", \"messages_per_s\": %.0f, \"mb_per_s\": %.0f}\n",
        security_word(), name, (double)client->messages / seconds,
        (double)client->bytes / seconds / 1e6);
    return OK;
}

static err_t measure(int port)
{
    SCOPED(loop) loop = NULL;
    SCOPED(rpc) rpc = NULL;
    SCOPED(rpc_channel) channel = NULL;
    SCOPED_MEM uint8_t *into = mem_array(MIB, 1);
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    TRY(loop_new(&loop));
    TRY(rpc_new(loop, &rpc));
    TRY(rpc_channel_new(rpc, &(struct rpc_channel_options){.target = target, .security = &security},
                        &channel));
    struct client client = {.loop = loop, .channel = channel, .place = into};
    if (wanted("unary, inline"))
        TRY(unary(&client, 0, "unary, inline"));
    if (wanted("unary, through the loop"))
        TRY(unary(&client, 1, "unary, through the loop"));
    if (wanted("stream of 100 bytes"))
        TRY(stream(&client, SMALL, 100, "stream of 100 bytes"));
    if (wanted("stream of 256 KiB"))
        TRY(stream(&client, CHUNKS * 4, MIB / 4, "stream of 256 KiB"));
    return wanted("stream of 1 MiB") ? stream(&client, CHUNKS, MIB, "stream of 1 MiB") : OK;
}

int main(int argc, char **argv)
{
    int ends[2], port = 0;
    if (pipe(ends))
        return 1;
    svc_open("bench");
    only = argc > 2 ? argv[2] : "";
    const err_t failed = argc > 1 && *argv[1] ? tls_keys_open(argv[1], &security.keys) : OK;
    if (err_failed(failed))
        return svc_exit(failed);
    const pid_t child = fork(); // before gRPC starts its threads
    if (child == 0)
        return svc_exit(serve(ends[1]));
    if (read(ends[0], &port, sizeof port) != sizeof port)
        return 1;
    const int status = svc_exit(measure(port));
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    return status;
}
