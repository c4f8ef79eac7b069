/* A group as JSON for scorers outside this process, and their answers.
 *
 *     SCOPED(exchange) exchange = NULL;
 *     TRY(exchange_open(recipe, &exchange));
 *     TRY(exchange_group(exchange, group, row, &(struct exchange_part){0, 4}, &told));
 *     -- {"id": "9f0c...:0", "prompt": "2+2=", "completions": ["4", "5", "4", ""], "columns": {"answer": "4"}, ...}
 *     TRY(exchange_parse(data, len, &answer));               -- hostile: each fault has a name (answer_fault.h)
 *     TRY(exchange_scores(json_object_get(answer, "scores"), "scores", 4, score, NULL));
 *
 * Rows of messages go out as messages, as TRL has them: the prompt is their list, and a completion
 * a list of one message of the assistant. Any thread once open. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include "wire/rollout.h"
#include <stdbool.h>

struct exchange;
struct recipe;

enum { EXCHANGE_NESTING = 64 };

/* A rendered prompt needs the chat template of model.path where rows are messages. A template that
 * cannot be read is no error before a row needs it. */
err_t exchange_open(const struct recipe *recipe, struct exchange **ret);
void exchange_free(struct exchange *exchange);
DEFINE_SCOPED(exchange)

/* Completions [first, first + count) of a group. */
struct exchange_part {
    uint32_t first, count;
};

/* An object of these members. id is "GROUP:FIRST", hex of the group's id: each attempt has the same,
 * and an answer says which it answers. first is the number of the first completion in its group.
 * tokens are counts.
 *
 *     {"id", "run", "slot", "attempt", "evaluation": false, "first": 0,
 *      "prompt": TEXT or MESSAGES, "completions": [TEXT or [MESSAGE]], "finish": ["eos", "length", "stop"],
 *      "tokens": [2, 3, 1], "columns": {the dataset's row without its prompt}}
 *
 * INVALID: a text that is not UTF-8; a row without a prompt. */
err_t exchange_group(const struct exchange *exchange, const struct group *group, const json_t *row,
                     const struct exchange_part *part, json_t **ret);

/* The same in pieces. The prompt as text: of messages what the policy's template makes of them. */
err_t exchange_prompt_text(const struct exchange *exchange, const json_t *row, struct bytes *ret);
/* The prompt's messages; of a text one of the user's. New. */
err_t exchange_prompt_messages(const struct exchange *exchange, const json_t *row, json_t **ret);
err_t exchange_text(const struct completion *completion, uint32_t i, json_t **ret); // new, a string

/* An answer's text. Of none of JSON the error says whether it was empty, NaN or infinite. */
err_t exchange_parse(const void *data, size_t len, json_t **ret);

/* A finite number of at most EXCHANGE_MOST. name is what errors call it. */
#define EXCHANGE_MOST 1e18
err_t exchange_score(const json_t *value, const char *name, double *ret);

/* A list of so many of them. ret_null: (count) where null is allowed, it is told there, and its
 * number is 0; NULL: null is a fault. ret is untouched on failure. */
err_t exchange_scores(const json_t *list, const char *name, size_t count, double *ret,
                      bool *ret_null);
