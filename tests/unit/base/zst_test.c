/* zstd's frames: whole, in pieces, damaged; and datasets that are such files. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "base/packed_text.h"
#include "base/zst.h"
#include "testing/testing.h"
#include <string.h>

static void compress(const char *text, size_t len, struct bytes *ret)
{
    SCOPED_MEM char *to = mem_new(len + 128);
    const size_t got = zst_compress(text, len, to, len + 128);
    assert_true(got > 0);
    bytes_put(ret, to, got);
}

static err_t collect(void *arg, const char *data, size_t len)
{
    bytes_put(arg, data, len);
    return OK;
}

static err_t refuse(void *arg, const char *data, size_t len)
{
    (void)arg, (void)data, (void)len;
    return err_new(ERR_RANGE, "enough");
}

/* Reads a stream in pieces of so many bytes. */
static err_t unpack(const struct bytes *in, size_t piece, struct bytes *ret)
{
    SCOPED(zst_stream) stream = zst_stream_new();
    for (size_t at = 0; at < in->len; at += piece) {
        const size_t len = in->len - at < piece ? in->len - at : piece;
        TRY(zst_stream_put(stream, in->data + at, len, collect, ret));
    }
    return zst_stream_end(stream);
}

static void pieces_of_any_size_give_the_text(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) text = {0}, packed = {0};
    for (int i = 0; i < 60000; i++)
        bytes_printf(&text, "%d,", i * 7919 % 10007);
    compress((const char *)text.data, text.len, &packed);
    compress("and a second frame", 18, &packed);
    bytes_text(&text, "and a second frame");
    const size_t pieces[] = {1, 7, 4096, packed.len};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        SCOPED_VALUE(bytes) got = {0};
        assert_ok(unpack(&packed, pieces[i], &got));
        assert_int_equal(got.len, text.len);
        assert_memory_equal(got.data, text.data, text.len);
    }
    SCOPED(zst_stream) stream = zst_stream_new();
    assert_err(ERR_RANGE, "enough", zst_stream_put(stream, packed.data, packed.len, refuse, NULL));
}

static void damage_is_named(void **state)
{
    (void)state;
    static const uint8_t window[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 1, 0, 0}; // 256 MiB
    SCOPED_VALUE(bytes) packed = {0}, got = {0};
    char to[8];
    size_t len = 0;
    compress("some text, some text, some text", 31, &packed);
    for (size_t cut = 1; cut < packed.len; cut++) {
        const struct bytes part = {.data = packed.data, .len = cut};
        assert_err(ERR_INVALID, "zstd: the file is cut short", unpack(&part, 3, &got));
    }
    assert_err(ERR_INVALID, "zstd: ", zst_decompress(packed.data, packed.len, to, sizeof to, &len));
    assert_int_equal(len, 0);
    assert_int_equal(zst_compress("\1\2\3\4\5\6\7", 7, to, 2), 0);
    bytes_text(&packed, "garbage");
    assert_err(ERR_INVALID, "zstd: Unknown frame descriptor", unpack(&packed, 5, &got));
    const struct bytes large = {.data = (uint8_t *)window, .len = sizeof window};
    assert_err(ERR_INVALID, "zstd: Frame requires too much memory", unpack(&large, 4, &got));
}

static void a_packed_text_is_read_by_offset(void **state)
{
    (void)state;
    enum { LEN = 200000 };
    SCOPED(packed_text) text = packed_text_new();
    SCOPED_MEM uint8_t *data = mem_new(LEN);
    SCOPED_MEM uint8_t *to = mem_new(LEN + 1);
    for (uint32_t i = 0, x = 1; i < LEN; i++, x = x * 1664525 + 1013904223)
        data[i] = i < LEN / 2 ? (uint8_t)(i / 100) : (uint8_t)(x >> 24); // packs; does not
    for (size_t at = 0; at < LEN; at += 999)
        packed_text_put(text, (char *)data + at, LEN - at < 999 ? LEN - at : 999);
    packed_text_end(text);
    static const uint64_t from[] = {0, 1, 65535, 65536, 131071, 199999, 200000, 900000};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        for (size_t len = 0; len <= LEN + 1; len = 9 * len + 1) {
            size_t got = 1;
            const size_t left = from[i] < LEN ? LEN - (size_t)from[i] : 0;
            assert_ok(packed_text_get(text, from[i], to, len, &got));
            assert_int_equal(got, len < left ? len : left);
            assert_memory_equal(to, data + (left ? from[i] : 0), got);
        }
}

/* ---- datasets */

static err_t open_packed(const struct bytes *packed, struct jsonl **ret)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "d.jsonl.zst");
    assert_ok(file_write(path, packed->data, packed->len));
    return jsonl_open(path, ret);
}

static void rows_of_a_packed_file_are_those_of_the_text(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) text = {0}, packed = {0};
    bytes_text(&text, "\xef\xbb\xbf");
    for (int i = 0; i < 20000; i++)
        bytes_printf(&text, "{\"row\": %d}%s", i, i < 19999 ? "\n" : "");
    const size_t half = text.len / 2;
    compress((const char *)text.data, half, &packed);
    bytes_put(&packed, "\x50\x2a\x4d\x18\x02\0\0\0xx", 10); // a frame that is to be skipped
    compress((const char *)text.data + half, text.len - half, &packed);
    SCOPED_MEM char *path = file_join(testing_directory(), "d.jsonl");
    assert_ok(file_write(path, text.data, text.len));
    SCOPED(jsonl) plain = NULL, *rows = NULL;
    assert_ok(jsonl_open(path, &plain));
    assert_ok(open_packed(&packed, &rows));
    assert_int_equal(jsonl_rows(rows), 20000);
    const struct digest a = jsonl_digest(plain), b = jsonl_digest(rows);
    assert_true(digest_equal(&a, &b));
    for (uint64_t i = 0; i < 20000; i += 371) {
        SCOPED_VALUE(bytes) one = {0}, other = {0};
        assert_ok(jsonl_row(plain, i, &one));
        assert_ok(jsonl_row(rows, i, &other));
        assert_string_equal(one.data, other.data);
    }
}

static void bad_packed_files_name_the_line(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) packed = {0}, line = {0}, wide = {0};
    struct jsonl *none = NULL;
    compress("{}\n{}\nx\n", 8, &line);
    assert_err(ERR_INVALID, "d.jsonl.zst:3: not JSON", open_packed(&line, &none));
    compress("{}\n{}\n", 6, &packed);
    packed.len--;
    assert_err(ERR_INVALID, "d.jsonl.zst:", open_packed(&packed, &none));
    assert_err(ERR_INVALID, ": zstd: the file is cut short", open_packed(&packed, &none));
    packed.len++;
    bytes_text(&packed, "{}\n");
    assert_err(ERR_INVALID, "d.jsonl.zst:3: zstd: Unknown frame", open_packed(&packed, &none));
    SCOPED_MEM char *spaces = mem_new(2 * JSONL_LINE_BYTES); // 30 bytes on the disk
    memset(spaces, ' ', 2 * JSONL_LINE_BYTES);
    compress(spaces, 2 * JSONL_LINE_BYTES, &wide);
    assert_err(ERR_INVALID, "d.jsonl.zst:1: a line of more than", open_packed(&wide, &none));
    assert_null(none);
}

TESTS(cmocka_unit_test(pieces_of_any_size_give_the_text), cmocka_unit_test(damage_is_named),
      cmocka_unit_test(a_packed_text_is_read_by_offset),
      cmocka_unit_test(rows_of_a_packed_file_are_those_of_the_text),
      cmocka_unit_test(bad_packed_files_name_the_line))
