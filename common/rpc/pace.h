/* Private to common/rpc: the limit on calls that a server begins in a second. Calls above it wait,
 * and take turns by connection. So a client with thousands of calls waits for itself.
 *
 *     if (pace_admits(pace, call))    -- queue's thread: now; else it keeps a reference and gives it to admit() later
 */
#pragma once
#include "rpc/core.h"

struct pace;

/* admit runs on the loop's thread and takes the reference. per_s 0: every call begins at once. */
struct pace *pace_new(struct rpc *rpc, int per_s, void (*admit)(struct rpc_call *call));
bool pace_admits(struct pace *pace, struct rpc_call *call);
void pace_free(struct pace *pace); // drops those that wait
