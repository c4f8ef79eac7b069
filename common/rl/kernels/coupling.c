#include "rl/kernels/coupling.h"
#include "base/mem.h"
#include "rl/kernels/kernel.h"
#include "rl/preference/pair_score.h"
#include <math.h>
#include <stdlib.h>

/* Of beta-DPO. */
#define BETA_LEAST 1e-3
#define GAP_DECAY  0.9

static bool is_ranked(const struct pair_config *pair)
{
    return pair->loss == PAIR_AOT || pair->loss == PAIR_AOT_UNPAIRED;
}

static bool adapts(const struct pair_config *pair)
{
    return pair->adapt > 0 || pair->drop > 0;
}

bool coupling_is_needed(const struct objective_config *config)
{
    const struct pair_config *pair = &config->pair;
    return is_ranked(pair) || adapts(pair) ||
           (pair->loss == PAIR_BCO && pair->anchor != ANCHOR_ZERO) ||
           (config->label.loss != LABEL_NONE && config->label.anchor != ANCHOR_ZERO);
}

/* ---- sums over the update, in order */

struct sums {
    const struct pass *pass;
    /* (sequences) u and logp; NaN where nothing is unmasked. */
    double *u, *logp;
};

static struct sums sums_of(const struct pass *pass)
{
    const struct columns *update = pass->batch;
    const struct pair_config *pair = &pass->config->pair;
    const bool scored = pair->loss != PAIR_NONE && pair->score != SCORE_LENGTH;
    struct sums sums = {pass, mem_array(update->sequences, sizeof(double)),
                        mem_array(update->sequences, sizeof(double))};
    for (size_t i = 0; i < update->sequences; i++) {
        const struct stretch s = pass_sequence(pass, i);
        sums.u[i] = sums.logp[i] = NAN;
        if (!(s.tokens > 0))
            continue;
        sums.logp[i] = pass_sum(pass, &s, update->at[COLUMN_LOGP], NULL);
        sums.u[i] =
            !scored || score_refers(pair->score) ? pass_implicit_reward(pass, &s) : sums.logp[i];
        if (scored)
            sums.u[i] = score_at(pair, sums.u[i], sums.logp[i], (int)s.tokens).value;
    }
    return sums;
}

static void sums_done(struct sums *sums)
{
    mem_free(sums->u);
    mem_free(sums->logp);
}

/* A unit whose two sides train. */
static bool whole(const struct sums *sums, size_t unit)
{
    const struct columns *update = sums->pass->batch;
    return !isnan(sums->u[update->unit[unit]]) && !isnan(sums->u[update->unit[unit + 1] - 1]);
}

static double mean_u(const double *u, size_t count)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(u[i])) {
            sum += u[i];
            n++;
        }
    return n > 0 ? sum / n : 0;
}

/* ---- ranks */

struct ranked {
    double value;
    size_t at; // the sequence
};

static int by_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* AOT: the gaps of logp against the gaps of the reference. Unpaired: the chosen ones' u against the
 * rejected ones'. */
static void rank(struct coupling *coupling, const struct sums *sums, bool paired)
{
    const struct columns *update = sums->pass->batch;
    SCOPED_MEM struct ranked *ours = mem_array(update->units, sizeof *ours);
    SCOPED_MEM struct ranked *theirs = mem_array(update->units, sizeof *theirs);
    size_t n = 0;
    coupling->gap = mem_array(update->sequences, sizeof(double));
    coupling->other = mem_array(update->sequences, sizeof(double));
    for (size_t u = 0; u < update->units; u++) {
        const size_t w = update->unit[u], l = update->unit[u + 1] - 1;
        if (!whole(sums, u))
            continue;
        const double gap = sums->logp[w] - sums->logp[l],
                     reference = gap - (sums->u[w] - sums->u[l]);
        coupling->gap[w] = gap;
        ours[n] = (struct ranked){paired ? gap : sums->u[w], w};
        theirs[n++] = (struct ranked){paired ? reference : sums->u[l], l};
    }
    qsort(ours, n, sizeof *ours, by_value);
    qsort(theirs, n, sizeof *theirs, by_value);
    for (size_t k = 0; k < n; k++) {
        coupling->other[ours[k].at] = theirs[k].value;
        coupling->other[theirs[k].at] = ours[k].value;
    }
}

/* ---- beta-DPO */

static double mean_gap(const struct sums *sums, double beta, double *ret_pairs)
{
    const struct columns *update = sums->pass->batch;
    double sum = 0, n = 0;
    for (size_t u = 0; u < update->units; u++)
        if (whole(sums, u)) {
            sum += beta * (sums->u[update->unit[u]] - sums->u[update->unit[u + 1] - 1]);
            n++;
        }
    *ret_pairs = n;
    return n > 0 ? sum / n : 0;
}

/* The share of pairs whose gaps are the farthest from the running one trains nothing. Units that
 * are not whole are neither dropped nor kept. */
static void drop(struct coupling *coupling, const struct sums *sums, const struct pair_config *pair,
                 double centre, double pairs)
{
    const struct columns *update = sums->pass->batch;
    SCOPED_MEM struct ranked *far = mem_array(update->units, sizeof *far);
    size_t n = 0;
    coupling->dropped = mem_array(update->sequences, sizeof(double));
    coupling->kept = ceil((1 - pair->drop) * pairs);
    for (size_t u = 0; u < update->units; u++)
        if (whole(sums, u)) {
            const size_t w = update->unit[u];
            const double gap = pair->beta * (sums->u[w] - sums->u[update->unit[u + 1] - 1]);
            far[n++] = (struct ranked){fabs(gap - centre), w};
        }
    qsort(far, n, sizeof *far, by_value);
    for (size_t k = (size_t)coupling->kept; k < n; k++)
        coupling->dropped[far[k].at] = 1;
}

static void adapt(struct coupling *coupling, const struct sums *sums,
                  const struct pair_config *pair, const struct running *running)
{
    double pairs;
    coupling->mean_gap = mean_gap(sums, pair->beta, &pairs);
    const double centre = running_or(running, RUNNING_pair_gap, coupling->mean_gap);
    coupling->beta =
        fmax(BETA_LEAST, pair->beta * (1 + pair->adapt * (coupling->mean_gap - centre)));
    if (pair->drop > 0)
        drop(coupling, sums, pair, centre, pairs);
}

/* ---- anchors */

/* Completions of other prompts, and those of their own, alike: their mean is a KL, so not below
 * 0. */
static double anchor_of(struct coupling *coupling, const struct sums *sums, enum anchor anchor,
                        double beta, const struct running *running)
{
    const struct columns *update = sums->pass->batch;
    const double *mismatched = update->at[COLUMN_MISMATCHED];
    coupling->mean_reward = beta * mean_u(sums->u, update->sequences);
    switch (anchor) {
    case ANCHOR_ZERO:
        break;
    case ANCHOR_BATCH:
        return fmax(0, coupling->mean_reward);
    case ANCHOR_MISMATCHED:
        return fmax(0, beta * mean_u(mismatched, update->sequences));
    case ANCHOR_RUNNING: {
        const double before = running_or(running, RUNNING_rewards_updates, 0);
        return (before * running_or(running, RUNNING_rewards_mean, 0) + coupling->mean_reward) /
               (before + 1);
    }
    }
    return 0;
}

struct coupling *coupling_new(const struct objective_config *config, const struct columns *update,
                              const struct running *running)
{
    struct coupling *coupling = mem_new(sizeof *coupling);
    const struct rl_totals totals = columns_totals(update);
    const struct pass pass = {.config = config, .batch = update, .totals = &totals};
    const struct pair_config *pair = &config->pair;
    SCOPED_VALUE(sums) sums = sums_of(&pass);
    if (is_ranked(pair))
        rank(coupling, &sums, pair->loss == PAIR_AOT);
    if (adapts(pair))
        adapt(coupling, &sums, pair, running);
    if (pair->loss == PAIR_BCO)
        coupling->anchor = anchor_of(coupling, &sums, pair->anchor, pair->beta, running);
    if (config->label.loss != LABEL_NONE)
        coupling->anchor =
            anchor_of(coupling, &sums, config->label.anchor, config->label.beta, running);
    return coupling;
}

void coupling_keep(const struct coupling *coupling, const struct objective_config *config,
                   struct running *running)
{
    if (adapts(&config->pair))
        running_average(running, RUNNING_pair_gap, GAP_DECAY, coupling->mean_gap);
    if (config->pair.anchor == ANCHOR_RUNNING || config->label.anchor == ANCHOR_RUNNING) {
        const double before = running_or(running, RUNNING_rewards_updates, 0);
        running_set(running, RUNNING_rewards_mean, coupling->anchor);
        running_set(running, RUNNING_rewards_updates, before + 1);
    }
}

void coupling_free(struct coupling *coupling)
{
    if (!coupling)
        return;
    mem_free(coupling->gap);
    mem_free(coupling->other);
    mem_free(coupling->dropped);
    mem_free(coupling);
}
