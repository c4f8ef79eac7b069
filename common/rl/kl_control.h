/* Steers the KL coefficient so that the divergence comes to a target: the adaptive controller of
 * Ziegler 2019. One owner.
 *
 *     struct kl_control control = {.coef = 0.05};
 *     kl_control_update(&control, 6, 10000, kl, 256);      -- after each update: kl in nats per completion, of 256
 *     config.kl_coef = control.coef; */
#pragma once

struct kl_control {
    double coef;
};

/* coef *= 1 + e completions / horizon, e = kl / target - 1 within +-0.2. More completions than the
 * horizon (> 0) count as the horizon. So a step is 20 % at most, and coef keeps its sign. coef ends
 * at KL_COEF_MAX (rl/kl.h). Nothing changes with a target of 0 or a kl that is not finite. */
void kl_control_update(struct kl_control *control, double target, double horizon, double kl,
                       double completions);
