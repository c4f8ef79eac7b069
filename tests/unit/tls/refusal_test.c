/* The answer to a refused client, byte by byte and with anything that it may send. */
#include "testing/testing.h"
#include "tls/refusal.h"
#include <stdlib.h>
#include <string.h>

enum { HEAD = 9, HEADERS = 1, SETTINGS = 4, GOAWAY = 7 };
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void put(struct bytes *out, int type, int flags, uint32_t stream, const char *data,
                size_t len)
{
    const uint8_t head[HEAD] = {
        (uint8_t)(len >> 16),    (uint8_t)(len >> 8),    (uint8_t)len,
        (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    bytes_put(out, head, HEAD);
    bytes_put(out, data, len);
}

/* A client's beginning: preface, settings, a window update, a call. */
static void put_call(struct bytes *out)
{
    bytes_text(out, preface);
    put(out, SETTINGS, 0, 0, "\0\3\0\0\0d", 6);
    put(out, 8, 0, 0, "\0\0\1\0", 4);
    put(out, HEADERS, 5, 7, "\x83\x86", 2);
}

/* The frames of an answer, each at its beginning; -1: there is none. */
static long find(const struct bytes *answer, int type)
{
    for (size_t at = 0; at + HEAD <= answer->len;) {
        const uint8_t *head = answer->data + at;
        if (head[3] == type)
            return (long)at;
        at += HEAD + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    }
    return -1;
}

static bool holds(const struct bytes *answer, long from, const char *text)
{
    return from >= 0 && memmem(answer->data + from, answer->len - (size_t)from, text, strlen(text));
}

static void answers_a_call(void **)
{
    struct bytes call = {0}, whole = {0};
    put_call(&call);
    for (size_t step = 1; step <= call.len; step++) { // however the bytes arrive
        struct bytes answer = {0};
        struct refusal refusal = refusal_of("the certificate expired on 2026-11-30");
        for (size_t at = 0; at < call.len; at += step)
            refusal_take(&refusal, call.data + at, call.len - at < step ? call.len - at : step,
                         &answer);
        assert_true(refusal.done);
        const long headers = find(&answer, HEADERS), goaway = find(&answer, GOAWAY);
        assert_int_equal(find(&answer, SETTINGS), 0);
        assert_int_equal(answer.data[headers + 8], 7); // its stream
        assert_true(holds(&answer, headers,
                          "grpc-status\x02"
                          "16"));
        assert_true(holds(&answer, headers, "the certificate expired on 2026-11-30"));
        assert_true(holds(&answer, goaway, "the certificate expired on 2026-11-30"));
        if (step == 1)
            bytes_put(&whole, answer.data, answer.len);
        assert_int_equal(answer.len, whole.len);
        assert_memory_equal(answer.data, whole.data, whole.len);
        bytes_done(&answer);
    }
    bytes_done(&call);
    bytes_done(&whole);
}

/* A length of 127 and more takes another byte in HPACK. */
static void long_reasons_are_whole(void **)
{
    for (size_t len = 100; len < REFUSAL_TEXT; len += 13) {
        char why[REFUSAL_TEXT] = "";
        struct bytes call = {0}, answer = {0};
        memset(why, 'w', len);
        struct refusal refusal = refusal_of(why);
        put_call(&call);
        refusal_take(&refusal, call.data, call.len, &answer);
        const long headers = find(&answer, HEADERS);
        const uint8_t *text =
            memmem(answer.data + headers, answer.len - (size_t)headers, "grpc-message", 12);
        size_t said = text[12], used = 1;
        if (said == 127)
            for (int shift = 0; used == 1 || text[12 + used - 1] >= 128; used++, shift += 7)
                said += (size_t)(text[12 + used] & 127) << shift;
        assert_int_equal(said, len);
        assert_memory_equal(text + 12 + used, why, len);
        bytes_done(&call);
        bytes_done(&answer);
    }
}

static void answers_http1(void **)
{
    static const char *const requests[] = {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "POST / HTTP/1.1\r\n\r\n", "PUT /"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct bytes answer = {0};
        struct refusal refusal = refusal_of("this port takes TLS alone");
        refusal_take(&refusal, (const uint8_t *)requests[i], strlen(requests[i]), &answer);
        assert_true(refusal.done);
        assert_non_null(strstr((char *)answer.data, "HTTP/1.1 400 "));
        assert_non_null(strstr((char *)answer.data, "this port takes TLS alone\n"));
        bytes_done(&answer);
    }
}

static void controls_and_percents_do_not_pass(void **)
{
    const struct refusal refusal = refusal_of("a\r\nb%41\x80");
    assert_string_equal(refusal.text, "a??b?41?");
}

/* The answer stays short and the end comes, whatever it is sent. */
static void anything_ends_it(void **)
{
    srandom(1);
    for (int round = 0; round < 300; round++) {
        struct bytes answer = {0};
        struct refusal refusal = refusal_of("no");
        if (round % 2)
            refusal_take(&refusal, (const uint8_t *)preface, strlen(preface), &answer);
        for (size_t sent = 0; !refusal.done; sent += 64) {
            uint8_t data[64];
            for (size_t i = 0; i < sizeof data; i++)
                data[i] = round % 3 ? (uint8_t)(random() % 8 ? 0 : random()) : (uint8_t)random();
            refusal_take(&refusal, data, sizeof data, &answer);
            assert_true(sent <= REFUSAL_TAKEN + 64);
        }
        assert_true(answer.len < 2000);
        bytes_done(&answer);
    }
}

/* Settings without an end are not acknowledged without an end. */
static void settings_are_acknowledged_a_few_times(void **)
{
    struct bytes sent = {0}, answer = {0};
    struct refusal refusal = refusal_of("no");
    bytes_text(&sent, preface);
    for (int i = 0; i < 1000; i++)
        put(&sent, SETTINGS, 0, 0, "", 0);
    refusal_take(&refusal, sent.data, sent.len, &answer);
    assert_false(refusal.done);
    assert_true(answer.len <= HEAD * 5);
    bytes_done(&sent);
    bytes_done(&answer);
}

TESTS(cmocka_unit_test(answers_a_call), cmocka_unit_test(long_reasons_are_whole),
      cmocka_unit_test(answers_http1), cmocka_unit_test(controls_and_percents_do_not_pass),
      cmocka_unit_test(anything_ends_it), cmocka_unit_test(settings_are_acknowledged_a_few_times))
