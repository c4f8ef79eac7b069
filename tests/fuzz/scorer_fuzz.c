/* A dataset row and a completion, both hostile: the first line is the row, the rest the text. */
#include "unit/rewarder/score_kit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char scorers[] =
    "[{kind: exact, column: completion, strip: true},"
    " {kind: regex, pattern: '(\\w+)\\s*=\\s*(\\d+)', column: completion},"
    " {kind: regex, pattern: '(?:a+b?)+\\p{Lu}'},"
    " {kind: format, pattern: '(?s)<think>.*?</think>\\s*\\S+', eos: true},"
    " {kind: length, unit: characters, min: 3, max: 9}, {kind: rouge, column: completion}]";

static struct score_kit make(void)
{
    struct score_kit kit = {0};
    err_t e = kit_open(scorers, &kit);
    if (err_failed(e)) {
        fprintf(stderr, "%s\n", err_message(e));
        abort();
    }
    return kit;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct score_kit kit; // kept: libFuzzer calls this often
    if (!kit.list)
        kit = make();
    const uint8_t *end = len ? memchr(data, '\n', len) : NULL;
    const size_t row_len = end ? (size_t)(end - data) : len;
    const size_t text_at = end ? row_len + 1 : len;

    SCOPED_JSON json_t *row = NULL;
    err_t e = json_parse((const char *)data, row_len, "row", &row);
    if (!err_failed(e) && json_is_object(row)) {
        double score[RECIPE_SCORERS], reward;
        e = kit_score_text(&kit, row, (const char *)data + text_at, len - text_at, FINISH_EOS,
                           score, &reward);
        for (size_t i = 0; !err_failed(e) && i < kit.list->scorers; i++)
            if (!(score[i] >= 0 && score[i] <= 1))
                abort();
    }
    err_free(e);
    return 0;
}
