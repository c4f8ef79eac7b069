/* Listening sockets for an address. Any thread.
 *
 *     int fds[LISTEN_MAX];
 *     size_t count;
 *     TRY(listen_open("localhost:0", fds, &count));       -- every address of the name, one port
 *     listen_port(fds[0]); */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

enum { LISTEN_MAX = 8 };

/* Non-blocking descriptors that the caller closes. INVALID: no address; UNAVAILABLE: in use, or not
 * ours, with the system's reason. */
err_t listen_open(const char *address, int ret_fds[LISTEN_MAX], size_t *ret_count);
uint16_t listen_port(int fd); // the bound one; 0: none
