#include "svc/http.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/door.h"
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* MHD takes twice as many as the door lets in: those that the door has shut down and MHD has not
 * closed yet. */
enum { IDLE_MS = 10000, PER_S = 1000, REQUEST_BYTES = 16 << 10, ARGUMENTS = 64 };

struct http {
    struct http_options options;
    pthread_mutex_t opening; // held until door is known: requests come before door_open returns
    struct door *door;
    struct MHD_Daemon *daemon;
    char *address;
};

#define TEXT_PLAIN "text/plain; charset=utf-8"

static void put_headers(struct MHD_Response *response, unsigned status, const char *type,
                        bool challenge)
{
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'none'; frame-ancestors 'none'");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (challenge)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"rlhfd\"");
}

static enum MHD_Result respond(struct http *http, struct MHD_Connection *connection,
                               unsigned status, const char *type, bool challenge,
                               const struct bytes *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    put_headers(response, status, type, challenge);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    const union MHD_ConnectionInfo *at =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (at)
        door_used(http->door, door_ticket(http->door, at->connect_fd), 0);
    return queued;
}

static enum MHD_Result say(struct http *http, struct MHD_Connection *connection, unsigned status,
                           bool challenge, const char *text)
{
    SCOPED_VALUE(bytes) body = {0};
    bytes_text(&body, text);
    return respond(http, connection, status, TEXT_PLAIN, challenge, &body);
}

/* ---- who asks */

struct asking {
    struct http_asked asked;
    const char *argument[ARGUMENTS];
    bool too_many;
};

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    struct http_asked *asked = arg;
    const char **to = strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0            ? &asked->host
                      : strcasecmp(name, MHD_HTTP_HEADER_AUTHORIZATION) == 0 ? &asked->authorization
                                                                             : NULL;
    if (!to)
        return MHD_YES;
    asked->repeated |= *to != NULL;
    *to = value ? value : "";
    return MHD_YES;
}

static enum MHD_Result take_argument(void *arg, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    (void)kind;
    struct asking *asking = arg;
    asking->too_many = asking->asked.argument_count + 2 > ARGUMENTS;
    if (asking->too_many)
        return MHD_NO;
    asking->argument[asking->asked.argument_count++] = name;
    asking->argument[asking->asked.argument_count++] = value ? value : "";
    return MHD_YES;
}

static unsigned caller_of(struct http *http, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *at =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct identity who;
    return at && door_identity(http->door, door_ticket(http->door, at->connect_fd), &who)
               ? (unsigned)who.role
               : 0;
}

static void log_refusal(struct http *http, struct MHD_Connection *connection,
                        const struct http_refusal *no)
{
    enum { LINES = 20 }; // a minute
    const union MHD_ConnectionInfo *at =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    SCOPED_MEM char *peer =
        at ? door_peer(http->door, door_ticket(http->door, at->connect_fd)) : NULL;
    log_limited(LOG_WARNING, LINES, "page refused", "address=%s peer=%s status=%u why=\"%.*s\"",
                http->address, peer ? peer : "?", no->status, (int)strcspn(no->text, "\n"),
                no->text);
}

/* True: it was refused, and answered. */
static bool refuses(struct http *http, struct MHD_Connection *connection, enum MHD_Result *ret)
{
    struct asking asking = {.asked.caller = caller_of(http, connection)};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &asking.asked);
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_argument, &asking);
    asking.asked.arguments = asking.argument;
    const struct http_refusal *no = http_guard_refuses(&http->options.guard, &asking.asked);
    static const struct http_refusal too_many = {MHD_HTTP_BAD_REQUEST, false,
                                                 "too many arguments in the URL\n"};
    if (asking.too_many)
        no = &too_many;
    if (!no)
        return false;
    log_refusal(http, connection, no);
    *ret = say(http, connection, no->status, no->challenge, no->text);
    return true;
}

/* ---- requests */

static enum MHD_Result no_page(struct http *http, struct MHD_Connection *connection)
{
    SCOPED_VALUE(bytes) text = {0};
    bytes_text(&text, http->options.page_count ? "not found; there are" : "not found");
    for (size_t i = 0; i < http->options.page_count; i++)
        bytes_printf(&text, " %s", http->options.pages[i].path);
    bytes_text(&text, "\n");
    return respond(http, connection, MHD_HTTP_NOT_FOUND, TEXT_PLAIN, false, &text);
}

/* The status; 0: there is no such page. */
static unsigned render(struct http *http, const char *path, const char **ret_type,
                       struct bytes *ret)
{
    const struct http_options *o = &http->options;
    for (size_t i = 0; i < o->page_count; i++)
        if (strcmp(path, o->pages[i].path) == 0) {
            *ret_type = o->pages[i].type;
            return o->pages[i].render(o->pages[i].arg, ret);
        }
    return o->other ? o->other(o->arg, path, ret_type, ret) : 0;
}

static bool reads(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    (void)version, (void)upload, (void)upload_len, (void)state;
    struct http *http = arg;
    SCOPED_VALUE(bytes) body = {0};
    const char *type = TEXT_PLAIN;
    enum MHD_Result refused;
    if (refuses(http, connection, &refused))
        return refused;
    const char *inside = http_guard_path(&http->options.guard, path);
    if (!inside)
        return say(http, connection, MHD_HTTP_NOT_FOUND, false, "not found\n");
    if (!reads(method))
        return say(http, connection, MHD_HTTP_METHOD_NOT_ALLOWED, false, "only GET and HEAD\n");
    const unsigned status = render(http, inside, &type, &body);
    return status ? respond(http, connection, status, type, false, &body)
                  : no_page(http, connection);
}

/* On the door's thread. */
static void take(void *arg, int fd)
{
    struct http *http = arg;
    struct sockaddr_in unused = {.sin_family = AF_INET};
    pthread_mutex_lock(&http->opening);
    pthread_mutex_unlock(&http->opening);
    MHD_add_connection(http->daemon, fd, (struct sockaddr *)&unused, sizeof unused);
}

/* A connection has IDLE_MS from its beginning, or from its last answer, for a whole request: bytes
 * that trickle in do not prolong it. When there are too many the oldest gives way, so a probe is
 * always taken. */
static err_t open_door(struct http *http, const char *address)
{
    const bool tls = http->options.guard.certificates;
    pthread_mutex_lock(&http->opening);
    err_t failed =
        door_open(&(struct door_options){.address = address,
                                         .connections = HTTP_CONNECTIONS,
                                         .tls = {.security = tls ? http->options.security : NULL,
                                                 .alpn = "http/1.1",
                                                 .client = true,
                                                 .optional = true},
                                         .per_s = PER_S,
                                         .idle_ms = IDLE_MS,
                                         .hand = take,
                                         .arg = http},
                  &http->door);
    pthread_mutex_unlock(&http->opening);
    return failed;
}

err_t http_start(const struct http_options *options, struct http **ret)
{
    struct address at;
    TRY(err_wrap(address_parse(options->address, &at), "HTTP"));
    SCOPED(http) http = mem_new(sizeof *http);
    http->options = *options;
    pthread_mutex_init(&http->opening, NULL);
    http->daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0,
        NULL, NULL, on_request, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)(2 * HTTP_CONNECTIONS),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES, MHD_OPTION_END);
    if (!http->daemon)
        return err_new(ERR_EXHAUSTED, "cannot start the HTTP server at %s", options->address);
    TRY(err_wrap(open_door(http, options->address), "cannot listen at %s for HTTP",
                 options->address));
    http->options.address = http->address = address_text(at.host, door_port(http->door));
    *ret = STEAL(http);
    return OK;
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
    pthread_mutex_destroy(&http->opening);
    mem_free(http->address);
    mem_free(http);
}
