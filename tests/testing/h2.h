/* HTTP/2 by hand, for clients that gRPC's own could not be: frames are written as they are, answers
 * are thrown away.
 *
 *     int fd = h2_connect("127.0.0.1:7003");
 *     h2_headers(fd, 1, "/rlhfd.v1.Prompts/Lease");        -- opens stream 1
 *     h2_frame(fd, H2_DATA, 0, 1, "\0\3\377\377\377", 5);  -- the beginning of a message
 *
 * Every call returns false once the peer has closed. Owner: the test's thread. */
#pragma once
#include "svc/address.h"
#include "testing/testing.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    H2_DATA = 0,
    H2_HEADERS = 1,
    H2_RST = 3,
    H2_SETTINGS = 4,
    H2_WINDOW = 8,
    H2_END_HEADERS = 4
};

static inline int tcp_connect(const char *address)
{
    struct address at;
    assert_ok(address_parse(address, &at));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(at.port)};
    assert_int_equal(inet_pton(AF_INET, at.host, &to.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct timeval patience = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

/* Reads what is there; false: the peer has closed. */
static inline bool tcp_is_open(int fd)
{
    char text[4096];
    ssize_t got;
    while ((got = recv(fd, text, sizeof text, MSG_DONTWAIT)) > 0)
        ;
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static inline bool tcp_send(int fd, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t sent = send(fd, (const char *)data + at, len - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += (size_t)sent;
    }
    return true;
}

/* Appends a frame to out, which has room; returns its length. */
static inline size_t h2_put(uint8_t *out, int type, int flags, uint32_t stream, const void *data,
                            size_t len)
{
    const uint8_t head[9] = {
        (uint8_t)(len >> 16),    (uint8_t)(len >> 8),    (uint8_t)len,
        (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, data, len);
    return sizeof head + len;
}

static inline bool h2_frame(int fd, int type, int flags, uint32_t stream, const void *data,
                            size_t len)
{
    uint8_t frame[9 + 16384];
    assert_true(len <= 16384);
    return tcp_send(fd, frame, h2_put(frame, type, flags, stream, data, len));
}

static inline int h2_connect(const char *address)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    int fd = tcp_connect(address);
    tcp_send(fd, preface, strlen(preface));
    h2_frame(fd, H2_SETTINGS, 0, 0, "", 0);
    return fd;
}

/* A header without compression: both texts are shorter than 127. */
static inline size_t h2_header(uint8_t *out, const char *name, const char *value)
{
    const size_t n = strlen(name), v = strlen(value);
    out[0] = 0;
    out[1] = (uint8_t)n;
    memcpy(out + 2, name, n);
    out[2 + n] = (uint8_t)v;
    memcpy(out + 3 + n, value, v);
    return 3 + n + v;
}

/* The HEADERS frame that opens a call; returns its length. */
static inline size_t h2_put_call(uint8_t *out, uint32_t stream, const char *path)
{
    uint8_t block[512];
    size_t len = 0;
    len += h2_header(block + len, ":method", "POST");
    len += h2_header(block + len, ":scheme", "http");
    len += h2_header(block + len, ":path", path);
    len += h2_header(block + len, ":authority", "x");
    len += h2_header(block + len, "content-type", "application/grpc");
    len += h2_header(block + len, "te", "trailers");
    return h2_put(out, H2_HEADERS, H2_END_HEADERS, stream, block, len);
}

static inline bool h2_headers(int fd, uint32_t stream, const char *path)
{
    uint8_t frame[600];
    return tcp_send(fd, frame, h2_put_call(frame, stream, path));
}

/* Bytes that the peer is ready to receive, in all and per stream of the numbers 1, 3, ... */
enum { H2_STREAMS = 64 };
struct h2_windows {
    int64_t all, stream[H2_STREAMS];
    uint8_t part[65536]; // of a frame that has not come whole
    size_t len;
};

static inline void h2_windows_init(struct h2_windows *windows)
{
    memset(windows, 0, sizeof *windows);
    windows->all = 65535;
    for (int i = 0; i < H2_STREAMS; i++)
        windows->stream[i] = 65535;
}

static inline uint32_t h2_number(const uint8_t *at)
{
    return ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]) &
           0x7fffffff;
}

/* Settings of the peer's initial window are those of the protocol here. */
static inline void h2_take_frame(struct h2_windows *windows, const uint8_t *frame)
{
    const uint32_t stream = h2_number(frame + 5);
    if (frame[3] != H2_WINDOW)
        return;
    if (!stream)
        windows->all += h2_number(frame + 9);
    else if (stream / 2 < H2_STREAMS)
        windows->stream[stream / 2] += h2_number(frame + 9);
}

/* Reads what has come; false: the peer has closed. */
static inline bool h2_listen(int fd, struct h2_windows *windows)
{
    ssize_t got =
        recv(fd, windows->part + windows->len, sizeof windows->part - windows->len, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    windows->len += (size_t)got;
    size_t at = 0;
    while (windows->len - at >= 9) {
        const uint8_t *frame = windows->part + at;
        const size_t len = 9 + ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]);
        if (windows->len - at < len)
            break;
        h2_take_frame(windows, frame);
        at += len;
    }
    memmove(windows->part, windows->part + at, windows->len -= at);
    return true;
}
