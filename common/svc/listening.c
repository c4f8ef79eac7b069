#include "svc/listening.h"
#include "base/scoped.h"
#include "svc/address.h"
#include "svc/svc.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { BACKLOG = 512 };

static void free_addresses(struct addrinfo **found)
{
    if (*found)
        freeaddrinfo(*found);
}

/* 0, or the system's error number. */
static int listen_at(const struct addrinfo *at, uint16_t port, int *ret_fd)
{
    struct sockaddr_storage to;
    memcpy(&to, at->ai_addr, at->ai_addrlen);
    if (to.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&to)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&to)->sin_port = htons(port);
    SCOPED_FD fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int on = 1; // a restart need not wait for old connections
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&to, at->ai_addrlen) || listen(fd, BACKLOG))
        return errno;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

err_t listen_open(const char *address, int ret_fds[LISTEN_MAX], size_t *ret_count)
{
    struct address parsed;
    TRY(address_parse(address, &parsed));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    __attribute__((cleanup(free_addresses))) struct addrinfo *found = NULL;
    int unresolved = getaddrinfo(parsed.host, NULL, &hints, &found);
    if (unresolved)
        return err_new(ERR_UNAVAILABLE, "no address of '%s': %s", parsed.host,
                       gai_strerror(unresolved));
    uint16_t port = parsed.port;
    size_t count = 0;
    int failed = 0;
    for (const struct addrinfo *at = found; at && count < LISTEN_MAX; at = at->ai_next) {
        int number = listen_at(at, port, &ret_fds[count]);
        failed = number ? number : failed;
        if (number == EADDRINUSE) // half a name's addresses would send clients to somebody else
            break;
        if (!number)
            port = listen_port(ret_fds[count++]);
    }
    if (count && failed != EADDRINUSE) { // a family that this host does not have is no loss
        *ret_count = count;
        return OK;
    }
    while (count)
        close(ret_fds[--count]);
    err_t e = err_new(ERR_UNAVAILABLE, "%s", strerrordesc_np(failed));
    return failed == EADDRINUSE ? svc_in_use(e) : e;
}

uint16_t listen_port(int fd)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &len))
        return 0;
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}
