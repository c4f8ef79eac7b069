/* THE words of objectives on pairs, as rl/word_table.h has those of policy gradients. Header-only: svc includes it. */
#pragma once
#include "rl/word.h"

// clang-format off
/* Losses on pairs (rl/kernels/pair.h), z = beta (u of the chosen - u of the rejected), u the sum of d. PAIR_NONE, not an objective on
 * pairs, has no word. */
#define PAIR_LOSSES(W) \
    W(PAIR_SIGMOID, "sigmoid", "-(1 - s) log sigma(z) - s log sigma(-z), s = label_smoothing (DPO, Rafailov 2023; s > 0: cDPO)") \
    W(PAIR_HINGE,   "hinge",   "max(0, 1 - z) (SLiC's)") \
    W(PAIR_IPO,     "ipo",     "(h - 1/(2 beta))^2, h the difference of the means of d over tokens, as in TRL's DPO (IPO, Azar 2023)") \
    W(PAIR_SFT,     "sft",     "-mean of d over the tokens of the chosen: the likelihood of the best completion alone (best-of-n; TRL's sft)")
// clang-format on

enum pair_loss { PAIR_NONE, PAIR_LOSSES(WORD_ENUM) };
WORD_TYPE(pair_loss, PAIR_LOSSES)
