/* The watch: starts the program in what the orders ask for, looks how much it takes, and ends it
 * with all its children.
 *
 *     return watch_program(&orders);          -- the exit status of this process
 */
#pragma once
#include "sandbox/orders.h"

int watch_program(const struct orders *orders);
