/* Advantages of tokens, and the critic's targets, from token rewards and values: generalised
 * advantage estimation (Schulman 2016), corrected for tokens that older weights drew as V-trace
 * has it (Espeholt 2018). Over a whole round, before its first update.
 *
 *     token_reward_fill(&settings.gae, &cost, round);         -- needs reward
 *     gae_fill(&settings.gae, round);                         -- needs token_reward, value
 *     -> round->at[COLUMN_TOKEN_ADVANTAGE], round->at[COLUMN_RETURNS]
 *
 * w_t = exp(proximal_logp - behaviour_logp), 1 where one of the two is not there. Over the
 * unmasked tokens of a completion, from the last one back:
 *
 *     d_t = r_t + gamma V_(t+1) - V_t
 *     x_t = min(rho_bar, w_t) d_t + gamma lambda min(c_bar, w_t) x_(t+1)
 *     A_t = d_t + gamma lambda x_(t+1)
 *     returns_t = V_t + x_t
 *
 * After the last token V is bootstrap_value, or 0 without that column, and x is 0. The advantage
 * leaves out w_t: the policy's loss weighs a token by it, once (CORRECTION_TIS_TOKEN with high =
 * rho_bar). With c_bar = rho_bar it is A_t = d_t + gamma lambda min(c_bar, w_(t+1)) A_(t+1).
 * Where each w is 1 it has the bits of plain GAE. With lambda_alpha the A_t have a lambda of
 * their own, and with macro so many tokens are one: a mean of values, a sum of rewards, a
 * product of weights. Masked tokens get 0 and are passed over. Any thread. */
#pragma once
#include "rl/columns.h"
#include "rl/objective_config.h"
#include "rl/reference_kl.h"

void gae_fill(const struct gae_config *config, struct columns *round);

/* Advantages of tokens without a critic, from token_reward: the sum of the rewards from the
 * token on, each discounted by gamma a token (REINFORCE++). */
void to_go_fill(double gamma, struct columns *round);

/* r_t = -coef * the token's distance from the reference, where the completion has one. The
 * completion's reward comes on top at its last unmasked token. Then whitened, if the settings say
 * so. */
void token_reward_fill(const struct gae_config *config, const struct kl_cost *cost,
                       struct columns *round);
