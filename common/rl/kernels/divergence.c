/* Divergences of a sequence: from the behaviour policy, and from the reference (reference_kl.c). */
#include "rl/kernels/kernel.h"
#include "rl/kl.h"

/* Samples are the behaviour policy's: KL(behaviour || current). */
static void compare(const struct pass *pass, double d)
{
    pass->tally->compared += 1;
    pass->tally->k1 += d;
    pass->tally->k3 += kl_at(KL_K3, d).value;
}

void pass_divergences(const struct pass *pass, const struct stretch *s)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP], *behaviour = batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        if (behaviour && columns_weight(batch, t) != 0)
            compare(pass, behaviour[t] - logp[t]);
    }
    pass_refer(pass, s);
    pass_rows(pass, s);
}
