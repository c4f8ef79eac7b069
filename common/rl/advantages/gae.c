#include "rl/advantages/gae.h"
#include "rl/advantages/whiten.h"
#include "rl/kernels/gate.h"
#include <math.h>

/* How much likelier the round's first weights draw the token than those that drew it. */
static double weight_of(const struct columns *round, size_t t)
{
    const double *proximal = round->at[COLUMN_PROXIMAL_LOGP],
                 *behaviour = round->at[COLUMN_BEHAVIOUR_LOGP];
    return proximal && behaviour ? exp(log_ratio_clamp(proximal[t] - behaviour[t])) : 1;
}

static void fill_sequence(const struct gae_config *config, struct columns *round, size_t s)
{
    const double *value = round->at[COLUMN_VALUE], *reward = round->at[COLUMN_TOKEN_REWARD],
                 *bootstrap = round->at[COLUMN_BOOTSTRAP_VALUE];
    const double decay = config->gamma * config->lambda;
    double next = config->bootstrap && bootstrap ? bootstrap[s] : 0, later = 0;
    for (size_t t = round->first[s + 1]; t-- > round->first[s];) {
        if (columns_weight(round, t) == 0)
            continue;
        const double w = weight_of(round, t);
        const double difference = reward[t] + config->gamma * next - value[t];
        round->at[COLUMN_TOKEN_ADVANTAGE][t] = difference + decay * later;
        later = fmin(config->rho_bar, w) * difference + decay * (fmin(config->c_bar, w) * later);
        round->at[COLUMN_RETURNS][t] = value[t] + later;
        next = value[t];
    }
}

void gae_fill(const struct gae_config *config, struct columns *round)
{
    columns_drop(round, COLUMN_TOKEN_ADVANTAGE);
    columns_drop(round, COLUMN_RETURNS);
    double *advantage = columns_add(round, COLUMN_TOKEN_ADVANTAGE);
    columns_add(round, COLUMN_RETURNS);
    for (size_t s = 0; s < round->sequences; s++)
        fill_sequence(config, round, s);
    if (config->whiten_advantages)
        whiten(round, advantage, true);
}

/* ---- rewards of tokens */

static void pay(const struct kl_cost *cost, struct columns *round, size_t s)
{
    double *reward = round->at[COLUMN_TOKEN_REWARD], nats;
    size_t last = round->first[s + 1];
    for (size_t t = round->first[s]; t < round->first[s + 1]; t++) {
        if (columns_weight(round, t) == 0)
            continue;
        last = t;
        if (cost->coef > 0 && reference_kl_token(round, t, cost, &nats))
            reward[t] = -cost->coef * nats;
    }
    if (last < round->first[s + 1])
        reward[last] += round->at[COLUMN_REWARD][s];
}

void token_reward_fill(const struct gae_config *config, const struct kl_cost *cost,
                       struct columns *round)
{
    columns_drop(round, COLUMN_TOKEN_REWARD);
    double *reward = columns_add(round, COLUMN_TOKEN_REWARD);
    for (size_t s = 0; s < round->sequences; s++)
        pay(cost, round, s);
    if (config->whiten_rewards)
        whiten(round, reward, false);
}
