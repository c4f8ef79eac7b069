/* A long text in memory, compressed in blocks, that is read by offset.
 *
 *     struct packed_text *text = packed_text_new();
 *     packed_text_put(text, piece, len);                 -- appends, any number of times
 *     packed_text_end(text);
 *     TRY(packed_text_get(text, at, to, len, &got));      -- got < len where the text ends
 *
 * A read unpacks the blocks that it touches, 64 KiB each. Once ended: any thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stddef.h>
#include <stdint.h>

struct packed_text;
struct packed_text *packed_text_new(void);
void packed_text_put(struct packed_text *text, const char *data, size_t len);
void packed_text_end(struct packed_text *text);
err_t packed_text_get(const struct packed_text *text, uint64_t at, void *to, size_t len,
                      size_t *ret);
void packed_text_free(struct packed_text *text);
DEFINE_SCOPED(packed_text)
