/* zstd: bytes at once, and a stream of frames a piece at a time. libzstd's one home.
 *
 *     size_t len = zst_compress(data, data_len, to, room);              -- 0: it does not fit into room
 *     TRY(zst_decompress(to, len, data, data_len, &got));               -- INVALID: "zstd: ..."
 *
 *     SCOPED(zst_stream) stream = zst_stream_new();
 *     while (... a piece ...)
 *         TRY(zst_stream_put(stream, piece, len, take, arg));           -- take(arg, data, len), many times
 *     TRY(zst_stream_end(stream));                                      -- INVALID: cut short
 *
 * A stream is one owner's at a time; the calls without one are any thread's. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>

/* Fast rather than small. */
size_t zst_compress(const void *data, size_t len, void *to, size_t room);

/* *ret: bytes written to `to`. INVALID: no frame, damaged, or more than room. */
err_t zst_decompress(const void *data, size_t len, void *to, size_t room, size_t *ret);

/* Whether data begins as zstd's files do. */
bool zst_is(const void *data, size_t len);

/* Frames, one behind the other, as zstd and pzstd write them; checksums are compared. A frame that
 * needs more than 128 MiB to be read (zstd --long=28 and above) is refused. */
struct zst_stream;
typedef err_t (*zst_take)(void *arg, const char *data, size_t len);
struct zst_stream *zst_stream_new(void);
/* INVALID: damaged, or other bytes behind a frame. Errors of take are passed on. */
err_t zst_stream_put(struct zst_stream *stream, const void *data, size_t len, zst_take take,
                     void *arg);
err_t zst_stream_end(const struct zst_stream *stream);
void zst_stream_free(struct zst_stream *stream);
DEFINE_SCOPED(zst_stream)
