/* Patterns of pre-tokenizers. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/text/cuts.h"
#include "testing/testing.h"
#include <string.h>

#define GOLDEN TEST_GOLDEN "/tokenizer/patterns.jsonl"

/* ---- against `tokenizers` (tests/golden/tokenizer.py) */

struct checking {
    const char *text, *regex;
    const json_t *pieces;
    size_t at;
};

static err_t piece(void *arg, size_t begin, size_t end)
{
    struct checking *c = arg;
    const json_t *want = json_array_get(c->pieces, c->at++);
    const size_t len = json_string_length(want);
    if (end - begin != len || memcmp(json_string_value(want), c->text + begin, len) != 0)
        fail_msg("%s: piece %zu of '%s' is '%.*s' instead of '%s'", c->regex, c->at - 1, c->text,
                 (int)(end - begin), c->text + begin, want ? json_string_value(want) : "none");
    return OK;
}

static void one_text(const char *regex, const json_t *row)
{
    const json_t *text = json_array_get(row, 0);
    struct checking c = {json_string_value(text), regex, json_array_get(row, 1), 0};
    struct cut cut = {.pattern = {.kind = PATTERN_REGEX}, .behavior = CUT_ISOLATED};
    uint64_t steps = REGEX_STEPS(json_string_length(text));
    assert_ok(regex_new(regex, &cut.pattern.regex));
    assert_ok(
        cuts_run(&cut, &(struct search){c.text, json_string_length(text), &steps}, piece, &c));
    assert_int_equal(c.at, json_array_size(c.pieces));
    cuts_done(&cut.pattern);
}

static void pieces_equal_those_of_tokenizers(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) lines = {0};
    size_t texts = 0;
    assert_ok(file_read(GOLDEN, 16 << 20, &lines));
    for (char *line = (char *)lines.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        SCOPED_JSON json_t *one = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        const json_t *row;
        size_t i;
        assert_non_null(one);
        json_array_foreach (json_object_get(one, "texts"), i, row) {
            one_text(json_string_value(json_object_get(one, "regex")), row);
            texts++;
        }
    }
    assert_true(texts > 2000);
}

/* ---- bounds */

static void what_is_not_known_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *message;
    } cases[] = {
        {"a\\b", "at byte 3: an escape that is not known"},
        {"(a", "at byte 2: a group is not closed"},
        {"a)", "at byte 1: a ) without its ("},
        {"[a", "at byte 2: a set is not closed"},
        {"[]a]", "an empty set"},
        {"[[:alpha:]]", "[:names:]"},
        {"[a&&b]", "&& are not known"},
        {"[b-a]", "a range that ends before it begins"},
        {"*a", "nothing to repeat"},
        {"(a*)*", "a repeat of what may be empty"},
        {"a{2,1}", "a repeat must be"},
        {"a{2000}", "more than 1000"},
        {"(ab){900}", "a group repeated more than 64 times"},
        {"((((((a{1}b){60}){60}){60}){60}){60})", "it needs more than 8192 steps"},
        {"(?<=a+)b", "what looks behind must have one length"},
        {"(?x)a", "of flags only i is known"},
        {"\\p{Greek}", "general categories and Han"},
        {"\\pL", "must be followed by {name}"},
        {"(?i)\xc3\xa9", "only ASCII letters"},
        {"((((((((((((((((((a))))))))))))))))))", "nested too deeply"},
        {"\xff", "not UTF-8"},
        {"\\xff", "hexadecimal"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct regex *regex = NULL;
        assert_err(ERR_INVALID, cases[i].message, regex_new(cases[i].regex, &regex));
        assert_null(regex);
    }
}

/* Steps end what would take for ever. */
static void matching_is_bounded(void **state)
{
    (void)state;
    SCOPED(regex) regex = NULL;
    char text[4000];
    uint64_t steps = REGEX_STEPS(sizeof text);
    size_t begin, end;
    memset(text, 'a', sizeof text);
    assert_ok(regex_new("(?:a+a+)+b", &regex));
    assert_int_equal(
        regex_find(regex, &(struct regex_text){text, sizeof text, &steps}, 0, &begin, &end), -1);
    assert_int_equal(steps, 0);
}

TESTS(cmocka_unit_test(pieces_equal_those_of_tokenizers),
      cmocka_unit_test(what_is_not_known_is_refused_with_its_place),
      cmocka_unit_test(matching_is_bounded))
