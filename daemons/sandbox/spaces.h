/* Namespaces of the level strong: users, mounts, processes, network, System V's and the host's
 * name.
 *
 *     pid_t first = spaces_fork(orders);      -- 0 in the child, which waits until it is mapped
 *     TRY(spaces_map(orders, first));                 -- the parent
 *     TRY(spaces_enter(orders));              -- the child: its user, and file systems of its own
 */
#pragma once
#include "base/err.h"
#include "sandbox/orders.h"

pid_t spaces_fork(const struct orders *orders); // -1: errno says why
err_t spaces_map(const struct orders *orders, pid_t first);
err_t spaces_enter(const struct orders *orders);
