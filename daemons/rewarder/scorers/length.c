/* 1 for a length in min..max, and less in a straight line outside: 0 at length 0, and at twice
 * max. */
#include "rewarder/scorer.h"

enum length_unit { LENGTH_TOKENS, LENGTH_CHARACTERS };

struct length {
    enum length_unit unit;
    int64_t min, max;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct length, choice, unit, "tokens", "what is counted",
              .words = "tokens|characters"),
    STAGE_KEY(struct length, count, min, "0", "shortest that scores 1", .max = 1e9),
    STAGE_KEY(struct length, count, max, "0", "longest that scores 1", .max = 1e9,
              .required = true),
};

static err_t length_open(const struct stage_context *context, void **ret_state)
{
    const struct length *length = context->keys;
    if (length->max < length->min)
        return err_new(ERR_INVALID, "min, max: are %lld, %lld; 0 <= min <= max is needed",
                       (long long)length->min, (long long)length->max);
    *ret_state = (void *)length;
    return OK;
}

/* Bytes that begin a character: whatever is not 10xxxxxx. Exact for UTF-8, and defined for any
 * bytes. */
static double characters(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return (double)count;
}

static err_t length_score(const void *state, const struct scorer_sample *sample, double *ret)
{
    const struct length *length = state;
    const double min = (double)length->min, max = (double)length->max;
    const double n = length->unit == LENGTH_TOKENS ? (double)sample->tokens
                                                   : characters(sample->text, sample->text_len);
    double score = 1;
    if (n < min)
        score = n / min;
    else if (n >= 2 * max && n > max)
        score = 0;
    else if (n > max)
        score = 2 - n / max;
    *ret = score;
    return OK;
}

static void length_start(void *state, struct stage_call *call)
{
    scorer_each(call, length_score, state);
}

const struct stage_class scorer_length = {
    .name = "length",
    .help = "1 for min to max tokens or characters; 0 at length 0 and at twice max.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct length, keys),
    .thread = STAGE_IN_POOL,
    .fills = STAGE_SCORES,
    .open = length_open,
    .start = length_start,
};
