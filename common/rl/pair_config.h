/* The settings of objectives on pairs, labels and lists, a part of struct objective_config. */
#pragma once
#include "rl/pair_word_table.h"

struct pair_config {
    enum pair_loss loss;
    /* > 0. */
    double beta;
    /* [0, 0.5): probability that a pair is the wrong way round; SIGMOID alone. */
    double label_smoothing;
};
