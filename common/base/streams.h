/* Standard input, output and error, whatever the process was started with. Owner: the main thread.
 *
 *     return status_of(streams_flush());       -- the last thing that a program does
 *
 * Where none is open at 0, 1 or 2 as a program starts, a stand-in is put there whose use fails: no
 * file or connection is given their numbers. The stand-ins are there before main, and before
 * libraries that open descriptors as they are loaded. */
#pragma once
#include "base/err.h"

/* Whether all that was printed has arrived. INTERNAL: standard output is closed, full, or
 * broken. */
err_t streams_flush(void);
