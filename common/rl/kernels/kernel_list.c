/* Losses on all completions of a prompt: mean over the units of the update. A completion that is
 * masked whole is not in its list, and a list of one trains nothing. Weights only mask. */
#include "base/mem.h"
#include "rl/kernels/kernel.h"
#include "rl/preference/list.h"

static struct list_member member_of(const struct pass *pass, const struct stretch *s, size_t i)
{
    const double *logp = pass->batch->at[COLUMN_LOGP];
    const enum list_loss loss = pass->config->list.loss;
    return (struct list_member){
        .u = list_refers(loss) ? pass_implicit_reward(pass, s) : 0,
        .moved =
            list_moves(loss) ? pass_sum(pass, s, logp, pass->batch->at[COLUMN_BEHAVIOUR_LOGP]) : 0,
        .logp = pass_sum(pass, s, logp, NULL),
        .tokens = (int)s->tokens,
        .reward = pass->batch->at[COLUMN_REWARD][i]};
}

void kernel_list(const struct pass *pass, size_t unit, size_t end)
{
    SCOPED_MEM struct list_member *member = mem_array(end - unit, sizeof *member);
    SCOPED_MEM double *slope = mem_array(end - unit, sizeof *slope);
    const double share = 1 / pass->totals->units;
    size_t count = 0, at = 0;
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (s.tokens > 0)
            member[count++] = member_of(pass, &s, i);
    }
    if (count >= 2)
        pass->tally->policy += share * list_at(&pass->config->list, member, count, slope);
    for (size_t i = unit; i < end; i++) {
        const struct stretch s = pass_sequence(pass, i);
        if (s.tokens > 0)
            pass_spread(pass, &s, share * slope[at++]);
    }
}
