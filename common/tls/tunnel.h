/* A server's side of one TLS connection: TLS on the socket, plain bytes on a pair of descriptors
 * whose other end a server has. The tunnel never waits; its owner calls it when epoll says that one
 * of its descriptors can do more.
 *
 *     struct tunnel *tunnel = tunnel_new(set, fd, &(struct tunnel_options){.alpn = "h2", .client = true});
 *     switch (tunnel_step(tunnel, BUDGET, &more)) {
 *     case TUNNEL_READY:                             -- shaken hands: who it is is known
 *         int end = tunnel_join(tunnel);             -- for the server, which closes it
 *
 * Two buffers of fixed length are all that it holds of the bytes; a side that does not read stops
 * the other. A peer that is not let in learns why: the last bytes that it is sent say so. Owner:
 * one thread; tunnel_cut from any, while the tunnel lives. */
#pragma once
#include "base/err.h"
#include "tls/keyring.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tunnel;
struct tunnel_options {
    const char *alpn;     // the one protocol spoken inside; NULL: none is agreed on
    bool client;          // a client must show a certificate that verifies, with an identity
    bool optional;        // or none at all: then it comes in without an identity
    const char *run;      // of that identity; NULL: any. Borrowed while hands are shaken
    const char *greeting; // first bytes inside, awaited before READY; NULL: none. Likewise
};

/* SHAKES: hands. REFUSES: says why not, and ends. READY: to be joined. CARRIES: bytes. OVER: to be
 * freed. */
enum tunnel_state { TUNNEL_SHAKES, TUNNEL_REFUSES, TUNNEL_READY, TUNNEL_CARRIES, TUNNEL_OVER };

/* Takes fd, which does not block. NULL: no memory; fd stays the caller's. */
struct tunnel *tunnel_new(struct tls_set *set, int fd, const struct tunnel_options *options);
void tunnel_free(struct tunnel *tunnel); // closes both of its descriptors

/* Goes on for about budget bytes. *ret_more: it could go on at once. */
enum tunnel_state tunnel_step(struct tunnel *tunnel, size_t budget, bool *ret_more);

/* Makes the pair; the server's end, or -1 with errno. Once. */
int tunnel_join(struct tunnel *tunnel);
int tunnel_end(const struct tunnel *tunnel); // the tunnel's own end, for epoll; -1: not joined
int tunnel_socket(const struct tunnel *tunnel);

/* Both sides at once, by a reset of the connection or an orderly end. The owner's next step is
 * OVER. */
void tunnel_cut(struct tunnel *tunnel, bool reset);

/* Why the peer was refused or hands were not shaken; "" where nothing was wrong. Borrowed. */
const char *tunnel_why(const struct tunnel *tunnel);
const struct identity *tunnel_identity(const struct tunnel *tunnel); // NULL: without a certificate
int64_t
tunnel_good_until_s(const struct tunnel *tunnel); // until when its chain is good; since 1970
bool tunnel_leaves(const struct tunnel *tunnel);  // one side has closed: the rest should be short
err_t tunnel_verify(const struct tunnel *tunnel, const struct tls_set *set); // by newer roots

/* Plain bytes given to the server's end, and taken from it. */
uint64_t tunnel_received(const struct tunnel *tunnel);
uint64_t tunnel_sent(const struct tunnel *tunnel);
