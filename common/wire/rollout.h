/* READ THIS FIRST: the item that goes round the ring, as plain structs, and its bytes.
 *
 * A group is one prompt and its k completions. The generator makes it, the rewarder adds scores, the learner stores and
 * trains it. On the wire it is rlhfd.v1.Group (proto/rollout.proto); in the store the same bytes behind a header.
 *
 *     SCOPED(group) group = NULL;
 *     TRY(group_decode(bytes, len, &limits, &group));   -- hostile input: bounded, every invariant below checked
 *     SCOPED_VALUE(bytes) out = {0};
 *     group_encode(group, &out);
 *
 * Any thread; a group belongs to one at a time. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

/* Tokens from first_token up to the next span's were produced by the weights of this version. */
struct span {
    uint32_t first_token;
    uint64_t version;
};

enum finish { FINISH_EOS = 1, FINISH_LENGTH = 2, FINISH_STOP = 3 };

/* tokens > 0; spans ascend, begin at token 0 and stay below tokens; every logp is finite and <= 0. */
struct completion {
    uint32_t tokens;
    uint32_t *token; // (tokens) without the prompt; an end token is included
    float
        *logp; // (tokens) log softmax(logits / temperature), under the weights that drew the token
    float *sampled_logp;   // (tokens) under the truncated distribution; NULL: the same as logp
    float *reference_logp; // (tokens) as logp, under the frozen reference; NULL: none
    uint32_t spans;
    struct span *span;
    enum finish finish;
    char *text; // without end token or stop text; text_len bytes, a terminator; not always UTF-8
    uint32_t text_len;
    uint32_t scores; // 0 until the rewarder has set them
    double *score;   // raw, one per scorer in the recipe's order
    double reward;   // their weighted sum
};

struct group {
    struct digest id; // group_id(...) of the next four
    char *run;
    uint32_t lineage;
    uint64_t slot;    // the slot's number: (epoch, prompt) in the order of leasing
    uint32_t attempt; // 1, 2, ...: which lease of the slot made this
    uint64_t prompt;  // the row's index in the training data
    uint32_t epoch;
    uint64_t start_round; // round of the weights the generator held at the lease: its age
    char *row;            // the dataset row as JSON text, unchanged from the lease
    uint32_t prompt_tokens;
    uint32_t *prompt_token;
    float temperature; // > 0; of an evaluation >= 0
    uint32_t completions;
    struct completion *completion;
    char *generator;
    bool evaluation; // of the evaluation data: scored and counted, never trained
};

/* Bounds on what a peer may send. */
struct group_limits {
    uint32_t completions, tokens /* of one completion or prompt */, row_bytes, scores;
    uint32_t spans; // of one completion
    size_t bytes;   // of the whole message
};
#define GROUP_LIMITS                                                                               \
    ((struct group_limits){.completions = 1024,                                                    \
                           .tokens = 1 << 20,                                                      \
                           .row_bytes = 4 << 20,                                                   \
                           .scores = 64,                                                           \
                           .spans = 4096,                                                          \
                           .bytes = 64 << 20})
enum {
    NAME_MAX_BYTES = 255,
    REASON_MAX_BYTES = 1000
}; // of run and generator; of a disposition's reason

/* The id of attempt `attempt` at a slot. A format: hash128 of run, a zero byte, be32 lineage, be64 slot, be32 attempt. */
struct digest group_id(const char *run, uint32_t lineage, uint64_t slot, uint32_t attempt);

/* Appends the group's bytes: the same group always gives the same bytes. */
void group_encode(const struct group *group, struct bytes *ret);

/* INVALID: malformed, over a limit, or an invariant broken; the message says which field. Checked too: prompt_tokens,
 * attempt, temperature > 0; scores and reward finite, as many scores for each completion; row UTF-8 without a NUL. */
err_t group_decode(const uint8_t *data, size_t len, const struct group_limits *limits,
                   struct group **ret);

uint64_t group_oldest_version(const struct group *group); // over all spans
uint64_t group_tokens(const struct group *group);         // over all completions
void group_free(struct group *group);
DEFINE_SCOPED(group)

/* What became of a group: terminal and recorded. Sent back the way that the group came. */
enum outcome {
    OUTCOME_STORED = 1,
    OUTCOME_DUPLICATE,
    OUTCOME_SUPERSEDED,
    OUTCOME_STALE,
    OUTCOME_REJECTED
};
const char *
outcome_name(enum outcome outcome); // "stored", ...; "?" for a number that is none of them

struct disposition {
    struct digest id;
    enum outcome outcome;
    char *reason; // for people; NULL: none
};
void disposition_encode(const struct disposition *disposition,
                        struct bytes *ret); // cuts a long reason

/* INVALID: malformed. ret->reason is the caller's: disposition_done. */
err_t disposition_decode(const uint8_t *data, size_t len, struct disposition *ret);
void disposition_done(struct disposition *disposition);
