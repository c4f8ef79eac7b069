/* Rows of one vocabulary found in another: holes, rows without a token, equal bytes. */
#include "ctl/merge/vocabulary.h"
#include "merge_kit.h"

static const char *const ours[] = {"<eos>", "a", "b", "c"};
enum { OURS = 4 };

static struct tokenizer *tokenizer_of(const char *name, const char *const *token, int count)
{
    struct tokenizer *ret = NULL;
    const char *directory = testing_path(testing_directory(), name);
    assert_ok(file_make_directories(directory));
    kit_tokenizer(directory, token, count);
    assert_ok(tokenizer_load(directory, &ret));
    return ret;
}

static void check(const struct merge_vocabulary *rows, const int *want, int V)
{
    int shared = 0;
    assert_int_equal(rows->V, V);
    for (int i = 0; i < V; i++) {
        assert_int_equal(rows->at[i], want[i]);
        assert_int_equal(rows->has[i], want[i] >= 0);
        shared += want[i] >= 0;
    }
    assert_int_equal(rows->shared, shared);
}

/* Models have more rows than tokens, or fewer: what lies beyond either has no partner. */
static void rows_beyond_a_vocabulary_have_no_partner(void **state)
{
    (void)state;
    const char *const theirs[] = {"<s>", "c", "x", "a", "b"};
    SCOPED(tokenizer) a = tokenizer_of("beyond-a", ours, OURS);
    SCOPED(tokenizer) b = tokenizer_of("beyond-b", theirs, 5);
    SCOPED_VALUE(merge_vocabulary) all = {0}, few = {0}, back = {0};
    merge_vocabulary_match(a, 6, b, 9, &all);
    check(&all, (const int[]){-1, 3, 4, 1, -1, -1}, 6);
    merge_vocabulary_match(a, 3, b, 4, &few); // their row 4 is not in their matrix
    check(&few, (const int[]){-1, 3, -1}, 3);
    merge_vocabulary_match(b, 5, a, 4, &back);
    check(&back, (const int[]){-1, 3, -1, 1, 2}, 5);
}

/* An added token and one of the vocabulary may have the same bytes: the lower id is the partner. */
static void of_equal_bytes_the_first_counts(void **state)
{
    (void)state;
    const char *const once[] = {"<eos>", "\xc4\x8a", "b", "c"}; // the spelling of a line break
    const char *const twice[] = {"\n", "b", "\xc4\x8a", "c"};
    SCOPED(tokenizer) a = tokenizer_of("once", once, OURS);
    SCOPED(tokenizer) b = tokenizer_of("twice", twice, 4);
    SCOPED_VALUE(merge_vocabulary) rows = {0}, back = {0};
    merge_vocabulary_match(a, OURS, b, 4, &rows);
    check(&rows, (const int[]){-1, 0, 1, 3}, OURS);
    merge_vocabulary_match(b, 4, a, OURS, &back);
    check(&back, (const int[]){1, 2, 1, 3}, 4);
}

/* The same token at each row that both name; one may have more of them. */
static void another_token_at_a_row_is_told(void **state)
{
    (void)state;
    const char *const more[] = {"<eos>", "a", "b", "c", "d"};
    const char *const other[] = {"<eos>", "a", "\xc4\x8a", "c"}; // the spelling of a line break
    SCOPED(tokenizer) a = tokenizer_of("same-a", ours, OURS);
    SCOPED(tokenizer) b = tokenizer_of("same-b", more, 5);
    SCOPED(tokenizer) c = tokenizer_of("same-c", other, OURS);
    assert_ok(merge_vocabulary_same(a, "a", b, "b"));
    assert_ok(merge_vocabulary_same(b, "b", a, "a"));
    assert_err(ERR_INVALID, "c: token 2 is '\\x0a', in 'a' it is 'b'",
               merge_vocabulary_same(a, "a", c, "c"));
}

TESTS(cmocka_unit_test(rows_beyond_a_vocabulary_have_no_partner),
      cmocka_unit_test(of_equal_bytes_the_first_counts),
      cmocka_unit_test(another_token_at_a_row_is_told))
