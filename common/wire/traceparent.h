/* A group's trace, as W3C's traceparent: "00-<trace id>-<parent id>-01".
 *
 *     char text[TRACE_PARENT];
 *     trace_parent(&group->id, "generator", text);    -- what a generator sends on
 *     trace_take(pb->traceparent, &group->id, text);  -- from a peer; "": none that is right
 *
 * The trace id is the group's id, and the parent id follows from that and the sender's kind. So
 * nothing is drawn, and every process could say it. Any thread. */
#pragma once
#include "base/hash.h"

enum { TRACE_PARENT = 56 };

void trace_parent(const struct digest *group, const char *sender, char ret[TRACE_PARENT]);

/* W3C: what cannot be read, or is of another trace, is as if it had not come. */
void trace_take(const char *text, const struct digest *group, char ret[TRACE_PARENT]);
