/* A step of AdamW as kernels see it. Valid C and C++.
 *
 *     struct adamw_constants c;
 *     TRY(adamw_constants_of(step, &c));
 *
 * Any thread. */
#pragma once

struct adamw_constants {
    float grad_scale, beta1, one_minus_beta1, beta2, one_minus_beta2;
    float keep;    // 1 - lr * weight_decay
    float rate;    // lr / (1 - beta1^step)
    float v_scale; // 1 / (1 - beta2^step)
    float eps;
};
