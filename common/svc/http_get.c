#include "svc/http_get.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/address.h"
#include "tls/client_end.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { HEAD_MAX = 16 << 10 };

struct getting {
    const struct http_get_options *options;
    int fd;
    struct tls_client *tls; // NULL: plaintext
    int64_t until_ms;
};

static err_t wait_for(const struct getting *g, int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    for (;;) {
        const int64_t left_ms = g->until_ms - clock_ms();
        if (left_ms <= 0)
            return err_new(ERR_DEADLINE, "no answer in %lld ms", (long long)g->options->timeout_ms);
        const int ready = poll(&one, 1, (int)left_ms);
        if (ready > 0)
            return OK;
        if (ready < 0 && errno != EINTR)
            return err_errno(errno, "cannot wait");
    }
}

/* ---- the connection */

static err_t connect_one(const struct getting *g, const struct addrinfo *to, int *ret)
{
    SCOPED_FD fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failed = 0;
    socklen_t len = sizeof failed;
    if (fd < 0)
        return err_errno(errno, "cannot make a socket");
    if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
        return err_errno(errno, "cannot connect");
    TRY(wait_for(g, fd, POLLOUT));
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) || failed)
        return err_errno(failed ? failed : errno, "cannot connect");
    *ret = fd;
    fd = -1;
    return OK;
}

static err_t connect_any(struct getting *g)
{
    struct address address;
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
    char port[8];
    TRY(address_parse(g->options->address, &address));
    snprintf(port, sizeof port, "%u", address.port);
    const int unresolved = getaddrinfo(address.host, port, &hints, &found);
    if (unresolved)
        return err_new(ERR_UNAVAILABLE, "%s", gai_strerror(unresolved));
    err_t failed = err_new(ERR_UNAVAILABLE, "the name has no address");
    for (const struct addrinfo *at = found; at && err_failed(failed); at = at->ai_next) {
        err_free(failed);
        failed = connect_one(g, at, &g->fd);
    }
    freeaddrinfo(found);
    return failed;
}

static err_t shake(struct getting *g)
{
    const struct security *security = g->options->security;
    if (!security || !security->keys || address_is_loopback(g->options->address))
        return OK;
    struct tls_set *set = security_set(security);
    const struct tls_client_options options = {
        .alpn = "http/1.1", .run = security->run, .until_ms = g->until_ms};
    err_t failed = tls_client_open(set, g->fd, &options, &g->tls);
    tls_set_unref(set);
    return failed;
}

static err_t send_all(const struct getting *g, const char *text)
{
    const size_t len = strlen(text);
    if (g->tls)
        return tls_client_write(g->tls, text, len);
    for (size_t done = 0; done < len;) {
        const ssize_t put = send(g->fd, text + done, len - done, MSG_NOSIGNAL);
        if (put > 0)
            done += (size_t)put;
        else if (errno == EAGAIN || errno == EINTR)
            TRY(wait_for(g, g->fd, POLLOUT));
        else
            return err_errno(errno, "cannot send");
    }
    return OK;
}

static err_t receive(const struct getting *g, void *to, size_t len, size_t *ret)
{
    if (g->tls)
        return tls_client_read(g->tls, to, len, ret);
    for (;;) {
        const ssize_t got = recv(g->fd, to, len, 0);
        *ret = got > 0 ? (size_t)got : 0;
        if (got >= 0)
            return OK;
        if (errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "cannot receive");
        TRY(wait_for(g, g->fd, POLLIN));
    }
}

static err_t receive_all(const struct getting *g, struct bytes *ret)
{
    enum { PIECE = 1 << 16 };
    for (size_t got = 1; got;) {
        uint8_t *to = bytes_extend(ret, PIECE);
        err_t failed = receive(g, to, PIECE, &got);
        ret->len -= PIECE - (err_failed(failed) ? 0 : got);
        TRY(failed);
        if (ret->len > HTTP_GET_MAX_BYTES)
            return err_new(ERR_RANGE, "the answer is longer than %d bytes", HTTP_GET_MAX_BYTES);
    }
    return OK;
}

/* ---- the answer */

/* The value of a header line, or NULL. */
static const char *value_of(const char *line, const char *name)
{
    const size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

static err_t broken(const char *why)
{
    return err_new(ERR_DATA_LOSS, "no answer of HTTP/1.1: %s", why);
}

/* head ends with an empty line and a zero. */
static err_t read_head(char *head, struct http_got *ret, int64_t *ret_length)
{
    char *end, *line = strstr(head, "\r\n");
    if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12 || head[8] != ' ')
        return broken("its first line");
    ret->status = (unsigned)strtoul(head + 9, &end, 10);
    if (end != head + 12 || ret->status < 100 || ret->status > 599)
        return broken("its status");
    for (char *next; line && (next = strstr(line + 2, "\r\n")); line = next) {
        *next = 0;
        const char *type = value_of(line + 2, "Content-Type");
        const char *length = value_of(line + 2, "Content-Length");
        if (value_of(line + 2, "Transfer-Encoding"))
            return broken("it comes in chunks");
        if (type)
            snprintf(ret->type, sizeof ret->type, "%s", type);
        if (!length)
            continue;
        *ret_length = strtoll(length, &end, 10);
        if (end == length || *end || *ret_length < 0)
            return broken("its length");
    }
    return OK;
}

static err_t read_answer(const struct bytes *all, struct http_got *ret)
{
    static const char empty[] = "\r\n\r\n";
    const uint8_t *end = memmem(all->data, all->len, empty, 4);
    const size_t head_len = end ? (size_t)(end - all->data) + 4 : 0;
    int64_t length = -1;
    if (!end || head_len > HEAD_MAX || memchr(all->data, 0, head_len))
        return broken("its headers");
    SCOPED_MEM char *head = mem_new(head_len + 1);
    memcpy(head, all->data, head_len);
    TRY(read_head(head, ret, &length));
    if (length >= 0 && (uint64_t)length != all->len - head_len)
        return broken("it was cut off");
    bytes_put(&ret->body, all->data + head_len, all->len - head_len);
    return OK;
}

static err_t get(struct getting *g, struct http_got *ret)
{
    SCOPED_VALUE(bytes) all = {0};
    SCOPED_MEM char *request =
        mem_printf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", g->options->path,
                   g->options->address);
    TRY(connect_any(g));
    TRY(shake(g));
    TRY(send_all(g, request));
    TRY(receive_all(g, &all));
    return read_answer(&all, ret);
}

err_t http_get(const struct http_get_options *options, struct http_got *ret)
{
    struct getting g = {.options = options, .fd = -1, .until_ms = clock_ms() + options->timeout_ms};
    SCOPED_VALUE(http_got) got = {0};
    err_t failed = get(&g, &got);
    tls_client_free(g.tls);
    if (g.fd >= 0)
        close(g.fd);
    if (err_failed(failed))
        return err_wrap(failed, "%s", options->address);
    *ret = got;
    got = (struct http_got){0};
    return OK;
}

void http_got_done(struct http_got *got)
{
    bytes_done(&got->body);
    *got = (struct http_got){0};
}
