/* READ THIS FIRST: the item that goes round the ring, as plain structs, and its bytes.
 *
 * A group is one prompt and its k completions. The generator makes it, the rewarder adds columns,
 * the learner stores and trains it. On the wire it is rlhfd.v1.Group (proto/rollout.proto); in the
 * store the same bytes behind a header.
 *
 *     SCOPED(group) group = NULL;
 *     TRY(group_decode(bytes, len, &limits, &group));   -- hostile input: bounded, every invariant below checked
 *     const float *logp = group_values(group, COLUMN_BEHAVIOUR_LOGP, i);
 *     double *reward = group_add(group, COLUMN_REWARD, 1);
 *     group_encode(group, &out);
 *
 * Any thread; a group belongs to one at a time. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "wire/column_list.h"
#include "wire/disposition.h"
#include "wire/traceparent.h"
#include <stdbool.h>
#include <stdint.h>

/* Tokens from first_token up to the next span's, or to the end of their turn, were produced by the
 * weights of this version. */
struct span {
    uint32_t first_token;
    uint64_t version;
};

enum role { ROLE_ASSISTANT = 1, ROLE_USER, ROLE_TOOL /* or the environment */ };

/* The tokens from first_token up to the next turn's, all of one role. */
struct turn {
    enum role role;
    uint32_t first_token;
    bool trained; // its tokens count in the loss
    bool drawn;   // by the policy, and covered by spans; other turns have none
};

enum finish { FINISH_EOS = 1, FINISH_LENGTH = 2, FINISH_STOP = 3 };

/* tokens > 0. Turns begin at token 0 and ascend. Only drawn turns are trained, and at least one is.
 * Spans ascend; each drawn turn begins with one, and none lies in another turn. */
struct completion {
    uint32_t tokens;
    uint32_t *token; // (tokens) without the prompt; an end token is included
    uint32_t turns;
    struct turn *turn;
    uint32_t spans;
    struct span *span;
    enum finish finish;
    char *text; // without end token or stop text; text_len bytes, a terminator; not always UTF-8
    uint32_t text_len;
};

struct group {
    struct digest id; // group_id(...) of the next four
    char *run;
    uint32_t lineage;
    uint64_t slot;    // the slot's number: (epoch, prompt) in the order of leasing
    uint32_t attempt; // 1, 2, ...: which lease of the slot made this
    uint64_t prompt;  // the row's index in the training data
    uint32_t epoch;
    uint64_t start_round; // of the weights held at the lease, or leased ahead for: its age
    char *row;            // the dataset row as JSON text, unchanged from the lease
    uint32_t prompt_tokens;
    uint32_t *prompt_token;
    float temperature; // > 0; of an evaluation >= 0
    uint32_t completions;
    struct completion *completion;
    struct column_list columns; // of all tokens, of the completions, of the group
    char *generator;
    bool evaluation; // of the evaluation data: scored and counted, never trained
    char *forward; // id of the generator's numerics (model/numerics.h); NULL: its build wrote none
    char *failure; // why a stop gave it up (failed_group.h); NULL: none did
    bool unscored; // failure: a stage could not score it, and another time it may be scored
    char traceparent[TRACE_PARENT]; // of the stop that sent it; "": none
};

/* Bounds on what a peer may send. */
struct group_limits {
    uint32_t completions, tokens /* of one completion or prompt */, row_bytes;
    uint32_t turns, spans;   // of one completion
    uint32_t width;          // values of one unit of a column
    enum column_origin last; // columns that later stops fill are refused
    size_t bytes;            // of the whole message
};
#define GROUP_LIMITS                                                                               \
    ((struct group_limits){1024, 1 << 20, 4 << 20, 1024, 4096, 64, ORIGIN_REWARDER,                \
                           GROUP_MAX_BYTES})
enum { NAME_MAX_BYTES = 255 /* of run, generator and forward */, GROUP_MAX_BYTES = 64 << 20 };

/* The id of attempt `attempt` at a slot. A format: hash128 of run, a zero byte, be32 lineage, be64
 * slot, be32 attempt. */
struct digest group_id(const char *run, uint32_t lineage, uint64_t slot, uint32_t attempt);

/* A column's values of completion i: of its tokens, or its own. NULL: it has none. Of the whole
 * group: whatever i is. */
const void *group_values(const struct group *group, unsigned column, uint32_t i);
size_t group_width(const struct group *group, unsigned column); // values of a unit; 0: not there
double group_value(const struct group *group, unsigned column, uint32_t i); // the first; 0: none

/* A column of the table, zeroed; one that was there is replaced. Returns the values: width of each
 * unit, those of the completions one after another. Of some completions alone: `count` of them,
 * ascending. */
void *group_add(struct group *group, enum column column, size_t width);
void *group_add_some(struct group *group, enum column column, const uint32_t *completion,
                     uint32_t count);

/* How many units the column has values of: tokens, completions or 1. */
size_t group_units(const struct group *group, const struct column_values *column);

double group_score(const struct group *group, uint32_t i, size_t scorer); // NaN: does not apply
void group_encode(const struct group *group, struct bytes *ret); // one group, one text of bytes

/* INVALID: malformed, over a limit, or an invariant broken; the message says which field. Checked
 * too: prompt_tokens, attempt, temperature > 0; columns as column_list.h says, each with values for
 * all its units; row UTF-8 without a NUL. */
err_t group_decode(const uint8_t *data, size_t len, const struct group_limits *limits,
                   struct group **ret);

void completion_one_turn(struct completion *completion); // all of it was drawn, and is trained
/* Where the i-th one's tokens end */
uint32_t span_end(const struct completion *completion, uint32_t i);
uint64_t group_oldest_version(const struct group *group); // over all spans
uint64_t group_tokens(const struct group *group);         // over all completions
void group_free(struct group *group);
DEFINE_SCOPED(group)
