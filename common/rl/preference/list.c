#include "rl/preference/list.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rl/preference/sigmoid.h"
#include <math.h>

/* log sum exp of x. */
static double log_sum(const double *x, size_t count)
{
    double most = x[0], sum = 0;
    for (size_t i = 1; i < count; i++)
        most = fmax(most, x[i]);
    for (size_t i = 0; i < count; i++)
        sum += exp(x[i] - most);
    return most + log(sum);
}

/* Members by their rewards, the best first. An insertion keeps the first among equals first. */
static void order_of(const struct list_member *member, size_t count, size_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && member[ret[at - 1]].reward < member[i].reward; at--)
            ret[at] = ret[at - 1];
        ret[at] = i;
    }
}

static double mean_of(const struct list_member *m)
{
    return m->logp / m->tokens;
}

/* EXO, and its forward sibling. scratch (2 count). */
static double softmaxes(const struct list_config *config, const struct list_member *member,
                        size_t count, double *scratch, double *ret)
{
    double *s = scratch, *q = scratch + count, loss = 0;
    for (size_t i = 0; i < count; i++) {
        s[i] = config->beta * member[i].u;
        q[i] = member[i].reward / config->reward_beta;
    }
    const double all = log_sum(s, count), wanted = log_sum(q, count);
    const bool reverse = config->loss == LIST_EXO;
    for (size_t i = 0; i < count; i++) {
        const double log_p = s[i] - all, log_q = q[i] - wanted;
        loss += reverse ? exp(log_p) * (log_p - log_q) : -exp(log_q) * log_p;
    }
    for (size_t i = 0; i < count; i++) {
        const double log_p = s[i] - all, log_q = q[i] - wanted;
        ret[i] = config->beta *
                 (reverse ? exp(log_p) * (log_p - log_q - loss) : exp(log_p) - exp(log_q));
    }
    return loss;
}

/* Each in its place ahead of all that come after it. */
static double plackett_luce(const struct list_config *config, const struct list_member *member,
                            size_t count, double *scratch, const size_t *order, double *ret)
{
    double loss = 0;
    for (size_t i = 0; i < count; i++)
        scratch[i] = config->beta * member[order[i]].u;
    for (size_t k = 0; k + 1 < count; k++) {
        const double all = log_sum(scratch + k, count - k);
        loss += all - scratch[k];
        ret[order[k]] -= config->beta;
        for (size_t i = k; i < count; i++)
            ret[order[i]] += config->beta * exp(scratch[i] - all);
    }
    return loss;
}

/* The same of means, each by its distance in reward; the best one's likelihood beside it. */
static double pro(const struct list_config *config, const struct list_member *member, size_t count,
                  double *scratch, const size_t *order, double *ret)
{
    const struct list_member *best = &member[order[0]];
    const double sft = config->sft * (double)(count - 1) * (double)(count - 1);
    double loss = -sft * best->logp;
    ret[order[0]] = -sft;
    for (size_t k = 0; k + 1 < count; k++) {
        const double reward = member[order[k]].reward,
                     most = reward - member[order[count - 1]].reward;
        scratch[k] = most * mean_of(&member[order[k]]);
        for (size_t i = k + 1; i < count; i++)
            scratch[i] = (reward - member[order[i]].reward) * mean_of(&member[order[i]]);
        const double all = log_sum(scratch + k, count - k);
        loss += all - scratch[k];
        ret[order[k]] += most * expm1(scratch[k] - all) / member[order[k]].tokens;
        for (size_t i = k + 1; i < count; i++)
            ret[order[i]] += (reward - member[order[i]].reward) * exp(scratch[i] - all) /
                             member[order[i]].tokens;
    }
    return loss;
}

static double rrhf(const struct list_config *config, const struct list_member *member, size_t count,
                   const size_t *order, double *ret)
{
    double loss = -config->sft * member[order[0]].logp;
    ret[order[0]] = -config->sft;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            const double over = mean_of(&member[i]) - mean_of(&member[j]);
            if (!(member[i].reward < member[j].reward) || over <= 0)
                continue;
            loss += over;
            ret[i] += 1.0 / member[i].tokens;
            ret[j] -= 1.0 / member[j].tokens;
        }
    return loss;
}

/* 2^(1 + how many are worse): the gain of a place of DCG, as it is by rank. */
static double gain_of(const struct list_member *member, size_t count, size_t i)
{
    size_t worse = 0;
    for (size_t j = 0; j < count; j++)
        worse += member[j].reward < member[i].reward;
    return exp2((double)(1 + worse)) - 1;
}

/* 1 / log(1 + rank by score), a constant. */
static double discount_of(const struct list_member *member, size_t count, size_t i)
{
    size_t rank = 1;
    for (size_t j = 0; j < count; j++)
        rank += member[j].u > member[i].u || (j < i && member[j].u == member[i].u);
    return 1 / log1p((double)rank);
}

static double lipo(const struct list_config *config, const struct list_member *member, size_t count,
                   double *scratch, double *ret)
{
    double *gain = scratch, *discount = scratch + count, loss = 0;
    for (size_t i = 0; i < count; i++) {
        gain[i] = gain_of(member, count, i);
        discount[i] = discount_of(member, count, i);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            if (!(member[i].reward > member[j].reward))
                continue;
            const double z = config->beta * (member[i].u - member[j].u),
                         weight = fabs(gain[i] - gain[j]) * fabs(discount[i] - discount[j]),
                         slope = weight * config->beta * sigmoid(-z);
            loss -= weight * log_sigmoid(z);
            ret[i] -= slope;
            ret[j] += slope;
        }
    return loss;
}

/* The worst against what the others moved since they were drawn. */
static double d2o(const struct list_config *config, const struct list_member *member, size_t count,
                  const size_t *order, double *ret)
{
    const size_t worst = order[count - 1];
    double z = -config->alpha * member[worst].u;
    const double share = config->beta / (double)(count - 1);
    for (size_t i = 0; i < count; i++)
        z += i == worst ? 0 : share * member[i].moved;
    for (size_t i = 0; i < count; i++)
        ret[i] = -sigmoid(-z) * (i == worst ? -config->alpha : share);
    return -log_sigmoid(z);
}

double list_at(const struct list_config *config, const struct list_member *member, size_t count,
               double *ret)
{
    SCOPED_MEM double *scratch = mem_array(2 * count, sizeof *scratch);
    SCOPED_MEM size_t *order = mem_array(count, sizeof *order);
    order_of(member, count, order);
    for (size_t i = 0; i < count; i++)
        ret[i] = 0;
    switch (config->loss) {
    case LIST_NONE:
        break;
    case LIST_EXO:
    case LIST_DPO_RW:
        return softmaxes(config, member, count, scratch, ret);
    case LIST_PL:
        return plackett_luce(config, member, count, scratch, order, ret);
    case LIST_LIPO:
        return lipo(config, member, count, scratch, ret);
    case LIST_PRO:
        return pro(config, member, count, scratch, order, ret);
    case LIST_RRHF:
        return rrhf(config, member, count, order, ret);
    case LIST_D2O:
        return d2o(config, member, count, order, ret);
    }
    return 0;
}
