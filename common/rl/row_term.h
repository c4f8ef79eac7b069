/* Quantities of a whole row of the vocabulary: objectives have slopes of them, beside those of the
 * target's log-probability. Settings of those that any objective may add to its loss.
 *
 *     X(TERM, name, help)
 *
 * p is the policy's distribution of the next token, q the reference's; both at the temperature that
 * samples. rl/row_value.h has the formulas. Header-only. */
#pragma once
#include "rl/word.h"

// clang-format off
#define ROW_TERMS_TABLE(X) \
    X(ENTROPY,    entropy,    "entropy of p, nats") \
    X(FORWARD_KL, forward_kl, "KL(q, p) of the row, nats") \
    X(REVERSE_KL, reverse_kl, "KL(p, q) of the row, nats") \
    X(JSD,        jsd,        "generalised Jensen-Shannon divergence of the row: beta KL(q, m) + (1 - beta) KL(p, m), m = beta q + (1 - beta) p") \
    X(RIVAL_LOGP, rival_logp, "log-probability of the rival: the likeliest token but for the target")
// clang-format on

enum row_term {
#define ROW_TERM_ENUM(TERM, name, help) ROW_##TERM,
    ROW_TERMS_TABLE(ROW_TERM_ENUM)
#undef ROW_TERM_ENUM
        ROW_TERMS
};
#define ROW_TERM_BIT(term) (1U << ROW_##term)

/* Those that compare with the reference's whole row. */
#define ROW_TERMS_OF_REFERENCE                                                                     \
    (ROW_TERM_BIT(FORWARD_KL) | ROW_TERM_BIT(REVERSE_KL) | ROW_TERM_BIT(JSD))

// clang-format off
/* How far whole rows are from the reference's. */
#define DISTANCES(W) \
    W(DISTANCE_NONE,    "none",    "no distance of whole rows") \
    W(DISTANCE_FORWARD, "forward", "KL(reference, policy) (SuperHF, Mukobi 2023)") \
    W(DISTANCE_REVERSE, "reverse", "KL(policy, reference): the exact value of what kl.estimator k1 samples") \
    W(DISTANCE_JSD,     "jsd",     "generalised Jensen-Shannon divergence (GKD, Agarwal 2023)")
// clang-format on
enum distance { DISTANCES(WORD_ENUM) };
WORD_TYPE(distance, DISTANCES)

/* Terms of the loss, reduced as the objective's own tokens are. */
struct row_config {
    /* The loss is less by coef times the entropy; 0: it is not. */
    double entropy_coef;
    enum distance distance;
    /* Of the distance, >= 0. */
    double coef;
    /* (0, 1): of JSD. */
    double beta;
};

/* Of pairs with the divergence of their rows (rl/kernels/kernel_row.c). */
struct tdpo_config {
    /* beta > 0, alpha >= 0. */
    double beta, alpha;
    /* TDPO1: the chosen one's divergence has a slope, too. */
    bool through_chosen;
};

/* The loss of each token of a bad completion: -log(1 - p), p its probability; or -log sigma(the
 * rival's logit - its own). */
enum contrast { CONTRAST_COMPLEMENT, CONTRAST_RIVAL };

/* Of labelled completions. */
struct contrast_config {
    enum contrast loss;
    /* >= 0: factor of what the bad ones lose. */
    double coef;
};

struct ift_config {
    /* [0, 1]. */
    double gamma;
    bool detached;
};

static inline enum row_term row_term_of(enum distance distance)
{
    return distance == DISTANCE_FORWARD   ? ROW_FORWARD_KL
           : distance == DISTANCE_REVERSE ? ROW_REVERSE_KL
                                          : ROW_JSD;
}

/* The terms that these settings have slopes of, a bit each. */
static inline unsigned row_config_terms(const struct row_config *config)
{
    return (config->entropy_coef != 0 ? ROW_TERM_BIT(ENTROPY) : 0) |
           (config->distance != DISTANCE_NONE && config->coef > 0
                ? 1U << row_term_of(config->distance)
                : 0);
}
