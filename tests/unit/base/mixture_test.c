/* Several files as one dataset: which row stands at which place of which epoch. */
#include "base/file.h"
#include "base/mem.h"
#include "base/mixture.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

enum { FILES = 3 };
static const int rows_of[FILES] = {7, 4, 10};

static char *write_rows(int file)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *name = mem_printf("%d.jsonl", file);
    char *path = file_join(testing_directory(), name);
    for (int i = 0; i < rows_of[file]; i++)
        bytes_printf(&text, "{\"r\": %d}\n", 100 * file + i);
    assert_ok(file_write(path, text.data, text.len));
    return path;
}

static err_t open_three(const double weight[FILES], uint64_t seed, bool shuffle,
                        struct mixture **ret)
{
    struct mixture_file files[FILES];
    for (int i = 0; i < FILES; i++)
        files[i] = (struct mixture_file){write_rows(i), weight[i]};
    err_t failed = mixture_open(files, FILES, seed, shuffle, ret);
    for (int i = 0; i < FILES; i++)
        mem_free(files[i].path);
    return failed;
}

static int row_at(const struct mixture *mixture, uint64_t epoch, uint64_t i)
{
    SCOPED_VALUE(bytes) text = {0};
    int row = -1;
    assert_ok(mixture_row(mixture, epoch, i, &text));
    assert_int_equal(sscanf((const char *)text.data, "{\"r\": %d}", &row), 1);
    return row;
}

/* How often a row stands in these epochs. */
static int times(const struct mixture *mixture, uint64_t from, uint64_t to, int row)
{
    int found = 0;
    for (uint64_t epoch = from; epoch < to; epoch++)
        for (uint64_t i = 0; i < mixture_rows(mixture); i++)
            found += row_at(mixture, epoch, i) == row;
    return found;
}

static void weights_say_how_often_a_row_comes(void **state)
{
    (void)state;
    static const double weight[FILES] = {1, 2, 0.5};
    SCOPED(mixture) mixture = NULL;
    assert_ok(open_three(weight, 3, true, &mixture));
    assert_int_equal(mixture_rows(mixture), 7 + 8 + 5);
    assert_int_equal(mixture_longest(mixture), strlen("{\"r\": 200}"));
    for (uint64_t epoch = 0; epoch < 4; epoch++)
        for (int i = 0; i < rows_of[0]; i++)
            assert_int_equal(times(mixture, epoch, epoch + 1, i), 1);
    for (int i = 0; i < rows_of[1]; i++)
        assert_int_equal(times(mixture, 2, 3, 100 + i), 2);
    for (uint64_t epoch = 0; epoch < 6; epoch += 2) // two epochs are a pass
        for (int i = 0; i < rows_of[2]; i++)
            assert_int_equal(times(mixture, epoch, epoch + 2, 200 + i), 1);
    bool moved = false; // each pass has another order
    for (uint64_t i = 15; i < 20; i++)
        moved = moved || row_at(mixture, 0, i) != row_at(mixture, 2, i);
    assert_true(moved);
    SCOPED_MEM char *name = mixture_name(mixture, 5, 7 + 8 - 1);
    assert_non_null(strstr(name, "/1.jsonl:4"));
}

static void a_place_is_a_function_of_seed_and_position(void **state)
{
    (void)state;
    static const double weight[FILES] = {1.5, 0.3, 1}, other[FILES] = {1.5, 0.3, 1.01};
    SCOPED(mixture) a = NULL, *b = NULL, *c = NULL, *plain = NULL, *d = NULL;
    assert_ok(open_three(weight, 3, true, &a));
    assert_ok(open_three(weight, 3, true, &b));
    assert_ok(open_three(weight, 4, true, &c));
    assert_ok(open_three(weight, 3, false, &plain));
    assert_ok(open_three(other, 3, true, &d));
    const struct digest one = mixture_digest(a), same = mixture_digest(b),
                        weighs = mixture_digest(d);
    assert_true(digest_equal(&one, &same));
    assert_false(digest_equal(&one, &weighs));
    bool differs = false;
    for (uint64_t epoch = 9; epoch-- > 0;) // backwards: no call depends on one before
        for (uint64_t i = mixture_rows(a); i-- > 0;) {
            assert_int_equal(row_at(a, epoch, i), row_at(b, epoch, i));
            differs = differs || row_at(a, epoch, i) != row_at(c, epoch, i);
        }
    assert_true(differs);
    for (uint64_t i = 0; i < 11; i++) // 1.5 * 7 rounds to 11 places
        assert_int_equal(row_at(plain, 0, i), i % 7);
    assert_int_equal(row_at(plain, 1, 0), 11 % 7);
}

static void one_file_is_itself(void **state)
{
    (void)state;
    SCOPED_MEM char *path = write_rows(2);
    const struct mixture_file file = {path, 1};
    SCOPED(mixture) mixture = NULL;
    SCOPED(jsonl) rows = NULL;
    assert_ok(mixture_open(&file, 1, 1, true, &mixture));
    assert_ok(jsonl_open(path, &rows));
    const struct digest one = mixture_digest(mixture), other = jsonl_digest(rows);
    assert_true(digest_equal(&one, &other));
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(row_at(mixture, 77, i), 200 + i);
}

static void a_file_without_a_place_is_refused(void **state)
{
    (void)state;
    static const double weight[FILES] = {1, 0.1, 1}, many[FILES] = {1, 1, 1e9};
    SCOPED(mixture) none = NULL;
    assert_err(ERR_RANGE, "1.jsonl': weight 0.1 of 4 rows is 0 places in an epoch; 1 to",
               open_three(weight, 1, true, &none));
    assert_err(ERR_RANGE, "2.jsonl': weight 1e+09", open_three(many, 1, true, &none));
    assert_null(none);
}

TESTS(cmocka_unit_test(weights_say_how_often_a_row_comes),
      cmocka_unit_test(a_place_is_a_function_of_seed_and_position),
      cmocka_unit_test(one_file_is_itself), cmocka_unit_test(a_file_without_a_place_is_refused))
