/* The options of the reference that the learner keeps, and of objectives on whole rows of the vocabulary. They are part of
 * svc/recipe/recipe_table.h, which has the form of a row. */
#pragma once

// clang-format off
#define RECIPE_REFERENCE(X, C, G) \
    C(kind, recipe_reference_kind, "none", FIXED, "none|frozen|ema|reset", \
      "none here, but the rewarder's stage or an adapter's base; it stands still; it moves towards the weights (TR-DPO, Gorbatovski 2024); it becomes them (its hard update; ProRL)") \
    X(path,   path, "", FIXED, ANY, "Hugging Face directory that it starts from, with the policy's tokens; empty: model.path") \
    X(number, mixup_alpha, "0.6", FIXED, ABOVE(0, 1.000001), "kind: ema: share of the way to the weights that it goes (TRL's ref_model_mixup_alpha)") \
    X(count,  sync_steps,  "512", FIXED, FROM(1, 1e9), "kind: ema, reset: updates between two moves (TRL's ref_model_sync_steps); it moves behind the last update of a round")

#define RECIPE_ROWS(X, C, G) \
    X(number, entropy_coef, "0.0", FIXED, FROM(0, 1e3), "the loss is less by it times the entropy, as tokens are reduced") \
    X(number, entropy_target, "0.0", FIXED, FROM(0, 100), "mean entropy in nats; below it entropy_coef rises by entropy_coef_delta a round, above it falls, not below 0 (TRL's and Skywork's adaptive entropy); 0: it stays") \
    X(number, entropy_coef_delta, "0.005", FIXED, ABOVE(0, 1e3), "entropy_target: the step of entropy_coef") \
    X(word,   distance, "default", FIXED, WORDS(WORD_LIST_AFTER("default", DISTANCES)), "distance of whole distributions from the reference's, a term of the loss; default: as the objective has it") \
    X(number_or_default, coef, "default", FIXED, FROM(0, 1e6), "weight of the distance; default: as the objective has it, and 1 with those that have none") \
    X(number_or_default, beta, "default", FIXED, BELOW(0, 1), "distance: jsd: the reference's share of the mixture; default: as the objective has it, 0.5 with others")

#define RECIPE_TDPO(X, C, G) \
    X(number_or_default, alpha, "default", FIXED, FROM(0, 1e6), "weight of the difference of divergences; default: 1 of tdpo1, 0.5 of tdpo2")

#define RECIPE_CONTRAST(X, C, G) \
    X(number, coef, "1.0", FIXED, FROM(0, 1e6), "weight of what tokens of bad completions lose")

#define RECIPE_IFT(X, C, G) \
    X(number, gamma, "0.95", FIXED, FROM(0, 1), "discount of what follows from a token, in its weight") \
    X(flag,   detached, "false", FIXED, ANY, "the weights have no slope; the authors' code has one")
// clang-format on
