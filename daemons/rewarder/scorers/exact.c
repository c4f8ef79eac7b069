/* 1 if the completion is the row's column. */
#include "rewarder/scorer.h"

struct exact {
    char *column;
    bool strip;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct exact, text, column, "", "column of the row to compare with", .min = 1,
              .max = 256, .required = true),
    STAGE_KEY(struct exact, flag, strip, "false", "white space at both ends does not count"),
};

static err_t exact_score(const void *state, const struct scorer_sample *sample, double *ret)
{
    const struct exact *exact = state;
    struct text_slice want, got = {sample->text, sample->text_len};
    TRY(scorer_column(sample->row, exact->column, &want));
    if (exact->strip) {
        want = scorer_strip(want);
        got = scorer_strip(got);
    }
    *ret = scorer_same(got, want) ? 1 : 0;
    return OK;
}

static void exact_start(void *state, struct stage_call *call)
{
    scorer_each(call, exact_score, state);
}

const struct stage_class scorer_exact = {
    .name = "exact",
    .help = "1 if the completion is the row's column, else 0.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct exact, keys),
    .thread = STAGE_IN_POOL,
    .fills = STAGE_SCORES,
    .start = exact_start,
};
