/* Rows of every format as tokens and masks, as TRL makes them (tests/golden/datasets.sh). */
#include "base/jsonl.h"
#include "base/mem.h"
#include "model/text/rows/row_encode.h"
#include "testing/testing.h"
#include <string.h>

struct world {
    struct tokenizer *tokenizer;
    struct row_chat chat;
};

static bool has(const json_t *settings, const char *setting)
{
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)settings, i, one)
        if (strcmp(json_string_value(one), setting) == 0)
            return true;
    return false;
}

/* data.boundary: text and data.add_special_tokens: true are TRL's way. */
static struct row_rules rules_of(const struct world *w, const json_t *settings)
{
    return (struct row_rules){
        .tokenizer = w->tokenizer,
        .chat = &w->chat,
        .names = {"prompt", "completion", "text"},
        .around = true,
        .joined = true,
        .prompt_loss = has(settings, "sft.completion_only_loss=false"),
        .assistant_only = has(settings, "sft.assistant_only_loss=true"),
        .end = tokenizer_eos(w->tokenizer),
        .now_s = 0,
    };
}

static void ids_are(const json_t *want, const int32_t *id, int count, const char *name)
{
    size_t i;
    json_t *one;
    if ((int)json_array_size(want) != count)
        fail_msg("%s: %d ids instead of %zu", name, count, json_array_size(want));
    json_array_foreach ((json_t *)want, i, one)
        if (json_integer_value(one) != id[i])
            fail_msg("%s: id %zu is %d instead of %" JSON_INTEGER_FORMAT, name, i, id[i],
                     json_integer_value(one));
}

static void mask_is(const json_t *want, const struct row_sequence *all, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)want, i, one)
        if (json_integer_value(one) != all->loss[i])
            fail_msg("%s: the mask of token %zu is %d", name, i, all->loss[i]);
}

static void rest_is(const json_t *want, const char *key, const struct row_sequence *all,
                    const char *name)
{
    const json_t *prompt = json_object_get(want, "prompt_ids"), *rest = json_object_get(want, key);
    assert_int_equal(json_array_size(prompt), all->prompt_tokens);
    ids_are(prompt, all->id, all->prompt_tokens, name);
    ids_are(rest, all->id + all->prompt_tokens, all->tokens - all->prompt_tokens, name);
}

static void tokens_are(const json_t *want, const struct row_tokens *got, const char *name)
{
    const struct row_sequence *all = &got->at[0];
    size_t i;
    json_t *label;
    if (json_object_get(want, "chosen_ids")) {
        rest_is(want, "chosen_ids", all, name);
        rest_is(want, "rejected_ids", &got->at[1], name);
    } else if (json_object_get(want, "completion_ids")) {
        rest_is(want, "completion_ids", all, name);
        assert_int_equal(got->label, json_is_true(json_object_get(want, "label")));
    } else if (json_object_get(want, "prompt_ids")) {
        ids_are(json_object_get(want, "prompt_ids"), all->id, all->tokens, name);
    } else {
        ids_are(json_object_get(want, "input_ids"), all->id, all->tokens, name);
        mask_is(json_object_get(want, "mask"), all, name);
    }
    json_array_foreach (json_object_get(want, "labels"), i, label)
        assert_int_equal(got->step[i],
                         json_integer_value(label) == -100 ? -1 : json_integer_value(label));
}

static void tokens_and_masks_are_those_of_trl(void **state)
{
    (void)state;
    static const char directory[] = TEST_GOLDEN "/datasets/model";
    SCOPED(jsonl) cases = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED_VALUE(row_chat) chat = row_chat_open(directory);
    assert_non_null(chat.chat);
    assert_ok(tokenizer_load(directory, &tokenizer));
    assert_ok(jsonl_open(TEST_GOLDEN "/datasets/cases.jsonl", &cases));
    assert_true(jsonl_rows(cases) > 60);
    const struct world world = {tokenizer, chat};
    unsigned formats = 0;
    for (uint64_t i = 0; i < jsonl_rows(cases); i++) {
        SCOPED_VALUE(bytes) text = {0};
        SCOPED_VALUE(row_tokens) tokens = {0};
        SCOPED_JSON json_t *json = NULL;
        SCOPED_MEM char *name = mem_printf("cases.jsonl:%d", (int)i + 1);
        assert_ok(jsonl_row(cases, i, &text));
        assert_ok(json_parse((const char *)text.data, text.len, name, &json));
        const struct row_rules rules = rules_of(&world, json_object_get(json, "settings"));
        assert_ok(row_encode(&rules, json_object_get(json, "row"), name, &tokens));
        tokens_are(json_object_get(json, "want"), &tokens, name);
        formats |= 1u << (2 * tokens.kind.format + tokens.kind.chat);
    }
    assert_int_equal(formats, 0x7ff); // all, and all but steps as messages, too
}

TESTS(cmocka_unit_test(tokens_and_masks_are_those_of_trl))
