/* Standard input, output and error, whatever the process was started with. Owner: the main thread.
 *
 *     return status_of(streams_flush());       -- the last thing that a program does
 *
 * If descriptor 0, 1 or 2 is closed as a program starts, a stand-in takes its place, whose use
 * fails. So no file or connection is given that number. The stand-ins are there before main, and
 * before libraries that open descriptors as they are loaded. */
#pragma once
#include "base/err.h"

/* Whether all that was printed has arrived. INTERNAL: standard output is closed, full, or
 * broken. */
err_t streams_flush(void);
