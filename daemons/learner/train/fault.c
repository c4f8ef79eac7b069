#include "learner/train/fault.h"

err_t fault_told(const struct restart *start, err_t e)
{
    if (err_code(e) != ERR_DATA_LOSS)
        return e;
    err_t told = err_new(
        ERR_DATA_LOSS,
        "%s: this machine's memory changed a weight. No checkpoint was written and no version published "
        "with it. To go on: start the learner again, on another machine if this comes twice; it goes "
        "back to '%s' and trains the recorded rounds again. If a version then comes out with another digest than "
        "recorded, give up what follows that checkpoint: --job fork --at its version",
        err_message(e), start->origin);
    err_free(e);
    return told;
}
