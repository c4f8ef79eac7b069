/* The program's side: what a child gives up before it becomes the program.
 *
 *     if (fork() == 0)
 *         confine_and_run(orders);           -- never returns; an error is reported
 */
#pragma once
#include "base/err.h"
#include "sandbox/orders.h"

/* Limits, user, files and calls by the orders' level; then exec. */
void confine_and_run(const struct orders *orders) __attribute__((noreturn));

/* Landlock: reading the system's own directories and the orders', writing the work directory.
 * UNIMPLEMENTED: the kernel has none. *ret_keeps_signals: signals to others are denied, too. */
err_t files_confine(const struct orders *orders, bool *ret_keeps_signals);

/* seccomp: calls that reach the network, other processes, namespaces or the kernel's rarer parts.
 * keeps_signals: Landlock denies signals to others; else kill is denied but to the caller's own
 * group. */
err_t calls_confine(const struct orders *orders, bool keeps_signals);
