/* 1 if the completion is the row's column. */
#include "base/mem.h"
#include "rewarder/scorer.h"

struct exact {
    char *column;
    bool strip;
};

static err_t exact_prepare(const struct scorer_config *config, void **ret_state)
{
    struct exact *exact = mem_new(sizeof *exact);
    exact->column = mem_string(config->column);
    exact->strip = config->strip;
    *ret_state = exact;
    return OK;
}

static err_t exact_score(void *state, const struct scorer_sample *sample, struct scorer_result *ret)
{
    const struct exact *exact = state;
    struct text_slice want, got = {sample->text, sample->text_len};
    TRY(scorer_column(sample->row, exact->column, &want));
    if (exact->strip) {
        want = scorer_strip(want);
        got = scorer_strip(got);
    }
    ret->score = scorer_same(got, want) ? 1 : 0;
    return OK;
}

static void exact_free(void *state)
{
    struct exact *exact = state;
    free(exact->column);
    free(exact);
}

const struct scorer_kind scorer_exact = {
    .name = "exact",
    .help = "1 if the completion is the row's column, else 0",
    .keys = SCORER_COLUMN | SCORER_STRIP,
    .required = SCORER_COLUMN,
    .prepare = exact_prepare,
    .score = exact_score,
    .free = exact_free,
};
