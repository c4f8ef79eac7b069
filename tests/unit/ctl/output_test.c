/* Tables and figures, as people read them. */
#include "ctl/words/output.h"
#include "testing/testing.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void tables_stand_in_columns(void **state)
{
    (void)state;
    SCOPED(table) table = table_new("NAME|>VERSION|WAITS FOR");
    SCOPED_VALUE(bytes) text = {0};
    table_cell(table, "%s", "generator-2");
    table_cell(table, "%d", 7);
    table_cell(table, "%s", "leases,\nor \x1b[2J more");
    table_cell(table, "%s", "gé");
    table_cell(table, "%d", 12345678);
    table_cell(table, "%s", "");
    table_cell(table, "%s", "half");
    table_render(table, 0, &text);
    assert_string_equal((char *)text.data, "NAME          VERSION  WAITS FOR\n"
                                           "generator-2         7  leases, or \\x1b[2J more\n"
                                           "gé           12345678  -\n"
                                           "half\n");
}

/* The widest are cut first, not what rows are known by; a page that nothing fits on is exceeded. */
static void tables_fit_the_page(void **state)
{
    (void)state;
    SCOPED(table) table = table_new("KEY|VALUE|>N|ALLOWED");
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(bytes) narrow = {0};
    table_cell(table, "%s", "learner.objective");
    table_cell(table, "%s", "rloo");
    table_cell(table, "%d", 7);
    table_cell(table, "%s", "grpo, rloo, rløø, dapo, online_dpo");
    table_render(table, 48, &text);
    assert_string_equal((char *)text.data, "KEY                VALUE  N  ALLOWED\n"
                                           "learner.objective  rloo   7  grpo, rloo, rløø...\n");
    table_render(table, 1, &narrow);
    assert_string_equal((char *)narrow.data, "KEY     VALUE  N  ALL...\n"
                                             "lea...  rloo   7  grp...\n");
}

static void an_empty_table_is_its_header(void **state)
{
    (void)state;
    SCOPED(table) table = table_new("A|>B");
    SCOPED_VALUE(bytes) text = {0};
    table_render(table, 0, &text);
    assert_string_equal((char *)text.data, "A  B\n");
}

static void figures_are_short(void **state)
{
    (void)state;
    assert_string_equal(figure_count(0).text, "0");
    assert_string_equal(figure_count(17).text, "17");
    assert_string_equal(figure_count(0.816).text, "0.82");
    assert_string_equal(figure_count(-3.5).text, "-3.50");
    assert_string_equal(figure_count(999.4).text, "999");
    assert_string_equal(figure_count(999.6).text, "1.00k");
    assert_string_equal(figure_count(12345).text, "12.3k");
    assert_string_equal(figure_count(4.1e6).text, "4.10M");
    assert_string_equal(figure_count(NAN).text, "-");
    assert_string_equal(figure_count(1e300).text[0] ? "some" : "", "some");
    assert_string_equal(figure_bytes(512).text, "512 B");
    assert_string_equal(figure_bytes(1.25e6).text, "1.25 MB");
    assert_string_equal(figure_seconds(3.21).text, "3.2 s");
    assert_string_equal(figure_seconds(59.97).text, "1 m 00 s");
    assert_string_equal(figure_seconds(250).text, "4 m 10 s");
    assert_string_equal(figure_seconds(7500).text, "2 h 05 m");
    assert_string_equal(figure_seconds(273600).text, "3 d 04 h");
    assert_string_equal(figure_seconds(INFINITY).text, "-");
    assert_string_equal(figure_time(0).text, "-");
    setenv("TZ", "UTC", 1);
    tzset();
    assert_string_equal(figure_time(1763742035123).text, "2025-11-21 16:20:35");
}

static void formats_are_table_and_json(void **state)
{
    (void)state;
    bool json = true;
    assert_ok(output_format(NULL, &json));
    assert_false(json);
    assert_ok(output_format("json", &json));
    assert_true(json);
    assert_ok(output_format("table", &json));
    assert_false(json);
    assert_err(ERR_INVALID, "'yaml' is none of table, wide, json", output_format("yaml", &json));
}

TESTS(cmocka_unit_test(tables_stand_in_columns), cmocka_unit_test(tables_fit_the_page),
      cmocka_unit_test(an_empty_table_is_its_header), cmocka_unit_test(figures_are_short),
      cmocka_unit_test(formats_are_table_and_json))
