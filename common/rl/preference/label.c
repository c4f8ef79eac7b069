#include "rl/preference/label.h"
#include "rl/preference/sigmoid.h"

struct label_value label_at(const struct label_config *config, double u, double label,
                            double anchor)
{
    const double side = label > 0 ? 1 : -1, beta = config->beta, x = side * (beta * u - anchor),
                 weight = label > 0 ? config->desirable : config->undesirable;
    if (!label_trains(config, label))
        return (struct label_value){0, 0};
    switch (config->loss) {
    case LABEL_NONE:
        break;
    case LABEL_KTO:
        return (struct label_value){weight * sigmoid(-x),
                                    -side * weight * beta * sigmoid(x) * sigmoid(-x)};
    case LABEL_BCO:
        return (struct label_value){-weight * log_sigmoid(x), -side * weight * beta * sigmoid(-x)};
    case LABEL_NPO:
        return (struct label_value){-2 / beta * log_sigmoid(-beta * u), 2 * sigmoid(beta * u)};
    }
    return (struct label_value){0, 0};
}

void label_group(const struct label_config *config, const double *reward, size_t completions,
                 double *ret)
{
    double mean = 0;
    bool differ = false; // a mean of equal rewards may be off by its rounding
    for (size_t i = 0; i < completions; i++) {
        mean += reward[i] / (double)completions;
        differ = differ || reward[i] != reward[0];
    }
    for (size_t i = 0; i < completions; i++)
        if (config->rule == LABELS_THRESHOLD || completions == 1)
            ret[i] = reward[i] > config->threshold ? 1 : -1;
        else
            ret[i] = differ ? (reward[i] > mean) - (reward[i] < mean) : 0;
}
