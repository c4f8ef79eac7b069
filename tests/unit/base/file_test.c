/* Files that are whole or not there, JSON with named places, datasets. */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void holds(const char *path, const char *text)
{
    SCOPED_VALUE(bytes) all = {0};
    assert_ok(file_read(path, 1 << 20, &all));
    assert_string_equal(all.data ? (char *)all.data : "", text);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "file"), *aside = file_join(directory, "file.tmp");
    assert_ok(file_write(path, "old", 3));
    holds(path, "old");
    assert_ok(file_write(path, "new", 3));
    holds(path, "new");
    assert_false(file_exists(aside));
    /* A limit on files' length stands in for a full disk. */
    struct rlimit before, small = {4096, 0};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    SCOPED_MEM char *big = mem_new(100000);
    err_t failed = file_write(path, big, 100000);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_err(ERR_UNAVAILABLE, "File too large", failed);
    holds(path, "new");
    assert_false(file_exists(aside));
    SCOPED_MEM char *sub = file_join(directory, "sub"), *inside = file_join(directory, "sub/x");
    assert_ok(file_make_directories(inside));
    assert_err(ERR_INVALID, "cannot rename", file_write(sub, "x", 1)); // a directory is in the way
    SCOPED_MEM char *missing = file_join(directory, "no/file");
    assert_err(ERR_NOT_FOUND, "cannot create", file_write(missing, "x", 1));
}

static mode_t mode_of(const char *path)
{
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    return found.st_mode & 0777;
}

static void a_private_file_is_its_owners(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "key"), *aside = file_join(directory, "key.tmp");
    const mode_t mask = umask(0);
    assert_ok(file_write(path, "old", 3));
    assert_ok(file_write(aside, "of a process that died", 22));
    assert_int_equal(mode_of(aside), 0644);
    assert_ok(file_write_private(path, "new", 3));
    umask(mask);
    holds(path, "new");
    assert_int_equal(mode_of(path), 0600);
    assert_false(file_exists(aside));
}

static void reading_is_bounded_and_says_what_is_wrong(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "file"), *copy = file_join(directory, "copy");
    SCOPED_VALUE(bytes) all = {0};
    assert_ok(file_write(path, "12345", 5));
    assert_err(ERR_RANGE, "longer than the 4 bytes", file_read(path, 4, &all));
    assert_int_equal(all.len, 0);
    assert_ok(file_read(path, 5, &all));
    assert_ok(file_read(path, 5, &all)); // appends
    assert_string_equal(all.data, "1234512345");
    assert_err(ERR_INVALID, "is a directory", file_read(directory, 4, &all));
    assert_err(ERR_NOT_FOUND, "cannot open", file_read(copy, 4, &all));
    assert_ok(file_copy(path, copy));
    holds(copy, "12345");
    assert_ok(file_remove_tree(directory));
    assert_ok(file_remove_tree(directory));
    assert_false(file_exists(path));
    SCOPED_MEM char *absolute = file_join("a", "/b"), *plain = file_join("", "b");
    assert_string_equal(absolute, "/b");
    assert_string_equal(plain, "b");
}

static void json_errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "c.json: not JSON: column 0"}, {"{\"a\": 1,}", "c.json: not JSON: column 9"},
        {"{\"a\":1,\"a\":2}", "duplicate"}, {"{} {}", "not JSON"},
        {"{\"a\":\"\xff\"}", "not JSON"},   {"\n\n[1", "line 3"},
        {"{\"a\":1e999}", "not JSON"},
    };
    json_t *none = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_err(ERR_INVALID, bad[i].message,
                   json_parse(bad[i].text, strlen(bad[i].text), "c.json", &none));
    SCOPED_MEM char *deep = mem_new(100001);
    memset(deep, '[', 100000);
    assert_err(ERR_INVALID, "not JSON", json_parse(deep, 100000, "c.json", &none));
    assert_null(none);
}

static void json_members_are_typed_and_in_range(void **state)
{
    (void)state;
    static const char text[] = "{\"n\": 5, \"x\": 1.5, \"b\": true, \"s\": \"t\", \"null\": null}";
    SCOPED_JSON json_t *json = NULL;
    assert_ok(json_parse(text, strlen(text), "c.json", &json));
    int64_t n = -1;
    double x = -1;
    bool b = false;
    const char *s = NULL;
    assert_ok(json_get_int(json, "c.json", "n", 1, 5, &n));
    assert_ok(json_get_number_or(json, "c.json", "x", &x));
    assert_ok(json_get_bool_or(json, "c.json", "b", &b));
    assert_ok(json_get_text(json, "c.json", "s", &s));
    assert_true(n == 5 && x == 1.5 && b && strcmp(s, "t") == 0);
    assert_ok(json_get_int_or(json, "c.json", "none", 1, 5, &n));
    assert_ok(json_get_int_or(json, "c.json", "null", 1, 5, &n));
    assert_ok(json_get_number_or(json, "c.json", "n", &x));
    assert_true(n == 5 && x == 5);
    assert_err(ERR_INVALID, "c.json: 'n' is 5; it must be a whole number from 6 to 9",
               json_get_int(json, "c.json", "n", 6, 9, &n));
    assert_err(ERR_INVALID, "c.json: 'm' is missing", json_get_int(json, "c.json", "m", 6, 9, &n));
    assert_err(ERR_INVALID, "'x' is 1.5", json_get_int_or(json, "c.json", "x", 1, 9, &n));
    assert_err(ERR_INVALID, "'s' is \"t\"; it must be a number",
               json_get_number_or(json, "c.json", "s", &x));
    assert_err(ERR_INVALID, "true or false", json_get_bool_or(json, "c.json", "n", &b));
    assert_err(ERR_INVALID, "a string", json_get_text(json, "c.json", "null", &s));
    assert_int_equal(n, 5);
}

/* Writes text and opens it. */
static err_t open_text(const char *text, size_t len, struct jsonl **ret)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "d.jsonl");
    assert_ok(file_write(path, text, len));
    return jsonl_open(path, ret);
}

static void row_is(const struct jsonl *rows, uint64_t i, const char *text)
{
    SCOPED_VALUE(bytes) row = {0};
    assert_ok(jsonl_row(rows, i, &row));
    assert_string_equal(row.data, text);
}

static void rows_are_read_by_number(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": 1}\n {\"b\": \"x\\ny\"} \r\n{}";
    SCOPED(jsonl) rows = NULL, *same = NULL;
    assert_ok(open_text(text, strlen(text), &rows));
    assert_int_equal(jsonl_rows(rows), 3);
    row_is(rows, 2, "{}");
    row_is(rows, 0, "{\"a\": 1}");
    row_is(rows, 1, " {\"b\": \"x\\ny\"} ");
    struct digest digest = jsonl_digest(rows), whole = hash128(text, strlen(text), 0);
    assert_true(digest_equal(&digest, &whole));
    SCOPED_VALUE(bytes) row = {0};
    assert_err(ERR_RANGE, "no row 3; it has 3", jsonl_row(rows, 3, &row));
    assert_int_equal(row.len, 0);
    assert_ok(open_text("{}\n", 3, &same));
    assert_int_equal(jsonl_rows(same), 1);
    FILE *shorter = fopen(jsonl_path(rows), "w"); // behind its back
    fputs("{\"a\": 1}\n{}", shorter);
    fclose(shorter);
    assert_err(ERR_DATA_LOSS, "d.jsonl:2: the file changed", jsonl_row(rows, 1, &row));
}

/* An editor's mark before the first row belongs to no row; before another it is text outside of
 * JSON. */
static void a_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf{\"a\": 1}\n{\"b\": 2}";
    SCOPED(jsonl) rows = NULL;
    SCOPED_VALUE(bytes) many = {0};
    assert_ok(open_text(text, strlen(text), &rows));
    row_is(rows, 0, "{\"a\": 1}");
    row_is(rows, 1, "{\"b\": 2}");
    bytes_text(&many, "\xef\xbb\xbf");
    for (int i = 0; i < 5000; i++) // the index grows several times
        bytes_printf(&many, "{\"row\": %d}\n", i);
    SCOPED(jsonl) longer = NULL;
    assert_ok(open_text((char *)many.data, many.len, &longer));
    row_is(longer, 0, "{\"row\": 0}");
    row_is(longer, 4999, "{\"row\": 4999}");
}

static void bad_datasets_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "has no rows"},
        {"{}\n\n{}\n", "d.jsonl:2: an empty line"},
        {"{}\n  \t\r\n", "d.jsonl:2: an empty line"},
        {"{}\n[1]\n", "d.jsonl:2: [1] is not a JSON object"},
        {"{}\n{}{}\n", "d.jsonl:2: not JSON"},
        {"{\"a\":\n1}\n", "d.jsonl:1: not JSON"},
        {"{\"a\":1,\"a\":1}\n", "d.jsonl:1: not JSON: column"},
        {"{}\n{\"a\": 9223372036854775808}\n", "d.jsonl:2: not JSON: column 25: too big integer"},
        {"{\"a\": 1e999}\n", "d.jsonl:1: not JSON: column 11: real number overflow"},
        {"{\"a\": NaN}\n", "d.jsonl:1: not JSON: column 9: invalid token"},
        {"{\"a\": \"x\\u0000\"}\n", "\\u0000 is not allowed near"},
        {"\x1f\x8b\x08\n", "d.jsonl:1: not JSON but gzip: unpack it first"},
        {"\xff\xfe{\n", "d.jsonl:1: not JSON: UTF-16; allowed: UTF-8"},
        {"\x1b[2J\n", "d.jsonl:1: not JSON: column 1: invalid token near '?'"},
    };
    struct jsonl *none = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_err(ERR_INVALID, bad[i].message, open_text(bad[i].text, strlen(bad[i].text), &none));
    assert_err(ERR_INVALID, "d.jsonl:1: not JSON", open_text("{\"a\":\"\0\"}\n", 10, &none));
    size_t limit = JSONL_LINE_BYTES;
    SCOPED_MEM char *longest = mem_new(limit + 2);
    memset(longest, ' ', limit);
    memcpy(longest, "{}", 2);
    SCOPED(jsonl) rows = NULL;
    assert_ok(open_text(longest, limit, &rows)); // many reads long
    longest[limit] = ' ';
    assert_err(ERR_INVALID, "d.jsonl:1: a line of more than 4194304 bytes",
               open_text(longest, limit + 1, &none));
    assert_err(ERR_NOT_FOUND, "cannot open '/no/d.jsonl'", jsonl_open("/no/d.jsonl", &none));
    assert_err(ERR_INVALID, "'/dev/null' is not a file", jsonl_open("/dev/null", &none));
    SCOPED_MEM char *pipe = file_join(testing_directory(), "pipe"); // nobody writes to it
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_err(ERR_INVALID, "pipe' is not a file", jsonl_open(pipe, &none));
    assert_null(none);
}

/* Pieces of another size than the file's reads. */
static void a_file_is_hashed_in_pieces(void **state)
{
    (void)state;
    const size_t lens[] = {0, 1, 1 << 18, (1 << 18) + 1, 3 * (1 << 18) + 77};
    SCOPED_MEM uint8_t *data = mem_array(lens[4], 1);
    char *path = testing_path(testing_directory(), "large");
    for (size_t i = 0; i < lens[4]; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct digest whole = hash128(data, lens[i], 0), pieces, file;
        struct hash *hash = hash_begin();
        for (size_t at = 0; at < lens[i]; at += 1000)
            hash_put(hash, data + at, lens[i] - at < 1000 ? lens[i] - at : 1000);
        pieces = hash_end(hash);
        assert_true(digest_equal(&whole, &pieces));
        assert_ok(file_write(path, data, lens[i]));
        assert_ok(file_digest(path, &file));
        assert_true(digest_equal(&whole, &file));
    }
    struct digest none;
    assert_err(ERR_NOT_FOUND, "no such", file_digest("no such", &none));
    assert_err(ERR_INVALID, "cannot read", file_digest(testing_directory(), &none));
}

TESTS(cmocka_unit_test(a_private_file_is_its_owners), cmocka_unit_test(a_file_is_hashed_in_pieces),
      cmocka_unit_test(a_failed_write_leaves_the_old_file),
      cmocka_unit_test(reading_is_bounded_and_says_what_is_wrong),
      cmocka_unit_test(json_errors_name_the_place),
      cmocka_unit_test(json_members_are_typed_and_in_range),
      cmocka_unit_test(rows_are_read_by_number), cmocka_unit_test(a_byte_order_mark_is_skipped),
      cmocka_unit_test(bad_datasets_name_the_line))
