/* An answer from outside, hostile: its first byte is the shape, its second the completions. What is
 * read is finite and bounded, and a failure leaves the scores as they were. */
#include "rewarder/answer_fault.h"
#include "rewarder/http/shape.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPES = 6, MOST = 8 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void read_scores(const struct shape *shape, const json_t *answer, size_t count)
{
    static char key[] = "score", none[] = "";
    const struct http_keys keys = {.score_key = count & 4 ? key : none};
    const struct shape_context context = {.keys = &keys};
    SCOPED_JSON json_t *request = json_pack("{s:s}", "id", "0:0");
    double score[MOST];
    for (size_t i = 0; i < MOST; i++)
        score[i] = 4e18;
    err_t failed = shape->read(&context, request, answer, count, score);
    for (size_t i = 0; i < MOST; i++)
        must(err_failed(failed) || i >= count ? score[i] == 4e18
                                              : isfinite(score[i]) && fabs(score[i]) <= 1e18);
    must(!err_failed(failed) || (err_reason_word(failed) && err_is_transient(failed)));
    err_free(failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED_JSON json_t *answer = NULL;
    bool null[MOST];
    double score[MOST];
    if (len < 2)
        return 0;
    const struct shape *shape = shape_at(data[0] % SHAPES);
    const size_t count = shape->most ? 1 : 1 + data[1] % MOST;
    err_t failed = exchange_parse(data + 2, len - 2, &answer);
    if (err_failed(failed)) {
        must(!answer && err_reason_word(failed));
    } else {
        read_scores(shape, answer, count);
        err_free(exchange_scores(answer, "scores", count, score, null));
    }
    err_free(failed);
    return 0;
}
