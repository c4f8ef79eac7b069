/* Rows of preferences as the groups that a rewarder would have scored so. A chosen completion has
 * the reward 1, a rejected one 0; a labelled one has 1 or 0 by its label, a ranked one its score.
 *
 *     const struct dataset_rules rules = {.rows = &row_rules, .prompt_tokens = 512, .tokens = 256,
 *                                         .temperature = 1};
 *     TRY(dataset_read(&recipe->data.train, &rules, true, seed, &rows));
 *     rows.group[i]->completion[0].token
 *
 * From here on a round of rows is trained as any round is. Groups carry no log-probabilities of a
 * generator: nobody drew them. Owner: one thread. */
#pragma once
#include "learner/offline/row_files.h"
#include "model/text/rows/comparison.h"
#include "wire/rollout.h"

struct dataset_rules {
    const struct row_rules *rows;
    /* Of a reward model, which takes other rows (rated.h); NULL: a policy's. */
    const struct objective_row *rated;
    int prompt_tokens, tokens; // of a prompt, of a completion, at most
    float temperature;         // by which logits are divided
    /* NULL: completions are trained as they are; else the labels behind two of them */
    const struct comparison *comparison;
};

struct dataset {
    struct mixture_plan plan;
    struct group **group;    // (count) in the order of files and lines
    uint64_t count, skipped; // rows that fit, and that do not or have an empty side
    uint32_t completions;    // of the largest
};

/* key: of the files, for messages. INVALID: a row that is none, or has no preference; all are
 * skipped. */
err_t dataset_read(const struct recipe_files *files, const char *key,
                   const struct dataset_rules *rules, bool shuffle, uint64_t seed,
                   struct dataset *ret);

/* Of all tokens and rewards, in order. */
struct digest dataset_digest(const struct dataset *rows);
void dataset_done(struct dataset *rows);
