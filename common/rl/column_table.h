/* THE table of columns: every named value that belongs to a token, a sequence (one completion) or a group, from the generator's
 * stamp to what an objective reads. A round, an update, a micro-batch and a stretch of one are slices of the same columns.
 *
 *     X(id, ENUM, name, unit, dtype, origin, range, key, value, help)
 *
 * id: its number on the wire and in the store, never given twice; below 64. origin: who fills it. range: what values are allowed.
 * key, value: the setting without which nobody fills it ("" where it is always there). help: for docs and errors.
 *
 * Header-only, and without any dependency, so that the wire and the recipe may include it as well as the objectives.
 *
 *     column_row(COLUMN_REWARD)->name, ->unit, ->dtype ...
 *     COLUMN_BIT(COLUMN_REWARD) | COLUMN_BIT(COLUMN_ADVANTAGE)           -- a set of columns
 *
 * To add one: a row, who writes it, who reads it. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum column_unit { UNIT_TOKEN = 1, UNIT_SEQUENCE, UNIT_GROUP };
enum column_dtype { VALUE_F32 = 1, VALUE_F64, VALUE_U8 };

/* The generator stamps, a stage of the rewarder adds, the learner computes (and never sends), a row of a dataset has it (and no
 * message). */
enum column_origin { ORIGIN_GENERATOR = 1, ORIGIN_REWARDER, ORIGIN_LEARNER, ORIGIN_DATASET };

/* ANY: any number. FINITE: neither infinite nor NaN. LOGP: finite and at most 0. WIDE: finite, and as many values for each unit
 * as there are scorers. */
enum column_range { RANGE_ANY, RANGE_FINITE, RANGE_LOGP, RANGE_WIDE };

// clang-format off
#define COLUMN_ROWS(X) \
    X(1, BEHAVIOUR_LOGP, behaviour_logp, TOKEN, F32, GENERATOR, LOGP, "", "", \
      "log-probability of the token under the weights that drew it: log softmax(logits / temperature)") \
    X(2, SAMPLED_LOGP, sampled_logp, TOKEN, F32, GENERATOR, LOGP, "", "", \
      "log-probability of the token in the truncated distribution (top_p, top_k, min_p); absent where nothing was truncated") \
    X(3, REFERENCE_LOGP, reference_logp, TOKEN, F32, REWARDER, LOGP, "rewarder.reference", "frozen", \
      "log-probability of the token under the frozen reference model") \
    X(4, SCORES, scores, SEQUENCE, F64, REWARDER, WIDE, "", "", \
      "raw scores of the completion, one of each scorer in the recipe's order") \
    X(5, REWARD, reward, SEQUENCE, F64, REWARDER, FINITE, "", "", \
      "weighted sum of the completion's scores") \
    X(6, INAPPLICABLE, inapplicable, SEQUENCE, U8, REWARDER, WIDE, "", "", \
      "1: the scorer does not apply to the completion, its score is none, and the reward is without it; absent where all apply") \
    X(7, ENSEMBLE_STD, ensemble_std, SEQUENCE, F64, REWARDER, FINITE, "", "", \
      "standard deviation among an ensemble's scores of the completion, of several ensembles the largest; absent without one") \
    X(33, LOGP, logp, TOKEN, F64, LEARNER, ANY, "", "", \
      "log-probability of the token under the weights that are being trained") \
    X(34, PROXIMAL_LOGP, proximal_logp, TOKEN, F64, LEARNER, ANY, "learner.ratio_to", "proximal", \
      "log-probability of the token under the weights that the round began with") \
    X(35, ADVANTAGE, advantage, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "how much better the completion is than the others of its group") \
    X(36, TOKEN_ADVANTAGE, token_advantage, TOKEN, F64, LEARNER, ANY, "", "", \
      "advantage of the token, in place of its completion's") \
    X(37, WEIGHT, weight, TOKEN, F64, LEARNER, ANY, "", "", \
      "factor of the token's loss; 0: the token counts nowhere") \
    X(38, FRESH, fresh, TOKEN, U8, LEARNER, ANY, "", "", \
      "1: drawn by the weights that the round began with, everything before it too, and by numerics that are the learner's") \
    X(39, FOREIGN, foreign, TOKEN, U8, LEARNER, ANY, "", "", \
      "1: as fresh, but drawn by other numerics than the learner's") \
    X(40, VALUE, value, TOKEN, F64, LEARNER, ANY, "", "", \
      "value of the state before the token, by the critic's weights that learner.critic.values names") \
    X(41, BOOTSTRAP_VALUE, bootstrap_value, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "value of the state after the last token of a completion that was cut off, by the same weights; 0 for one that ended by itself") \
    X(42, TOKEN_REWARD, token_reward, TOKEN, F64, LEARNER, ANY, "", "", \
      "reward of the token: the distance from the reference taken off, and the completion's reward on its last trained token") \
    X(43, RETURNS, returns, TOKEN, F64, LEARNER, ANY, "", "", \
      "target of the critic for the state before the token") \
    X(44, VPRED, vpred, TOKEN, F64, LEARNER, ANY, "", "", \
      "value of the state before the token, by the critic's weights that are being trained") \
    X(45, MASKED, masked, TOKEN, U8, LEARNER, ANY, "", "", \
      "1: the token has no loss in this round, and losses are divided as if it had one") \
    X(46, COUNTED, counted, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "tokens of the completion that losses are divided by, in place of those with a weight") \
    X(47, IMITATED, imitated, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "1: the completion's likelihood is a term of the loss; 0: it is none") \
    X(48, GROUP_TOKENS, group_tokens, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "trained tokens of a completion, mean of its group") \
    X(50, LABEL, label, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "1: the completion is desirable, -1: it is not, 0: neither") \
    X(51, MISMATCHED, mismatched, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "sum of logp - reference logp over another prompt's completion behind this one's prompt, under the weights that are being trained") \
    X(52, MISMATCHED_REFERENCE, mismatched_reference, SEQUENCE, F64, LEARNER, ANY, "", "", \
      "sum of the reference logp over that completion") \
    X(56, ENTROPY, entropy, TOKEN, F64, LEARNER, ANY, "", "", \
      "entropy of the distribution of the token, under the weights that are being trained") \
    X(57, FORWARD_KL, forward_kl, TOKEN, F64, LEARNER, ANY, "", "", \
      "KL(reference, policy) of the distribution of the token") \
    X(58, REVERSE_KL, reverse_kl, TOKEN, F64, LEARNER, ANY, "", "", \
      "KL(policy, reference) of the distribution of the token") \
    X(59, JSD, jsd, TOKEN, F64, LEARNER, ANY, "", "", \
      "generalised Jensen-Shannon divergence of policy and reference in the distribution of the token") \
    X(60, RIVAL_LOGP, rival_logp, TOKEN, F64, LEARNER, ANY, "", "", \
      "log-probability of the likeliest token but for this one") \
    X(61, MARGIN, margin, SEQUENCE, F64, DATASET, FINITE, "", "", \
      "by how much the better completion's score has to be ahead; of all completions of a prompt") \
    X(62, PREFERRED, preferred, SEQUENCE, F64, DATASET, FINITE, "", "", \
      "share of annotators that prefer the better completion, as people labelled it; absent: all of them")
// clang-format on

enum column {
#define COLUMN_ENUM(id, name, ...) COLUMN_##name = (id),
    COLUMN_ROWS(COLUMN_ENUM)
#undef COLUMN_ENUM
        COLUMNS = 64
};
#define COLUMN_BIT(column) (UINT64_C(1) << (column))

struct column_row {
    enum column id;
    const char *name;
    enum column_unit unit;
    enum column_dtype dtype;
    enum column_origin origin;
    enum column_range range;
    const char *key, *value, *help;
};

/* NULL: no such column. */
static inline const struct column_row *column_row(unsigned id)
{
#define COLUMN_ROW(id, enum_, name, unit, dtype, origin, range, key, value, help)                  \
    {id, #name, UNIT_##unit, VALUE_##dtype, ORIGIN_##origin, RANGE_##range, key, value, help},
    static const struct column_row rows[] = {COLUMN_ROWS(COLUMN_ROW)};
#undef COLUMN_ROW
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].id == id)
            return &rows[i];
    return NULL;
}

/* "?" for a number that names none. */
static inline const char *column_name(unsigned id)
{
    const struct column_row *row = column_row(id);
    return row ? row->name : "?";
}

/* Bytes of one value; 0 for a number that names no type. */
static inline size_t column_size(unsigned dtype)
{
    return dtype == VALUE_F32   ? sizeof(float)
           : dtype == VALUE_F64 ? sizeof(double)
           : dtype == VALUE_U8  ? 1
                                : 0;
}
