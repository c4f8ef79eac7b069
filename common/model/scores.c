#include "model/scores.h"
#include "base/mem.h"
#include "model/forward.h"
#include <math.h>

struct scores {
    struct model *model;
    struct forward *forward;
    int32_t *position;
    int longest;
};

err_t scores_new(struct model *model, int longest, struct scores **ret)
{
    SCOPED(scores) s = mem_new(sizeof *s);
    if (!(model->config.parts & PART_VALUE))
        return err_new(ERR_INVALID, "a model without a value's head scores nothing");
    s->model = model;
    s->longest = longest;
    TRY(forward_new(model, longest, 1, FORWARD_NOTHING, &s->forward));
    s->position = mem_array((size_t)longest, sizeof *s->position);
    for (int i = 0; i < longest; i++)
        s->position[i] = i;
    *ret = STEAL(s);
    return OK;
}

int scores_place(const int32_t *token, int count, int pad)
{
    int last = count - 1;
    while (last > 0 && token[last] == pad)
        last--;
    return last;
}

err_t scores_run(struct scores *s, const int32_t *token, int count, float *ret)
{
    if (count < 1 || count > s->longest)
        return err_new(ERR_RANGE, "%d tokens to score; 1 to %d fit", count, s->longest);
    const int32_t row = scores_place(token, count, s->model->config.pad);
    const struct segment segment = {.count = row + 1}; // no later token is seen
    float score;
    TRY(forward_run(s->forward, token, s->position, row + 1, &segment, 1));
    TRY(forward_value(s->forward, s->model, &row, 1, &score));
    if (!isfinite(score))
        return err_new(ERR_DATA_LOSS, "the score is %g", (double)score);
    *ret = score;
    return OK;
}

void scores_free(struct scores *s)
{
    if (!s)
        return;
    forward_free(s->forward);
    mem_free(s->position);
    mem_free(s);
}
