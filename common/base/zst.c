#include "base/zst.h"
#include "base/mem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { LEVEL = 1, WINDOW_LOG_MAX = 27 };

size_t zst_compress(const void *data, size_t len, void *to, size_t room)
{
    const size_t got = ZSTD_compress(to, room, data, len, LEVEL);
    return ZSTD_isError(got) ? 0 : got;
}

err_t zst_decompress(const void *data, size_t len, void *to, size_t room, size_t *ret)
{
    const size_t got = ZSTD_decompress(to, room, data, len);
    if (ZSTD_isError(got))
        return err_new(ERR_INVALID, "zstd: %s", ZSTD_getErrorName(got));
    *ret = got;
    return OK;
}

/* A frame, or one to be skipped, with which pzstd begins. */
bool zst_is(const void *data, size_t len)
{
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd}, skipped[] = {0x2a, 0x4d, 0x18};
    const uint8_t *byte = data;
    return len >= sizeof frame && (memcmp(byte, frame, sizeof frame) == 0 ||
                                   (byte[0] >> 4 == 5 && memcmp(byte + 1, skipped, 3) == 0));
}

struct zst_stream {
    ZSTD_DStream *decoder;
    bool inside; // a frame has begun and has not ended
    size_t room;
    char out[];
};

struct zst_stream *zst_stream_new(void)
{
    const size_t room = ZSTD_DStreamOutSize();
    struct zst_stream *stream = mem_new(sizeof *stream + room);
    stream->room = room;
    stream->decoder = ZSTD_createDStream();
    if (!stream->decoder)
        abort(); // as mem_new does without memory
    ZSTD_DCtx_setParameter(stream->decoder, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    return stream;
}

err_t zst_stream_put(struct zst_stream *stream, const void *data, size_t len, zst_take take,
                     void *arg)
{
    ZSTD_inBuffer in = {data, len, 0};
    ZSTD_outBuffer out;
    do {
        out = (ZSTD_outBuffer){stream->out, stream->room, 0};
        const size_t before = in.pos;
        const size_t left = ZSTD_decompressStream(stream->decoder, &out, &in);
        if (ZSTD_isError(left))
            return err_new(ERR_INVALID, "zstd: %s", ZSTD_getErrorName(left));
        if (in.pos > before || out.pos)
            stream->inside = left;
        if (out.pos)
            TRY(take(arg, stream->out, out.pos));
    } while (in.pos < in.size || out.pos == out.size); // a full piece: the decoder may hold more
    return OK;
}

err_t zst_stream_end(const struct zst_stream *stream)
{
    return stream->inside ? err_new(ERR_INVALID, "zstd: the file is cut short") : OK;
}

void zst_stream_free(struct zst_stream *stream)
{
    if (!stream)
        return;
    ZSTD_freeDStream(stream->decoder);
    mem_free(stream);
}
