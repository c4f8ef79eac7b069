/* File descriptors: how many connections a process may hold, so that its files, clients and
 * children always find one.
 *
 *     int connections;
 *     TRY(descriptors_plan(STORE_DESCRIPTORS, &connections));   -- before the process opens anything else
 *
 * Owner: the main thread. */
#pragma once
#include "base/err.h"

/* Raises the soft limit to the hard one. Children inherit it. */
void descriptors_raise(void);

/* Connections that fit beside `files` descriptors of the process' own. EXHAUSTED: too few are left;
 * says how many are needed. */
err_t descriptors_plan(int files, int *ret_connections);
