/* A dataset row and a completion, both hostile: the first line is the row, the rest the text. */
#include "rewarder/scorer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct scorers *make(void)
{
    static const struct scorer_config config[] = {
        {.kind = "exact", .column = "completion", .weight = 1, .strip = true},
        {.kind = "regex", .pattern = "(\\w+)\\s*=\\s*(\\d+)", .column = "completion", .weight = 1},
        {.kind = "regex", .pattern = "(?:a+b?)+\\p{Lu}", .weight = 1},
        {.kind = "format", .pattern = "(?s)<think>.*?</think>\\s*\\S+", .eos = true, .weight = 1},
        {.kind = "length", .unit = LENGTH_CHARACTERS, .min = 3, .max = 9, .weight = 1},
        {.kind = "rouge", .column = "completion", .weight = 1},
    };
    struct scorers *scorers;
    err_t e = scorers_new(config, sizeof config / sizeof *config, &scorers);
    if (err_failed(e)) {
        fprintf(stderr, "%s\n", err_message(e));
        abort();
    }
    return scorers;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct scorers *scorers; // kept: libFuzzer calls this often
    if (!scorers)
        scorers = make();
    const uint8_t *end = len ? memchr(data, '\n', len) : NULL;
    const size_t row_len = end ? (size_t)(end - data) : len;
    const size_t text_at = end ? row_len + 1 : len;

    SCOPED_JSON json_t *row = NULL;
    err_t e = json_parse((const char *)data, row_len, "row", &row);
    if (!err_failed(e) && json_is_object(row)) {
        double score[SCORERS_MAX], reward;
        const struct scorer_sample sample = {row, (const char *)data + text_at, len - text_at,
                                             FINISH_EOS, 5};
        e = scorers_sample(scorers, &sample, score, &reward);
        for (size_t i = 0; !err_failed(e) && i < scorers_count(scorers); i++)
            if (!(score[i] >= 0 && score[i] <= 1))
                abort();
    }
    err_free(e);
    return 0;
}
