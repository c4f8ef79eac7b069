/* Lines of the log as JSON. A format of `key=value` words alone makes a field of each, and a number
 * of what is formatted as one. Any other is one field, "text".
 *
 *     log_json_fields(&line, "round=%d why=\"%s\"", args);     -- ,"round":7,"why":"..."
 *
 * Values may hold any bytes: what is no UTF-8 becomes U+FFFD, and nothing in a value makes a
 * field. Any thread. */
#pragma once
#include "base/bytes.h"
#include <stdarg.h>

void log_json_string(struct bytes *line, const char *text, size_t len); // with its quotes
void log_json_fields(struct bytes *line, const char *format, va_list args);
