/* Losses on single completions that are desirable or not: the label is a constant, and so is what
 * the completion's implicit reward is compared with. Mean over the sequences of the update. Weights
 * only mask. */
#include "rl/kernels/coupling.h"
#include "rl/kernels/kernel.h"
#include "rl/preference/label.h"

void kernel_label(const struct pass *pass, size_t unit, size_t end)
{
    const struct label_config *config = &pass->config->label;
    const struct coupling *coupling = pass->totals->coupling;
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (!(s.tokens > 0))
            continue;
        const double share = 1 / pass->totals->sequences;
        const struct label_value value =
            label_at(config, pass_implicit_reward(pass, &s), pass->batch->at[COLUMN_LABEL][i],
                     coupling ? coupling->anchor : 0);
        pass->tally->policy += share * value.loss;
        pass_spread(pass, &s, share * value.slope);
    }
}
