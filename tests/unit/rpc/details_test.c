/* What an error says to programs: there and back, cut to size, and out of hostile bytes. */
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/details.h"
#include "rpc/text.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

static err_t plain(void)
{
    return err_new(ERR_INVALID, "lag.max: 10");
}

static void details_go_there_and_back(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    err_t e = err_reason(err_field(plain(), "lag.max", "0 to 9"), "VALUE_NOT_ALLOWED");
    assert_true(details_pack(e, "lag.max: 10", &out));
    assert_true(out.len <= DETAILS_MAX);
    err_t got = details_attach(plain(), out.data, out.len);
    assert_string_equal(err_field_name(got), "lag.max");
    assert_string_equal(err_field_allowed(got), "0 to 9");
    assert_string_equal(err_reason_word(got), "VALUE_NOT_ALLOWED");
    err_free(got);
    err_free(e);
}

static void an_error_without_them_has_none(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    err_t e = plain();
    assert_false(details_pack(e, "lag.max: 10", &out));
    assert_int_equal(out.len, 0);
    err_free(e);
}

/* A field of any length from outside fits a header, and stays UTF-8. */
static void texts_are_cut(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_MEM char *longer = mem_new(10001);
    for (int i = 0; i < 10000; i += 2)
        memcpy(longer + i, "\xc3\xa4", 2); // a umlaut
    err_t e = err_field(plain(), longer, longer);
    assert_true(details_pack(e, "m", &out));
    assert_true(out.len <= DETAILS_FIELD_MAX + DETAILS_ALLOWED_MAX + 200);
    err_t got = details_attach(plain(), out.data, out.len);
    assert_int_equal(strlen(err_field_name(got)), DETAILS_FIELD_MAX);
    err_free(got);
    err_free(e);
    SCOPED_MEM char *odd = text_clean("x\xc3\xa4", 2);
    assert_string_equal(odd, "x");
    SCOPED_MEM char *broken = text_clean("a\n\xff"
                                         "b",
                                         10);
    assert_string_equal(broken, "a ?b");
}

/* Every cut and every changed byte: an error as before, with or without details, never a crash. */
static void hostile_bytes_are_left_out(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    err_t e = err_reason(err_field(plain(), "lag.max", "0 to 9"), "VALUE_NOT_ALLOWED");
    assert_true(details_pack(e, "lag.max: 10", &out));
    err_free(e);
    for (size_t i = 0; i < out.len; i++) {
        e = details_attach(plain(), out.data, i);
        assert_string_equal(err_message(e), "lag.max: 10");
        err_free(e);
        for (int bit = 0; bit < 8; bit++) {
            out.data[i] ^= (uint8_t)(1 << bit);
            e = details_attach(plain(), out.data, out.len);
            assert_string_equal(err_message(e), "lag.max: 10");
            err_free(e);
            out.data[i] ^= (uint8_t)(1 << bit);
        }
    }
}

TESTS(cmocka_unit_test(details_go_there_and_back), cmocka_unit_test(an_error_without_them_has_none),
      cmocka_unit_test(texts_are_cut), cmocka_unit_test(hostile_bytes_are_left_out))
