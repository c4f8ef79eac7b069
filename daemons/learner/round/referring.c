#include "learner/round/referring.h"
#include "base/mem.h"
#include "svc/recipe/recipe_lora.h"
#include <math.h>
#include <string.h>

bool referring_is_wanted(const struct recipe *recipe, uint64_t columns)
{
    return recipe_refers_itself(recipe) && columns & COLUMN_BIT(COLUMN_REFERENCE_LOGP);
}

/* The sequences that are wanted, in the order in which they are computed; returns how many. */
static size_t list(struct round_batch *batch, bool pairs, size_t *ret)
{
    const size_t sequences = batch->columns->sequences;
    if (pairs) {
        round_batch_choose(batch);
        const size_t count = batch->first_chosen[batch->columns->units];
        memcpy(ret, batch->chosen, count * sizeof *ret);
        return count;
    }
    for (size_t s = 0; s < sequences; s++)
        ret[s] = s;
    return sequences;
}

static err_t compute(struct step *step, struct model *model, const struct round_batch *batch,
                     const size_t *member, size_t count, double *ret)
{
    SCOPED_MEM struct sequence *sequence = mem_array(count, sizeof *sequence);
    for (size_t i = 0; i < count; i++)
        sequence[i] = batch->sequence[member[i]];
    const struct step_batch some = {.sequences = count,
                                    .sequence = sequence,
                                    .inverse_temperature = 1.0f / batch->config.temperature};
    if (step_has_reference(step))
        return step_reference_logp(step, &some, ret);
    model->adapter_off = true;
    err_t failed = step_logp(step, &some, ret);
    model->adapter_off = false;
    return failed;
}

err_t referring_fill(struct step *step, struct model *model, const struct recipe *recipe,
                     struct round_batch *batch)
{
    struct columns *columns = batch->columns;
    const size_t tokens = columns->first[columns->sequences];
    SCOPED_MEM size_t *member = mem_array(columns->sequences, sizeof *member);
    SCOPED_MEM double *logp = mem_array(tokens, sizeof *logp);
    const size_t count = list(batch, recipe_refers_to_pairs(recipe), member);
    TRY(compute(step, model, batch, member, count, logp));
    double *column = columns_add(columns, COLUMN_REFERENCE_LOGP);
    const double *at = logp;
    for (size_t t = 0; t < tokens; t++)
        column[t] = NAN;
    for (size_t i = 0; i < count; i++) {
        const size_t first = columns->first[member[i]], n = columns->first[member[i] + 1] - first;
        memcpy(column + first, at, n * sizeof *column);
        at += n;
    }
    return OK;
}
