#include "rl/row_check.h"
#include <math.h>

static err_t check_range(const char *name, double value, double min, double max)
{
    if (!(value >= min && value <= max))
        return err_new(ERR_INVALID, "%s is %g; %g to %g is allowed", name, value, min, max);
    return OK;
}

err_t row_config_check(const struct objective_config *config)
{
    const struct row_config *rows = &config->rows;
    TRY(check_range("entropy coef", rows->entropy_coef, -1e6, 1e6));
    TRY(check_range("distance coef", rows->coef, 0, 1e6));
    if (rows->distance == DISTANCE_JSD && !(rows->beta > 0 && rows->beta < 1))
        return err_new(ERR_INVALID,
                       "distance beta is %g; between 0 and 1 is allowed: at the ends the distance "
                       "is 0, and forward and reverse are words of their own",
                       rows->beta);
    TRY(check_range("tdpo alpha", config->tdpo.alpha, 0, 1e6));
    TRY(check_range("tdpo beta", config->tdpo.beta, 0, 1e6));
    TRY(check_range("contrast coef", config->contrast.coef, 0, 1e6));
    return check_range("ift gamma", config->ift.gamma, 0, 1);
}
