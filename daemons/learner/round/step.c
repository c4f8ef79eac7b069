#include "learner/round/step.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { HEAD_ROWS = 512 };

struct step {
    struct trainee *trainee;
    struct step_config config;
    size_t unit; // sequences that stay in one micro-batch
    /* The workspace, and how many there have been. */
    struct pack *pack;
    struct forward *forward;
    /* (max_rows) of the micro-batch under way */
    float *logp, *entropy, *slope;
    double *wide_logp, *wide_behaviour, *wide_old, *wide_reference, *wide_slope;
    uint64_t workspaces;
};

/* Sums over the micro-batches of one update. */
struct sums {
    struct rl_tally tally;
    double entropy, targets, compared, differing;
};

static void free_workspace(struct step *step)
{
    pack_free(STEAL(step->pack));
    forward_free(STEAL(step->forward));
    float **const narrow[] = {&step->logp, &step->entropy, &step->slope};
    double **const wide[] = {&step->wide_logp, &step->wide_behaviour, &step->wide_old,
                             &step->wide_reference, &step->wide_slope};
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        free(STEAL(*narrow[i]));
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        free(STEAL(*wide[i]));
}

static err_t make_workspace(struct step *step, const struct step_config *config, size_t unit)
{
    TRY(pack_new(config->micro_tokens, config->longest * (int)unit, &step->pack));
    size_t rows = (size_t)step->pack->max_rows;
    TRY(forward_new(step->trainee->model, (int)rows, HEAD_ROWS,
                    config->checkpointing ? FORWARD_INPUTS : FORWARD_ALL, &step->forward));
    step->logp = mem_array(rows, sizeof(float));
    step->entropy = mem_array(rows, sizeof(float));
    step->slope = mem_array(rows, sizeof(float));
    step->wide_logp = mem_array(rows, sizeof(double));
    step->wide_behaviour = mem_array(rows, sizeof(double));
    step->wide_old = mem_array(rows, sizeof(double));
    step->wide_reference = mem_array(rows, sizeof(double));
    step->wide_slope = mem_array(rows, sizeof(double));
    step->workspaces++;
    return OK;
}

/* Whether the workspace that is there is what these settings would make. */
static bool fits(const struct step *step, const struct step_config *config, size_t unit)
{
    const struct step_config *had = &step->config;
    return step->forward && had->micro_tokens == config->micro_tokens &&
           had->longest * (int)step->unit == config->longest * (int)unit &&
           had->checkpointing == config->checkpointing;
}

err_t step_configure(struct step *step, const struct step_config *config)
{
    TRY(objective_check(&config->settings));
    const size_t unit = objective_pairs(&config->settings) ? 2 : 1;
    if (!fits(step, config, unit)) {
        free_workspace(step);
        TRY(make_workspace(step, config, unit));
    }
    step->config = *config;
    step->unit = unit;
    return OK;
}

err_t step_new(struct trainee *trainee, const struct step_config *config, struct step **ret)
{
    SCOPED(step) step = mem_new(sizeof *step);
    step->trainee = trainee;
    TRY(step_configure(step, config));
    *ret = STEAL(step);
    return OK;
}

size_t step_bytes(const struct step *step)
{
    return forward_bytes(step->forward);
}

uint64_t step_workspaces(const struct step *step)
{
    return step->workspaces;
}

const struct objective_config *step_settings(const struct step *step)
{
    return &step->config.settings;
}

void step_set_kl(struct step *step, double coef)
{
    step->config.settings.kl_coef = coef;
}

/* The next micro-batch: packed and forwarded. */
static err_t forward_micro(struct step *step, const struct step_batch *batch, size_t at,
                           size_t *ret_taken)
{
    struct pack *pack = step->pack;
    *ret_taken = pack_fill(pack, batch->sequence + at, batch->sequences - at, step->unit);
    return forward_run(step->forward, pack->token, pack->position, pack->rows, pack->segment,
                       pack->segments);
}

/* logp and entropy of its targets [from, to). */
static err_t targets_logp(struct step *step, const struct step_batch *batch, int from, int to)
{
    const struct pack *pack = step->pack;
    return forward_logp(step->forward, pack->row + from, pack->target + from, to - from,
                        batch->inverse_temperature, step->logp + from, step->entropy + from);
}

/* What the generator stamped against what we compute, bit for bit, where both had the same weights. */
static void compare(const struct step *step, const struct step_batch *batch, size_t base,
                    struct sums *sums)
{
    for (int t = 0; batch->fresh && t < step->pack->targets; t++) {
        if (!batch->fresh[base + (size_t)t])
            continue;
        sums->compared++;
        sums->differing +=
            memcmp(&batch->behaviour[base + (size_t)t], &step->logp[t], sizeof(float)) != 0;
    }
}

/* count values of an array of the whole update, in double; NULL of NULL. */
static const double *widen(const float *values, size_t base, int count, double *ret)
{
    for (int t = 0; values && t < count; t++)
        ret[t] = (double)values[base + (size_t)t];
    return values ? ret : NULL;
}

/* The micro-batch as the objectives read it; base: its first target's place in the batch's arrays. */
static struct rl_batch view(struct step *step, const struct step_batch *batch, size_t at,
                            size_t base)
{
    const struct pack *pack = step->pack;
    const double *old = widen(batch->old, base, pack->targets, step->wide_old);
    return (struct rl_batch){
        .sequences = pack->sequences,
        .first = pack->first,
        .logp = step->wide_logp,
        .behaviour = widen(batch->behaviour, base, pack->targets, step->wide_behaviour),
        .old = step->config.proximal && !old ? step->wide_logp : old,
        .reference = widen(batch->reference, base, pack->targets, step->wide_reference),
        .weight = batch->weight ? batch->weight + base : NULL,
        .advantage = batch->advantage ? batch->advantage + at : NULL};
}

/* Sequences from..to-1 of the micro-batch, whose logits are in memory only here. ret_flat: no slope, so nothing to add. */
static err_t backward_stretch(struct step *step, const struct step_batch *batch,
                              const struct rl_batch *micro, int from, int to,
                              const struct rl_totals *totals, struct sums *sums, bool *ret_flat)
{
    const struct pack *pack = step->pack;
    const int begin = pack->first[from], end = pack->first[to];
    struct rl_batch stretch = *micro;
    stretch.sequences = to - from;
    stretch.first += from;
    stretch.advantage = micro->advantage ? micro->advantage + from : NULL;
    TRY(targets_logp(step, batch, begin, end));
    for (int t = begin; t < end; t++)
        step->wide_logp[t] = (double)step->logp[t];
    TRY(objective_grad(step->config.objective, &step->config.settings, &stretch, totals,
                       step->wide_slope, &sums->tally));
    *ret_flat = true;
    for (int t = begin; t < end; t++) {
        step->slope[t] = (float)step->wide_slope[t];
        *ret_flat = *ret_flat && step->slope[t] == 0;
        sums->entropy += (double)step->entropy[t];
    }
    if (*ret_flat)
        return OK;
    return backward_head(step->forward, pack->row + begin, pack->target + begin,
                         step->slope + begin, end - begin, batch->inverse_temperature,
                         step->trainee->gradient);
}

/* The end of the stretch that begins with sequence `from`: whole units whose logits fit into memory at once, or one that
 * does not and whose logits are computed twice. */
static int stretch_end(const struct step *step, int from)
{
    const struct pack *pack = step->pack;
    const int unit = (int)step->unit;
    int to = from + unit;
    while (to < pack->sequences && pack->first[to + unit] - pack->first[from] <= HEAD_ROWS)
        to += unit;
    return to;
}

static err_t backward_micro(struct step *step, const struct step_batch *batch, size_t at,
                            size_t base, const struct rl_totals *totals, struct sums *sums)
{
    const struct pack *pack = step->pack;
    const struct rl_batch micro = view(step, batch, at, base);
    bool flat = true;
    TRY(backward_begin(step->forward));
    for (int from = 0, to; from < pack->sequences; from = to) {
        bool flat_here;
        to = stretch_end(step, from);
        TRY(backward_stretch(step, batch, &micro, from, to, totals, sums, &flat_here));
        flat = flat && flat_here;
    }
    sums->targets += pack->targets;
    if (batch->behaviour)
        compare(step, batch, base, sums);
    return flat ? OK : backward_body(step->forward, step->trainee->gradient);
}

/* Denominators of the whole update, before its first backward. */
static struct rl_totals totals_of(const struct step_batch *batch)
{
    struct rl_totals totals = {0};
    size_t base = 0;
    for (size_t i = 0; i < batch->sequences; i++) {
        const int first[2] = {0, sequence_targets(&batch->sequence[i])};
        struct rl_batch one = {
            .sequences = 1, .first = first, .weight = batch->weight ? batch->weight + base : NULL};
        rl_totals_add(&totals, &one);
        base += (size_t)first[1];
    }
    return totals;
}

err_t step_logp(struct step *step, const struct step_batch *batch, float *ret)
{
    for (size_t at = 0, base = 0, taken; at < batch->sequences; at += taken) {
        TRY(forward_micro(step, batch, at, &taken));
        TRY(targets_logp(step, batch, 0, step->pack->targets));
        memcpy(ret + base, step->logp, (size_t)step->pack->targets * sizeof *ret);
        base += (size_t)step->pack->targets;
    }
    return OK;
}

static struct step_result result_of(const struct sums *sums, const struct optimizer_result *made,
                                    double lr)
{
    struct rl_figures figures = rl_tally_figures(&sums->tally);
    return (struct step_result){.loss = figures.loss,
                                .entropy = sums->entropy / sums->targets,
                                .kl_behaviour = figures.kl_behaviour,
                                .kl_behaviour_k3 = figures.kl_behaviour_k3,
                                .clip_frac = figures.clip_frac,
                                .ess = figures.ess,
                                .grad_norm = made->grad_norm,
                                .lr = lr,
                                .changed = made->changed,
                                .pairs = sums->tally.pairs,
                                .margin = figures.rewards_margin,
                                .accuracy = figures.rewards_accuracy,
                                .targets = sums->targets,
                                .compared = sums->compared,
                                .differing = sums->differing};
}

err_t step_run(struct step *step, const struct step_batch *batch, struct step_result *ret)
{
    struct rl_totals totals = totals_of(batch);
    struct sums sums = {0};
    size_t base = 0;
    TRY(gradient_zero(step->trainee->gradient));
    for (size_t at = 0, taken; at < batch->sequences; at += taken) {
        TRY(forward_micro(step, batch, at, &taken));
        TRY(backward_micro(step, batch, at, base, &totals, &sums));
        base += (size_t)step->pack->targets;
    }
    struct optimizer_result result;
    double lr = schedule_lr(&step->config.schedule, optimizer_steps(step->trainee->optimizer) + 1);
    TRY(optimizer_step(step->trainee->optimizer, step->trainee->gradient, lr, &result));
    *ret = result_of(&sums, &result, lr);
    return OK;
}

void step_free(struct step *step)
{
    if (!step)
        return;
    free_workspace(step);
    mem_free(step);
}
