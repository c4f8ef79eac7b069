/* The bytes of requests in each shape, for rows of text and of messages, with the policy's template
 * and with the reward model's own. tests/real/reward_servers sends such to servers of trainers. */
#include "base/mem.h"
#include "rewarder/http/shape.h"
#include "svc/recipe/recipe.h"
#include "testing/testing.h"
#include <string.h>

enum { RLHFD, OPENRLHF, SLIME, CLASSIFY, EMBEDDINGS, NEMO_GYM };

#define TEXT     "{\"prompt\": \"2+2=\", \"label\": \"4\", \"x\": 1}"
#define MESSAGES "{\"prompt\": [{\"role\": \"user\", \"content\": \"2+2?\"}], \"label\": [4]}"
#define USER     "[{\"role\": \"user\", \"content\": \"2+2?\"}]"
#define POLICY   "<|im_start|>user\\n2+2?<|im_end|>\\n<|im_start|>assistant\\n"
#define WHOLE(t) POLICY t "<|im_end|>\\n"

static struct completion completion[] = {
    {.tokens = 2, .text = (char *)"4", .text_len = 1, .finish = FINISH_EOS},
    {.tokens = 1, .text = (char *)"a\"b", .text_len = 3, .finish = FINISH_LENGTH},
};
static const struct group group = {.id = {{0xab}}, .completions = 2, .completion = completion};

/* A request for completions [first, first + count) of a row; template: the reward model's. */
static err_t ask(int shape, const char *row_text, uint32_t first, uint32_t count, bool template,
                 json_t **ret)
{
    static const char yaml[] = "model: {path: " TEST_GOLDEN "/datasets/model}\n";
    static char model[] = "rm", label[] = "label";
    const struct http_keys keys = {.model = model, .label_column = label};
    SCOPED(recipe) recipe = NULL;
    SCOPED(exchange) exchange = NULL;
    SCOPED_JSON json_t *row = NULL;
    assert_ok(recipe_parse(yaml, sizeof yaml - 1, "ring.yaml", ".", NULL, &recipe));
    assert_ok(exchange_open(recipe, &exchange));
    assert_ok(json_parse(row_text, strlen(row_text), "row", &row));
    struct row_chat chat = row_chat_open(TEST_GOLDEN "/datasets/model");
    const struct row_rules rules = row_rules_of(recipe, NULL, &chat, -1);
    const struct shape_context context = {
        .keys = &keys, .exchange = exchange, .chat = template ? &chat : NULL, .rules = &rules};
    err_t failed =
        shape_at(shape)->ask(&context, &group, row, &(struct exchange_part){first, count}, ret);
    row_chat_done(&chat);
    return failed;
}

static void assert_asks(int shape, const char *row, uint32_t first, uint32_t count, bool template,
                        const char *wanted)
{
    SCOPED_JSON json_t *got = NULL;
    SCOPED_JSON json_t *want = NULL;
    assert_ok(ask(shape, row, first, count, template, &got));
    assert_ok(json_parse(wanted, strlen(wanted), "wanted", &want));
    SCOPED_MEM char *text = json_to_text(got);
    if (!json_equal(got, want))
        fail_msg("%s: %s\nwanted\n%s", shape_at(shape)->name, text, wanted);
}

static void rows_of_text(void **)
{
    assert_asks(OPENRLHF, TEXT, 0, 2, false,
                "{\"query\": [\"2+2=4\", \"2+2=a\\\"b\"], \"prompts\": [\"2+2=\", \"2+2=\"], "
                "\"labels\": [\"4\", \"4\"]}");
    assert_asks(OPENRLHF, "{\"prompt\": \"\"}", 1, 1, false,
                "{\"query\": [\"a\\\"b\"], \"prompts\": [\"\"], \"labels\": [\"\"]}");
    assert_asks(SLIME, TEXT, 1, 1, false,
                "{\"prompt\": \"2+2=\", \"response\": \"a\\\"b\", \"label\": \"4\"}");
    assert_asks(CLASSIFY, TEXT, 0, 1, false,
                "{\"model\": \"rm\", \"input\": \"2+2=4\", \"use_activation\": false}");
    assert_asks(CLASSIFY, TEXT, 0, 2, false,
                "{\"model\": \"rm\", \"input\": [\"2+2=4\", \"2+2=a\\\"b\"], "
                "\"use_activation\": false}");
    assert_asks(EMBEDDINGS, TEXT, 1, 1, false, "{\"model\": \"rm\", \"input\": \"2+2=a\\\"b\"}");
}

/* The policy's prompt is as it was decoded from: with the generation prompt. */
static void rows_of_messages(void **)
{
    assert_asks(OPENRLHF, MESSAGES, 0, 1, false,
                "{\"query\": [\"" POLICY "4\"], \"prompts\": [\"" POLICY "\"], \"labels\": [[4]]}");
    assert_asks(SLIME, MESSAGES, 0, 1, false,
                "{\"prompt\": \"" POLICY "\", \"response\": \"4\", \"label\": [4]}");
    assert_asks(EMBEDDINGS, MESSAGES, 0, 1, false,
                "{\"model\": \"rm\", \"input\": \"" POLICY "4\"}");
}

/* A text is the user's message then. */
static void the_reward_models_template(void **)
{
    assert_asks(CLASSIFY, MESSAGES, 0, 2, true,
                "{\"model\": \"rm\", \"input\": [\"" WHOLE("4") "\", \"" WHOLE(
                    "a\\\"b") "\"], "
                              "\"use_activation\": false}");
    assert_asks(EMBEDDINGS, "{\"prompt\": \"2+2?\"}", 0, 1, true,
                "{\"model\": \"rm\", \"input\": \"" WHOLE("4") "\"}");
    assert_asks(OPENRLHF, MESSAGES, 0, 1, true,
                "{\"query\": [\"" WHOLE("4") "\"], \"prompts\": [\"" POLICY
                                             "\"], \"labels\": [[4]]}");
}

#define HEX "ab000000000000000000000000000000"
#define RESPONSE                                                                                   \
    "{\"id\": \"resp_" HEX                                                                         \
    "_1\", \"created_at\": 0, \"model\": \"rm\", \"object\": \"response\", "                       \
    "\"output\": [{\"id\": \"msg_" HEX "_1\", \"type\": \"message\", \"role\": \"assistant\", "    \
    "\"status\": \"completed\", \"content\": [{\"type\": \"output_text\", \"text\": \"a\\\"b\", "  \
    "\"annotations\": []}]}], \"parallel_tool_calls\": false, \"tool_choice\": \"auto\", "         \
    "\"tools\": []}"

static void nemo_gyms_rows_go_out_as_they_are(void **)
{
    assert_asks(NEMO_GYM, MESSAGES, 1, 1, false,
                "{\"responses_create_params\": {\"input\": " USER
                "}, \"label\": [4], \"response\": " RESPONSE "}");
    assert_asks(NEMO_GYM,
                "{\"prompt\": " USER ", \"responses_create_params\": {\"input\": " USER
                ", \"tools\": []}, \"expected_answer\": \"B\"}",
                1, 1, false,
                "{\"responses_create_params\": {\"input\": " USER
                ", \"tools\": []}, \"expected_answer\": \"B\", \"response\": " RESPONSE "}");
}

static void what_cannot_be_asked_is_an_error(void **)
{
    json_t *none = NULL;
    for (int shape = RLHFD; shape <= NEMO_GYM; shape++)
        assert_err(ERR_INVALID, "prompt", ask(shape, "{\"prompt\": 4}", 0, 1, false, &none));
    completion[0].text = (char *)"\xff";
    for (int shape = RLHFD; shape <= NEMO_GYM; shape++)
        assert_err(ERR_INVALID, "completion 0: not UTF-8", ask(shape, TEXT, 0, 1, false, &none));
    completion[0].text = (char *)"4";
    assert_null(none);
}

TESTS(cmocka_unit_test(rows_of_text), cmocka_unit_test(rows_of_messages),
      cmocka_unit_test(the_reward_models_template),
      cmocka_unit_test(nemo_gyms_rows_go_out_as_they_are),
      cmocka_unit_test(what_cannot_be_asked_is_an_error))
