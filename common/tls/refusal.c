#include "tls/refusal.h"
#include <stdio.h>
#include <string.h>

enum {
    PREFACE = 24, // bytes of HTTP/2's first line
    FRAME_HEAD = 9,
    DATA_MAX = 16384, // longest frame that we allow
    SETTINGS_MAX = 4, // frames of that type are acknowledged
    TYPE_HEADERS = 1,
    TYPE_SETTINGS = 4,
    TYPE_GOAWAY = 7,
    END_STREAM = 1,
    END_HEADERS = 4,
};
enum { STAGE_FIRST, STAGE_HEAD, STAGE_SKIP };
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct refusal refusal_of(const char *why)
{
    struct refusal refusal = {0};
    snprintf(refusal.text, sizeof refusal.text, "%s", why);
    for (char *p = refusal.text; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '%') // '%' escapes in grpc-message
            *p = '?';
    return refusal;
}

static void put_frame(struct bytes *out, int type, int flags, uint32_t stream, const void *data,
                      size_t len)
{
    const uint8_t head[FRAME_HEAD] = {
        (uint8_t)(len >> 16),    (uint8_t)(len >> 8),    (uint8_t)len,
        (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    bytes_put(out, head, sizeof head);
    bytes_put(out, data, len);
}

/* HPACK: literal, not indexed. A length of 127 and more goes on in a second byte, and a third. */
static void put_text(struct bytes *out, const char *text)
{
    size_t len = strlen(text);
    if (len < 127)
        bytes_u8(out, (uint8_t)len);
    else {
        bytes_u8(out, 127);
        for (len -= 127; len >= 128; len >>= 7)
            bytes_u8(out, (uint8_t)(len % 128 + 128));
        bytes_u8(out, (uint8_t)len);
    }
    bytes_text(out, text);
}

static void put_header(struct bytes *out, const char *name, const char *value)
{
    bytes_u8(out, 0);
    put_text(out, name);
    put_text(out, value);
}

static void put_goaway(const struct refusal *refusal, struct bytes *out)
{
    uint8_t data[8 + REFUSAL_TEXT] = {0};
    const size_t len = strlen(refusal->text);
    const uint32_t last = refusal->stream;
    for (int i = 0; i < 4; i++)
        data[i] = (uint8_t)(last >> (24 - 8 * i));
    data[7] = 0; // NO_ERROR: the call that was answered keeps its status
    memcpy(data + 8, refusal->text, len);
    put_frame(out, TYPE_GOAWAY, 0, 0, data, 8 + len);
}

/* The call's status without a message, then the end. */
static void answer(struct refusal *refusal, struct bytes *out)
{
    struct bytes block = {0};
    char number[8];
    snprintf(number, sizeof number, "%d", REFUSAL_STATUS);
    put_header(&block, ":status", "200");
    put_header(&block, "content-type", "application/grpc");
    put_header(&block, "grpc-status", number);
    put_header(&block, "grpc-message", refusal->text);
    put_frame(out, TYPE_HEADERS, END_STREAM | END_HEADERS, refusal->stream, block.data, block.len);
    bytes_done(&block);
    put_goaway(refusal, out);
    refusal->done = true;
}

static void answer_http1(struct refusal *refusal, struct bytes *out)
{
    bytes_printf(out,
                 "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                 "Content-Length: %zu\r\n\r\n%s\n",
                 strlen(refusal->text) + 1, refusal->text);
    refusal->done = true;
}

static bool is_http1(const uint8_t *data, size_t len)
{
    static const char *const words[] = {"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (len >= strlen(words[i]) && memcmp(data, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

/* The first line has come as far as this. */
static void take_first(struct refusal *refusal, struct bytes *out)
{
    if (memcmp(refusal->head, preface, refusal->head_len) != 0) {
        if (is_http1(refusal->head, refusal->head_len))
            answer_http1(refusal, out);
        else if (refusal->head_len == PREFACE || refusal->head[0] < 'A' || refusal->head[0] > 'Z')
            refusal->done = true; // nothing that we could answer
    } else if (refusal->head_len == PREFACE) {
        put_frame(out, TYPE_SETTINGS, 0, 0, NULL, 0);
        refusal->stage = STAGE_HEAD;
        refusal->head_len = 0;
    }
}

static void take_head(struct refusal *refusal, struct bytes *out)
{
    const uint8_t *head = refusal->head;
    const size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    const uint32_t stream =
        ((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) &
        0x7fffffff;
    refusal->head_len = 0;
    refusal->skip = len;
    refusal->stage = len ? STAGE_SKIP : STAGE_HEAD;
    if (len > DATA_MAX)
        refusal->done = true;
    else if (head[3] == TYPE_SETTINGS && !(head[4] & 1) && refusal->settings++ < SETTINGS_MAX)
        put_frame(out, TYPE_SETTINGS, 1, 0, NULL, 0);
    else if (head[3] == TYPE_HEADERS && stream) {
        refusal->stream = stream;
        answer(refusal, out);
    }
}

void refusal_take(struct refusal *refusal, const uint8_t *data, size_t len, struct bytes *ret)
{
    while (len && !refusal->done) {
        const size_t wanted = refusal->stage == STAGE_SKIP ? refusal->skip : 1;
        const size_t some = wanted < len ? wanted : len;
        refusal->taken += some;
        if (refusal->stage == STAGE_SKIP) {
            refusal->skip -= some;
            refusal->stage = refusal->skip ? STAGE_SKIP : STAGE_HEAD;
        } else {
            refusal->head[refusal->head_len++] = *data;
            if (refusal->stage == STAGE_FIRST)
                take_first(refusal, ret);
            else if (refusal->head_len == FRAME_HEAD)
                take_head(refusal, ret);
        }
        data += some;
        len -= some;
        if (refusal->taken > REFUSAL_TAKEN)
            refusal->done = true;
    }
}
