#include "svc/http.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/door.h"
#include "svc/metrics.h"
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

/* MHD takes twice as many as the door lets in: those that the door has shut down and MHD has not
 * closed yet. */
enum { IDLE_MS = 10000, PER_S = 1000, REQUEST_BYTES = 16 << 10 };

struct http {
    struct door *door;
    struct MHD_Daemon *daemon;
    char *address;
    pthread_mutex_t mutex;
    bool ready;  // this and the next under the mutex
    char *state; // why it is not ready, or what it waits for; NULL: nothing
};

#define TEXT_PLAIN "text/plain; charset=utf-8"

static enum MHD_Result respond(struct http *http, struct MHD_Connection *connection,
                               unsigned status, const char *type, struct bytes *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    const union MHD_ConnectionInfo *at =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (at)
        door_used(http->door, door_ticket(http->door, at->connect_fd), 0);
    return queued;
}

static unsigned page_metrics(struct http *http, struct bytes *body)
{
    (void)http;
    metrics_render(body);
    return MHD_HTTP_OK;
}

static unsigned page_livez(struct http *http, struct bytes *body)
{
    (void)http;
    bytes_text(body, "ok\n");
    return MHD_HTTP_OK;
}

static unsigned page_readyz(struct http *http, struct bytes *body)
{
    pthread_mutex_lock(&http->mutex);
    bool ready = http->ready;
    const char *state = http->state ? http->state : "";
    bytes_printf(body, "%s%s%s\n", ready ? "ok" : "", ready && *state ? ": " : "", state);
    pthread_mutex_unlock(&http->mutex);
    return ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

/* To add a page: a row. */
static const struct {
    const char *path, *type;
    unsigned (*page)(struct http *http, struct bytes *body);
} pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics},
    {"/livez", TEXT_PLAIN, page_livez},
    {"/readyz", TEXT_PLAIN, page_readyz},
};

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    (void)version, (void)upload, (void)upload_len, (void)state;
    SCOPED_VALUE(bytes) body = {0};
    size_t i = 0;
    while (i < sizeof pages / sizeof *pages && strcmp(path, pages[i].path) != 0)
        i++;
    if (i == sizeof pages / sizeof *pages) {
        bytes_text(&body, "not found; there are /metrics /livez /readyz\n");
        return respond(arg, connection, MHD_HTTP_NOT_FOUND, TEXT_PLAIN, &body);
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        bytes_text(&body, "only GET and HEAD\n");
        return respond(arg, connection, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_PLAIN, &body);
    }
    unsigned status = pages[i].page(arg, &body);
    return respond(arg, connection, status, pages[i].type, &body);
}

/* On the door's thread. */
static void take(void *arg, int fd)
{
    struct http *http = arg;
    struct sockaddr_in unused = {.sin_family = AF_INET};
    MHD_add_connection(http->daemon, fd, (struct sockaddr *)&unused, sizeof unused);
}

/* A connection has IDLE_MS from its beginning, or from its last answer, for a whole request: bytes
 * that trickle in do not prolong it. When there are too many the oldest gives way, so a probe is
 * always taken. */
static err_t open_door(struct http *http, const char *address)
{
    return door_open(&(struct door_options){.address = address,
                                            .connections = HTTP_CONNECTIONS,
                                            .per_s = PER_S,
                                            .idle_ms = IDLE_MS,
                                            .hand = take,
                                            .arg = http},
                     &http->door);
}

err_t http_start(const char *address, struct http **ret)
{
    struct address at;
    TRY(err_wrap(address_parse(address, &at), "HTTP"));
    SCOPED(http) http = mem_new(sizeof *http);
    pthread_mutex_init(&http->mutex, NULL);
    http->state = mem_string("starting");
    http->daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0,
        NULL, NULL, on_request, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)(2 * HTTP_CONNECTIONS),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES, MHD_OPTION_END);
    if (!http->daemon)
        return err_new(ERR_EXHAUSTED, "cannot start the HTTP server at %s", address);
    TRY(err_wrap(open_door(http, address), "cannot listen at %s for HTTP", address));
    http->address = address_text(at.host, door_port(http->door));
    *ret = STEAL(http);
    return OK;
}

static void set_state(struct http *http, bool ready, const char *state)
{
    char *copy = mem_string(state);
    for (char *p = copy; p && *p; p++)
        if (*p == '\n')
            *p = ' ';
    pthread_mutex_lock(&http->mutex);
    char *old = http->state;
    http->state = copy;
    http->ready = ready;
    pthread_mutex_unlock(&http->mutex);
    free(old);
}

void http_set_ready(struct http *http, const char *reason)
{
    set_state(http, !reason, reason);
}

void http_set_waiting(struct http *http, const char *why)
{
    set_state(http, true, why);
}

const char *http_address(const struct http *http)
{
    return http->address;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    door_close(http->door);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    door_free(http->door);
    pthread_mutex_destroy(&http->mutex);
    free(http->state);
    free(http->address);
    free(http);
}
