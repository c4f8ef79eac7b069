/* 1 for a length in min..max, and less in a straight line outside: 0 at length 0, and at twice
 * max. */
#include "base/mem.h"
#include "rewarder/scorer.h"

struct length {
    enum length_unit unit;
    double min, max;
};

static err_t length_prepare(const struct scorer_config *config, void **ret_state)
{
    if (config->unit != LENGTH_TOKENS && config->unit != LENGTH_CHARACTERS)
        return err_new(ERR_INVALID, "unit: is %d; allowed: tokens, characters", (int)config->unit);
    if (config->min < 0 || config->max < config->min)
        return err_new(ERR_INVALID, "min, max: are %lld, %lld; 0 <= min <= max is needed",
                       (long long)config->min, (long long)config->max);
    struct length *length = mem_new(sizeof *length);
    *length = (struct length){config->unit, (double)config->min, (double)config->max};
    *ret_state = length;
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

static err_t length_score(void *state, const struct scorer_sample *sample,
                          struct scorer_result *ret)
{
    const struct length *length = state;
    const double n = length->unit == LENGTH_TOKENS ? (double)sample->tokens
                                                   : characters(sample->text, sample->text_len);
    double score = 1;
    if (n < length->min)
        score = n / length->min;
    else if (n >= 2 * length->max && n > length->max)
        score = 0;
    else if (n > length->max)
        score = 2 - n / length->max;
    ret->score = score;
    return OK;
}

const struct scorer_kind scorer_length = {
    .name = "length",
    .help = "1 for min to max tokens or characters; 0 at length 0 and at twice max",
    .keys = SCORER_UNIT | SCORER_RANGE,
    .required = SCORER_RANGE,
    .prepare = length_prepare,
    .score = length_score,
    .free = free,
};
