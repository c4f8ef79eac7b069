/* Addresses as people write them: "host:port", host a name, an IPv4 or a bracketed IPv6 address.
 * Any thread.
 *
 *     struct address address;
 *     TRY(address_parse("[::1]:7003", &address));            -- {.host = "::1", .port = 7003}
 *     TRY(address_derive("127.0.0.1:7003", ADDRESS_PROBES, &text));  -- "127.0.0.1:7103"; port 0 stays
 * 0 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

enum { ADDRESS_HOST = 256, ADDRESS_ADMIN = 10, ADDRESS_PROBES = 100, ADDRESS_METRICS = 200 };

struct address {
    char host[ADDRESS_HOST]; // without brackets
    uint16_t port;
};

/* INVALID: says what an address looks like. Resolves nothing. */
err_t address_parse(const char *text, struct address *ret);

/* 127.0.0.0/8, ::1 or localhost; names are not resolved. False for what is no address. */
bool address_is_loopback(const char *text);

/* The same host, port + add; port 0 stays 0. *ret is owned by the caller. INVALID: no address;
 * RANGE: port over 65535. */
err_t address_derive(const char *text, int add, char **ret);

/* The address given, a copy of it; where it is "", the one derived from listen. */
err_t address_beside(const char *given, const char *listen, int add, char **ret);

/* "host:port", IPv6 in brackets; owned by the caller. */
char *address_text(const char *host, uint16_t port);
