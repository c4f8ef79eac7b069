#include "svc/http.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/metrics.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

enum { CONNECTIONS = 64, IDLE_S = 10 };

struct http {
    struct MHD_Daemon *daemon;
    char *address;
    pthread_mutex_t mutex;
    char *not_ready; // why; NULL: ready. Under the mutex
};

#define TEXT_PLAIN "text/plain; charset=utf-8"

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
                               struct bytes *body)
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
    bool ready = !http->not_ready;
    bytes_printf(body, "%s\n", ready ? "ok" : http->not_ready);
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
        return respond(connection, MHD_HTTP_NOT_FOUND, TEXT_PLAIN, &body);
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        bytes_text(&body, "only GET and HEAD\n");
        return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_PLAIN, &body);
    }
    unsigned status = pages[i].page(arg, &body);
    return respond(connection, status, pages[i].type, &body);
}

static void free_addresses(struct addrinfo **found)
{
    if (*found)
        freeaddrinfo(*found);
}

static err_t listen_at(const struct address *address, int *ret_fd)
{
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    __attribute__((cleanup(free_addresses))) struct addrinfo *found = NULL;
    int failed = getaddrinfo(address->host, port, &hints, &found);
    if (failed)
        return err_new(ERR_UNAVAILABLE, "no address of '%s': %s", address->host,
                       gai_strerror(failed));
    SCOPED_FD fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0)
        return err_errno(errno, "cannot make a socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
               sizeof on); // a restart need not wait for old connections
    if (bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, CONNECTIONS)) {
        int number = errno;
        return err_new(ERR_UNAVAILABLE, "%s",
                       number == EADDRINUSE ? "the address is in use by another process"
                                            : strerrordesc_np(number));
    }
    *ret_fd = fd;
    fd = -1;
    return OK;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &len))
        return 0;
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}

err_t http_start(const char *address, struct http **ret)
{
    struct address at;
    TRY(err_wrap(address_parse(address, &at), "HTTP"));
    SCOPED_FD fd = -1;
    TRY(err_wrap(listen_at(&at, &fd), "cannot listen at %s for HTTP", address));
    SCOPED(http) http = mem_new(sizeof *http);
    pthread_mutex_init(&http->mutex, NULL);
    http->not_ready = mem_string("starting");
    http->address = address_text(at.host, bound_port(fd));
    http->daemon = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, http,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
    if (!http->daemon)
        return err_new(ERR_EXHAUSTED, "cannot start the HTTP server at %s", address);
    fd = -1; // the daemon closes it
    *ret = STEAL(http);
    return OK;
}

void http_set_ready(struct http *http, const char *reason)
{
    char *copy = mem_string(reason);
    for (char *p = copy; p && *p; p++)
        if (*p == '\n')
            *p = ' ';
    pthread_mutex_lock(&http->mutex);
    char *old = http->not_ready;
    http->not_ready = copy;
    pthread_mutex_unlock(&http->mutex);
    free(old);
}

const char *http_address(const struct http *http)
{
    return http->address;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->mutex);
    free(http->not_ready);
    free(http->address);
    free(http);
}
