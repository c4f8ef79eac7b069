#include "tensor/adamw.h"
#include "tensor/digest_hash.h"

/* By squaring: the same bits from every libm. */
static double power(double base, long exponent)
{
    double ret = 1;
    for (; exponent > 0; exponent /= 2, base *= base)
        if (exponent % 2)
            ret *= base;
    return ret;
}

err_t adamw_constants_of(const struct adamw_step *step, struct adamw_constants *ret)
{
    const double b1 = step->beta1, b2 = step->beta2;
    if (step->step < 1)
        return err_new(ERR_INVALID, "optimizer step %ld: the first is 1", step->step);
    *ret = (struct adamw_constants){.grad_scale = step->grad_scale,
                                    .beta1 = step->beta1,
                                    .one_minus_beta1 = (float)(1 - b1),
                                    .beta2 = step->beta2,
                                    .one_minus_beta2 = (float)(1 - b2),
                                    .keep = (float)(1 - (double)step->lr * step->weight_decay),
                                    .rate = (float)(step->lr / (1 - power(b1, step->step))),
                                    .v_scale = (float)(1 / (1 - power(b2, step->step))),
                                    .eps = step->eps};
    return OK;
}

struct adamw_changes adamw_changes_of(const struct adamw_total *total)
{
    return (struct adamw_changes){total->changed,
                                  digest_of_sum((u128)total->high << 64 | total->low)};
}

err_t adamw_read(const struct buffer *total, struct adamw_changes *ret)
{
    struct adamw_total words;
    TRY(buffer_get(total, 0, sizeof words, &words));
    *ret = adamw_changes_of(&words);
    return OK;
}
