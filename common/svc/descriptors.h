/* File descriptors: how many connections a process may hold, so that its files, clients and
 * children always find one.
 *
 *     int connections;
 *     TRY(descriptors_plan(STORE_DESCRIPTORS, false, &connections)); -- before the process opens anything else
 *
 * Owner: the main thread. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

/* Raises the soft limit to the hard one. Children inherit it. */
void descriptors_raise(void);

/* Connections that fit beside `files` descriptors of the process' own. One with TLS takes three,
 * the socket and a pair (tls/tunnel.h). EXHAUSTED: too few are left; says how many are needed. */
err_t descriptors_plan(int files, bool tls, int *ret_connections);
