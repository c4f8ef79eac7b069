#include "learner/round/mismatching.h"
#include "base/mem.h"
#include "learner/round/stages.h"
#include "learner/settings.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/recipe/recipe_place.h"

err_t mismatching_check(const struct recipe *recipe, bool has_referee)
{
    const struct objective *objective;
    struct objective_config settings;
    TRY(settings_objective(recipe, &objective, &settings));
    if (!(objective_needs(objective, &settings) & COLUMN_BIT(COLUMN_MISMATCHED_REFERENCE)) ||
        has_referee || recipe_refers_itself(recipe))
        return OK;
    return recipe_wrong(
        recipe, "learner.kto.anchor",
        "mismatched needs a reference in the learner: learner.reference.kind, an adapter's base "
        "(lora.r, and no rewarder.reference), or rlhfctl train");
}

static bool same_prompt(const struct sequence *a, const struct sequence *b)
{
    return a->prompt == b->prompt && a->prompt_tokens == b->prompt_tokens;
}

/* Of sequence i; `most` tokens in all. */
static struct sequence mismatch(const struct sequence *sequence, size_t sequences, size_t i,
                                int most)
{
    size_t other = (i + sequences - 1) % sequences;
    while (other != i && same_prompt(&sequence[other], &sequence[i]))
        other = (other + sequences - 1) % sequences;
    struct sequence made = sequence[i];
    made.token = sequence[other].token;
    made.tokens = sequence[other].tokens;
    if (made.tokens > most - made.prompt_tokens)
        made.tokens = most - made.prompt_tokens;
    return made;
}

/* By the reference that the learner keeps, or the base of its adapter. */
static err_t by_itself(const struct round_run *run, const struct step_batch *batch, double *ret)
{
    if (step_has_reference(run->step))
        return step_reference_logp(run->step, batch, ret);
    run->model->adapter_off = true;
    err_t failed = step_logp(run->step, batch, ret);
    run->model->adapter_off = false;
    return failed;
}

static err_t by_referee(const struct round_run *run, const struct step_batch *batch, size_t targets,
                        double *ret)
{
    SCOPED_MEM float *logp = mem_array(targets, sizeof *logp);
    TRY(run->referee->logp(run->referee->arg, batch->sequence, batch->sequences,
                           batch->inverse_temperature, logp));
    for (size_t t = 0; t < targets; t++)
        ret[t] = (double)logp[t];
    return OK;
}

err_t mismatching_fill(struct round_run *run)
{
    struct round_batch *batch = run->batch;
    const size_t sequences = batch->columns->sequences;
    const int most = settings_longest(run->recipe, &run->model->config);
    size_t targets = 0;
    batch->mismatched = mem_array(sequences, sizeof *batch->mismatched);
    for (size_t i = 0; i < sequences; i++) {
        batch->mismatched[i] = mismatch(batch->sequence, sequences, i, most);
        targets += (size_t)sequence_targets(&batch->mismatched[i]);
    }
    SCOPED_MEM double *logp = mem_array(targets, sizeof *logp);
    const struct step_batch all = {.sequences = sequences,
                                   .sequence = batch->mismatched,
                                   .inverse_temperature = 1.0f / batch->config.temperature};
    TRY(run->referee ? by_referee(run, &all, targets, logp) : by_itself(run, &all, logp));
    double *sum = columns_add(batch->columns, COLUMN_MISMATCHED_REFERENCE);
    const double *at = logp;
    for (size_t i = 0; i < sequences; i++)
        for (int t = sequence_targets(&batch->mismatched[i]); t > 0; t--)
            sum[i] += *at++;
    return OK;
}
