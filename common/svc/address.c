#include "svc/address.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

static err_t wrong(const char *text, const char *what)
{
    return err_new(ERR_INVALID,
                   "'%.200s': %s; an address is host:port or [IPv6]:port, like 127.0.0.1:7003",
                   text, what);
}

static bool parse_port(const char *text, uint16_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return false;
    long port = 0;
    for (const char *p = text; *p; p++)
        port = port * 10 + (*p - '0');
    if (port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

static bool is_name(const char *host)
{
    for (const char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.' && *p != '_')
            return false;
    return *host && *host != '-' && *host != '.';
}

/* Only digits and dots: it must be an IPv4 address then, no name looks like one. */
static bool looks_ipv4(const char *host)
{
    return strspn(host, "0123456789.") == strlen(host);
}

err_t address_parse(const char *text, struct address *ret)
{
    struct address address = {0};
    const char *colon = strrchr(text, ':');
    if (!colon)
        return wrong(text, "no port");
    bool bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
    const char *begin = bracketed ? text + 1 : text, *end = bracketed ? colon - 1 : colon;
    if (begin >= end || (size_t)(end - begin) >= sizeof address.host)
        return wrong(text, begin >= end ? "no host" : "the host is too long");
    memcpy(address.host, begin, (size_t)(end - begin));
    if (!parse_port(colon + 1, &address.port))
        return wrong(text, "the port is not a number from 0 to 65535");
    struct in6_addr six;
    struct in_addr four;
    if (bracketed && inet_pton(AF_INET6, address.host, &six) != 1)
        return wrong(text, "not an IPv6 address between the brackets");
    if (!bracketed && strchr(address.host, ':'))
        return wrong(text, "an IPv6 address needs brackets");
    if (!bracketed && looks_ipv4(address.host) && inet_pton(AF_INET, address.host, &four) != 1)
        return wrong(text, "not an IPv4 address");
    if (!bracketed && !is_name(address.host))
        return wrong(text, "not a host name");
    *ret = address;
    return OK;
}

bool address_is_loopback(const char *text)
{
    struct address address;
    err_t failed = address_parse(text, &address);
    if (err_failed(failed)) {
        err_free(failed);
        return false;
    }
    struct in6_addr six;
    struct in_addr four;
    if (inet_pton(AF_INET6, address.host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    if (inet_pton(AF_INET, address.host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return strcasecmp(address.host, "localhost") == 0;
}

err_t address_derive(const char *text, int add, char **ret)
{
    struct address address;
    TRY(address_parse(text, &address));
    if (address.port && address.port + add > UINT16_MAX)
        return err_new(ERR_RANGE, "'%s': port %d + %d is over 65535", text, address.port, add);
    *ret = address_text(address.host, address.port ? (uint16_t)(address.port + add) : 0);
    return OK;
}

err_t address_beside(const char *given, const char *listen, int add, char **ret)
{
    struct address unused;
    if (!*given)
        return address_derive(listen, add, ret);
    TRY(address_parse(given, &unused));
    *ret = mem_string(given);
    return OK;
}

char *address_text(const char *host, uint16_t port)
{
    return mem_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}
