#include "base/mem.h"
#include "learner/round/coupled.h"
#include "learner/round/step_inner.h"
#include "rl/kl.h"
#include "rl/step_scale.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether the critic is another trainee, which reads this one's hidden states. */
static bool is_shared(const struct step *step)
{
    return step->config.critic && step->config.critic != step->trainee;
}

/* Whether updates train log-probabilities. */
static bool trains_logp(const struct step *step)
{
    return step->config.critic != step->trainee && !step->warmup;
}

/* An update under way: what its micro-batches share, and sums over them. */
struct update {
    const struct step_batch *batch;
    bool first_weights; // COLUMN_PROXIMAL_LOGP is made here: that of the weights as they are
    struct rl_totals totals;
    struct rl_slopes slopes;
    /* Where units of micro-batches begin, and the end of the last. Borrowed. */
    const size_t *unit;
    size_t units;
    /* The slopes are those of a pass before; NULL: each stretch has its own. */
    struct coupling *coupling;
    size_t *single; // of `unit`, where each sequence is one
    struct rl_tally tally;
    double entropy, targets, compared, differing;
    struct step_mismatch mismatch;
};

static void update_done(struct update *update)
{
    coupling_free(update->coupling);
    mem_free(update->single);
}

static bool is_coupled(const struct step_config *config)
{
    return objective_is_coupled(config->objective, &config->settings);
}

/* Sequences of the largest unit that may come; one, where slopes are known before. */
static size_t largest_unit(const struct step_config *config)
{
    if (is_coupled(config))
        return 1;
    return (size_t)objective_sequences(&config->objective->row, config->completions);
}

static unsigned terms_of(const struct step_config *config)
{
    return objective_terms(&config->objective->row, &config->settings);
}

static bool is_beside(const struct step_config *config)
{
    return config->reference || config->steers_entropy || terms_of(config);
}

/* Whole rows are compared with those of a model that is here. */
static err_t check_terms(const struct step_config *config)
{
    if (terms_of(config) & ROW_TERMS_OF_REFERENCE && !config->reference)
        return err_new(ERR_INVALID,
                       "%s compares whole rows with the reference's; set learner.reference.kind",
                       config->objective->row.name);
    return OK;
}

static void free_workspace(struct step *step)
{
    pack_free(STEAL(step->pack));
    rowstep_free(STEAL(step->rows_beside));
    forward_free(STEAL(step->forward));
    free(STEAL(step->logp));
    free(STEAL(step->entropy));
    free(STEAL(step->value));
    free(STEAL(step->slope));
}

static err_t make_workspace(struct step *step, const struct step_config *config, int longest)
{
    TRY(pack_new(config->micro_tokens, longest, &step->pack));
    size_t rows = (size_t)step->pack->max_rows;
    TRY(forward_new(step->trainee->model, (int)rows, TRAINED_HEAD_ROWS,
                    config->checkpointing ? FORWARD_INPUTS : FORWARD_ALL, &step->forward));
    if (is_beside(config))
        TRY(rowstep_new(step->trainee->model, config->reference, (int)rows, &step->rows_beside));
    step->logp = mem_try_array(rows, sizeof(float));
    step->entropy = mem_try_array(rows, sizeof(float));
    step->value = mem_try_array(rows, sizeof(float));
    step->slope = mem_try_array(rows, sizeof(float));
    step->workspaces++;
    if (step->logp && step->entropy && step->value && step->slope)
        return OK;
    return err_new(ERR_EXHAUSTED, "no memory for a step of %zu rows: lower learner.micro_tokens",
                   rows);
}

/* Whether the workspace that is there is what these settings would make. */
static bool fits(const struct step *step, const struct step_config *config, int longest)
{
    const struct step_config *had = &step->config;
    return step->forward && had->micro_tokens == config->micro_tokens && step->rows == longest &&
           had->checkpointing == config->checkpointing && had->reference == config->reference &&
           is_beside(config) == (step->rows_beside != NULL);
}

err_t step_configure(struct step *step, const struct step_config *config)
{
    TRY(objective_check(config->objective, &config->settings));
    TRY(check_terms(config));
    const size_t unit = largest_unit(config);
    const int64_t rows = (int64_t)config->longest * (int64_t)unit;
    if (rows > INT_MAX)
        return err_new(ERR_INVALID, "%s: a unit of %zu sequences of %d tokens has too many rows",
                       config->objective->row.name, unit, config->longest);
    if (!fits(step, config, (int)rows)) {
        free_workspace(step);
        TRY(make_workspace(step, config, (int)rows));
    }
    step->config = *config;
    step->unit = unit;
    step->rows = (int)rows;
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
    return forward_bytes(step->forward) + rowstep_bytes(step->rows_beside);
}

uint64_t step_workspaces(const struct step *step)
{
    return step->workspaces;
}

const struct objective *step_objective(const struct step *step)
{
    return step->config.objective;
}

const struct objective_config *step_settings(const struct step *step)
{
    return &step->config.settings;
}

void step_set_kl(struct step *step, double coef)
{
    step->config.settings.kl_coef = coef;
}

void step_set_entropy(struct step *step, double coef)
{
    step->config.settings.rows.entropy_coef = coef;
}

void step_set_warmup(struct step *step, bool warmup)
{
    step->warmup = warmup && is_shared(step);
}

static void lead(struct schedule *schedule, struct optimizer *optimizer, int64_t left)
{
    const int64_t made = optimizer_steps(optimizer);
    schedule->course = optimizer_course(optimizer);
    schedule_end_at(schedule, made, made + left);
    optimizer_set_course(optimizer, &schedule->course);
}

void step_set_left(struct step *step, int64_t updates, int64_t critics)
{
    lead(&step->config.schedule, step->trainee->optimizer, updates);
    if (is_shared(step))
        lead(&step->config.critic_schedule, step->config.critic->optimizer, critics);
}

static void add_mismatch(struct step_mismatch *to, double behaviour, float logp)
{
    const double d = behaviour - (double)logp;
    to->tokens++;
    to->k1 += kl_at(KL_K1, d).value;
    to->k3 += kl_at(KL_K3, d).value;
}

/* What the generator stamped against what we compute, where both had the same weights: bit for bit,
 * or by a distance where numerics differ. The micro-batch's first target is the update's token
 * `base`. */
static void compare(const struct step *step, struct update *update, size_t base)
{
    const struct columns *columns = update->batch->columns;
    const double *fresh = columns->at[COLUMN_FRESH], *foreign = columns->at[COLUMN_FOREIGN],
                 *behaviour = columns->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = 0; fresh && behaviour && t < (size_t)step->pack->targets; t++) {
        const float stamped = (float)behaviour[base + t];
        if (foreign && foreign[base + t] != 0)
            add_mismatch(&update->mismatch, behaviour[base + t], step->logp[t]);
        if (fresh[base + t] == 0)
            continue;
        update->compared++;
        update->differing += memcmp(&stamped, &step->logp[t], sizeof stamped) != 0;
    }
}

/* The stretch's log-probabilities as columns. */
static void put_logp(const struct step *step, const struct update *update, size_t begin, size_t end,
                     size_t base)
{
    double *const *at = update->batch->columns->at;
    for (size_t t = begin; t < end; t++)
        at[COLUMN_LOGP][t] = (double)step->logp[t - base];
    if (update->first_weights)
        memcpy(at[COLUMN_PROXIMAL_LOGP] + begin, at[COLUMN_LOGP] + begin,
               (end - begin) * sizeof(double));
}

/* A stretch: a range of the micro-batch's sequences, whose logits are in memory only here. Its
 * targets are [from, from + count) of the pack, and the update's tokens from base + from on. */
struct stretch {
    struct range range;
    size_t base;
    int from, count;
};

/* slope of the stretch as float32; false: there is none, so nothing to add. */
static bool take_slopes(struct step *step, const struct stretch *s, const double *slope)
{
    bool any = false;
    for (int t = s->from; t < s->from + s->count; t++) {
        step->slope[t] = (float)slope[s->base + (size_t)t];
        any = any || step->slope[t] != 0;
    }
    return any;
}

static err_t backward_logp(struct step *step, struct update *update, const struct stretch *s,
                           bool *ret_flat)
{
    const struct pack *pack = step->pack;
    const struct columns *columns = update->batch->columns;
    const size_t begin = s->base + (size_t)s->from;
    TRY(step_targets(step, update->batch, s->from, s->from + s->count));
    put_logp(step, update, begin, begin + (size_t)s->count, s->base);
    const struct row_stretch rows = step_rows(step, update->batch, s->base, s->from, s->count);
    if (rows.terms && !update->coupling)
        TRY(rowstep_values(step->rows_beside, step->forward, &rows, update->batch->columns));
    if (!update->coupling)
        TRY(objective_grad(step->config.objective, &step->config.settings, columns, s->range,
                           &update->totals, &update->slopes, &update->tally));
    for (int t = s->from; t < s->from + s->count; t++)
        update->entropy += (double)step->entropy[t];
    if (rows.terms)
        return rowstep_backward(step->rows_beside, step->forward, &rows, &update->slopes,
                                step->trainee->gradient, ret_flat);
    if (!take_slopes(step, s, update->slopes.logp))
        return OK;
    *ret_flat = false;
    return backward_head(step->forward, pack->row + s->from, pack->target + s->from,
                         step->slope + s->from, s->count, update->batch->inverse_temperature,
                         step->trainee->gradient);
}

static err_t backward_values(struct step *step, struct update *update, const struct stretch *s,
                             bool *ret_flat)
{
    const int32_t *row = step->pack->row + s->from;
    struct trainee *critic = step->config.critic;
    const struct columns *columns = update->batch->columns;
    TRY(forward_value(step->forward, critic->model, row, s->count, step->value + s->from));
    for (int t = s->from; t < s->from + s->count; t++)
        columns->at[COLUMN_VPRED][s->base + (size_t)t] = (double)step->value[t];
    TRY(objective_value_grad(step->config.objective, &step->config.settings, columns, s->range,
                             &update->totals, &update->slopes, &update->tally));
    if (!take_slopes(step, s, update->slopes.value))
        return OK;
    *ret_flat = false;
    return backward_value(step->forward, critic->model, row, step->slope + s->from, s->count,
                          critic->gradient);
}

/* ret_flat: no slope, so nothing to add below the heads. */
static err_t backward_stretch(struct step *step, struct update *update, const struct stretch *s,
                              bool *ret_flat)
{
    if (trains_logp(step))
        TRY(backward_logp(step, update, s, ret_flat));
    return step->config.critic ? backward_values(step, update, s, ret_flat) : OK;
}

/* The end of the stretch that begins with unit u: whole units whose logits fit into memory at once,
 * or one that does not and whose logits are computed twice. */
static size_t stretch_end(const struct update *update, size_t u, size_t units)
{
    const size_t *first = update->batch->columns->first, *unit = update->unit,
                 begin = first[unit[u]];
    size_t end = u + 1;
    while (end < units && first[unit[end + 1]] - begin <= TRAINED_HEAD_ROWS)
        end++;
    return end;
}

/* The micro-batch of the units from..to-1. */
static err_t backward_micro(struct step *step, struct update *update, size_t from, size_t to)
{
    const struct columns *columns = update->batch->columns;
    const size_t *unit = update->unit, base = columns->first[unit[from]];
    bool flat = true;
    TRY(backward_begin(step->forward));
    if (trains_logp(step) && step_compares_rows(step))
        TRY(rowstep_forward(step->rows_beside, step->forward, step->pack));
    for (size_t u = from, end; u < to; u = end) {
        end = stretch_end(update, u, to);
        const struct range range = {unit[u], unit[end]};
        const size_t first = columns->first[range.begin];
        const struct stretch stretch = {range, base, (int)(first - base),
                                        (int)(columns->first[range.end] - first)};
        TRY(backward_stretch(step, update, &stretch, &flat));
    }
    update->targets += step->pack->targets;
    if (trains_logp(step))
        compare(step, update, base);
    return flat || step->warmup ? OK : backward_body(step->forward, step->trainee->gradient);
}

static err_t check_units(const struct step *step, const struct columns *columns)
{
    for (size_t u = 0; !is_coupled(&step->config) && u < columns->units; u++)
        if (columns->unit[u + 1] - columns->unit[u] > step->unit)
            return err_new(ERR_INVALID, "%s: a unit has %zu sequences; %zu are allowed",
                           step->config.objective->row.name,
                           columns->unit[u + 1] - columns->unit[u], step->unit);
    return OK;
}

/* Denominators are those of the whole update, known before its first backward. */
static struct update update_begin(const struct step *step, const struct step_batch *batch)
{
    struct columns *columns = batch->columns;
    struct update update = {.batch = batch,
                            .totals = columns_totals(columns),
                            .unit = columns->unit,
                            .units = columns->units};
    update.first_weights = step->config.proximal && !columns->at[COLUMN_PROXIMAL_LOGP];
    if (update.first_weights)
        columns_add(columns, COLUMN_PROXIMAL_LOGP);
    if (trains_logp(step))
        columns_add(columns, COLUMN_LOGP);
    for (int k = 0; trains_logp(step) && k < ROW_TERMS; k++)
        if (step_terms_of(step) >> k & 1)
            columns_add(columns, row_term_column((enum row_term)k));
    if (step->config.critic)
        columns_add(columns, COLUMN_VPRED);
    return update;
}

/* The pass before, without gradient, of losses that take values from one another: slopes of all
 * sequences, each of which then is a unit. */
static err_t couple(struct step *step, struct update *update)
{
    const struct step_batch *batch = update->batch, other = coupled_mismatched(batch);
    TRY(step_columns(step, batch));
    SCOPED_MEM double *logp = mem_array(coupled_targets(&other), sizeof *logp);
    TRY(step_logp(step, &other, logp));
    update->coupling =
        coupled_fill(&step->config, batch, update->first_weights, logp, &update->single);
    update->totals.coupling = update->coupling;
    update->unit = update->single;
    update->units = batch->sequences;
    return objective_grad(step->config.objective, &step->config.settings, batch->columns,
                          (struct range){0, batch->sequences}, &update->totals, &update->slopes,
                          &update->tally);
}

/* scale: of the learning rate. */
static err_t optimize(struct trainee *trainee, const struct schedule *schedule, double scale,
                      struct optimizer_result *ret, double *ret_lr)
{
    const double lr = scale * schedule_lr(schedule, optimizer_steps(trainee->optimizer) + 1);
    TRY(optimizer_step(trainee->optimizer, trainee->gradient, lr, ret));
    *ret_lr = lr;
    return OK;
}

static err_t optimize_all(const struct step *step, struct step_result *ret)
{
    struct optimizer_result made;
    ret->grad_norm = ret->lr = ret->critic_grad_norm = ret->critic_lr = NAN;
    if (!step->warmup) {
        TRY(optimize(step->trainee, &step->config.schedule,
                     step_scale_of(&step->config.settings.step, ret->figures.ess_sequences), &made,
                     &ret->lr));
        ret->grad_norm = made.grad_norm;
        ret->changed = made.changed;
    }
    if (is_shared(step)) {
        TRY(optimize(step->config.critic, &step->config.critic_schedule, 1, &made,
                     &ret->critic_lr));
        ret->critic_grad_norm = made.grad_norm;
    }
    return OK;
}

static struct step_result result_of(const struct step *step, const struct update *update)
{
    return (struct step_result){.figures = rl_tally_figures(&update->tally),
                                .entropy =
                                    trains_logp(step) ? update->entropy / update->targets : NAN,
                                .targets = update->targets,
                                .trained = columns_unmasked(update->batch->columns),
                                .compared = update->compared,
                                .differing = update->differing,
                                .mismatch = update->mismatch};
}

static err_t zero_gradients(const struct step *step)
{
    TRY(gradient_zero(step->trainee->gradient));
    return is_shared(step) ? gradient_zero(step->config.critic->gradient) : OK;
}

err_t step_run(struct step *step, const struct step_batch *batch, struct step_result *ret)
{
    const struct columns *columns = batch->columns;
    TRY(check_units(step, columns));
    SCOPED_VALUE(update) update = update_begin(step, batch);
    SCOPED_MEM double *slope = mem_array(columns->first[columns->sequences], sizeof *slope);
    SCOPED_MEM double *terms = rowstep_slopes(step_terms_of(step), columns, &update.slopes);
    update.slopes.logp = update.slopes.value = slope; // one after the other
    TRY(zero_gradients(step));
    if (is_coupled(&step->config) && trains_logp(step))
        TRY(couple(step, &update));
    for (size_t u = 0, end; u < update.units; u = end) {
        TRY(step_forward(step, batch, update.unit[u], update.unit + u));
        end = u + 1;
        while (update.unit[end] < update.unit[u] + (size_t)step->pack->sequences)
            end++;
        TRY(backward_micro(step, &update, u, end));
    }
    struct step_result result = result_of(step, &update);
    TRY(optimize_all(step, &result));
    if (update.coupling)
        coupling_keep(update.coupling, &step->config.settings, step->config.running);
    *ret = result;
    return OK;
}

void step_free(struct step *step)
{
    if (!step)
        return;
    free_workspace(step);
    mem_free(step);
}
