#include "rl/advantages/gae.h"
#include "base/mem.h"
#include "rl/advantages/whiten.h"
#include "rl/kernels/gate.h"
#include <math.h>

/* Neighbouring trained tokens that count as one: their mean value, the sum of their rewards, and
 * how much likelier the round's first weights draw them than those that drew them. */
struct action {
    double value, reward, w;
};

static struct action action_of(const struct columns *round, const size_t *token, size_t tokens)
{
    const double *proximal = round->at[COLUMN_PROXIMAL_LOGP],
                 *behaviour = round->at[COLUMN_BEHAVIOUR_LOGP];
    double value = 0, reward = 0, log_w = 0;
    for (size_t i = 0; i < tokens; i++) {
        value += round->at[COLUMN_VALUE][token[i]];
        reward += round->at[COLUMN_TOKEN_REWARD][token[i]];
        log_w += proximal && behaviour ? proximal[token[i]] - behaviour[token[i]] : 0;
    }
    return (struct action){value / (double)tokens, reward, exp(log_ratio_clamp(log_w))};
}

/* Of advantages; values always have config->lambda. */
static double lambda_of(const struct gae_config *config, size_t tokens)
{
    if (!(config->lambda_alpha > 0) || tokens == 0)
        return config->lambda;
    return fmax(0, 1 - 1 / (config->lambda_alpha * (double)tokens));
}

/* The sequence's trained tokens; ret has room for all. */
static size_t trained_tokens(const struct columns *round, size_t s, size_t *ret)
{
    size_t count = 0;
    for (size_t t = round->first[s]; t < round->first[s + 1]; t++)
        if (columns_weight(round, t) != 0)
            ret[count++] = t;
    return count;
}

static void fill_sequence(const struct gae_config *config, struct columns *round, size_t s,
                          size_t *token)
{
    const double *bootstrap = round->at[COLUMN_BOOTSTRAP_VALUE];
    const size_t tokens = trained_tokens(round, s, token),
                 each = config->macro > 1 ? (size_t)config->macro : 1;
    const double decay = config->gamma * config->lambda,
                 ahead_decay = config->gamma * lambda_of(config, tokens);
    double next = config->bootstrap && bootstrap ? bootstrap[s] : 0, later = 0, ahead = 0;
    for (size_t end = tokens, begin; end > 0; end = begin) {
        begin = (end - 1) / each * each;
        const struct action x = action_of(round, token + begin, end - begin);
        const double difference = x.reward + config->gamma * next - x.value,
                     rho = fmin(config->rho_bar, x.w), c = fmin(config->c_bar, x.w);
        const double advantage = difference + ahead_decay * ahead;
        ahead = rho * difference + ahead_decay * (c * ahead);
        later = rho * difference + decay * (c * later);
        for (size_t i = begin; i < end; i++) {
            round->at[COLUMN_TOKEN_ADVANTAGE][token[i]] = advantage;
            round->at[COLUMN_RETURNS][token[i]] = x.value + later;
        }
        next = x.value;
    }
}

void gae_fill(const struct gae_config *config, struct columns *round)
{
    columns_drop(round, COLUMN_TOKEN_ADVANTAGE);
    columns_drop(round, COLUMN_RETURNS);
    double *advantage = columns_add(round, COLUMN_TOKEN_ADVANTAGE);
    columns_add(round, COLUMN_RETURNS);
    SCOPED_MEM size_t *token = mem_array(round->first[round->sequences], sizeof *token);
    for (size_t s = 0; s < round->sequences; s++)
        fill_sequence(config, round, s, token);
    if (config->whiten_advantages)
        whiten(round, advantage, true);
}

void to_go_fill(double gamma, struct columns *round)
{
    columns_drop(round, COLUMN_TOKEN_ADVANTAGE);
    double *advantage = columns_add(round, COLUMN_TOKEN_ADVANTAGE);
    for (size_t s = 0; s < round->sequences; s++) {
        double later = 0;
        for (size_t t = round->first[s + 1]; t-- > round->first[s];)
            if (columns_weight(round, t) != 0) {
                later = round->at[COLUMN_TOKEN_REWARD][t] + gamma * later;
                advantage[t] = later;
            }
    }
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
