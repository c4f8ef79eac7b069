#include "wire/rollout_v3.h"
#include "base/mem.h"
#include "rollout_v3.pb-c.h"
#include "wire/unpack.h"
#include <string.h>

typedef Rlhfd__V3__Group PbGroup;
typedef Rlhfd__V3__Completion PbCompletion;

enum { GROUP_FIELDS_MAX = 1 << 18 };

/* What was an array of each completion; empty: the completion had none. */
struct array {
    size_t count;
    const void *values;
};

static struct array logp_of(const PbCompletion *pb)
{
    return (struct array){pb->n_logp, pb->logp};
}
static struct array sampled_of(const PbCompletion *pb)
{
    return (struct array){pb->n_sampled_logp, pb->sampled_logp};
}
static struct array reference_of(const PbCompletion *pb)
{
    return (struct array){pb->n_reference_logp, pb->reference_logp};
}
static struct array scores_of(const PbCompletion *pb)
{
    return (struct array){pb->n_scores, pb->scores};
}
/* A store has none but groups that were scored; a recipe without scorers gave them 0. */
static struct array reward_of(const PbCompletion *pb)
{
    return (struct array){1, &pb->reward};
}

/* An array's length: that of the tokens, or as many scores as the first completion with some
 * has. */
static err_t check_length(const PbCompletion *pb, uint32_t i, enum column id, size_t count,
                          size_t first)
{
    const size_t want = column_row(id)->unit == UNIT_TOKEN ? pb->n_tokens : first;
    return count == want ? OK
                         : err_new(ERR_INVALID, "completions[%u] has %zu values of %s; %zu are due",
                                   i, count, column_name(id), want);
}

/* Puts the completions' arrays one after another into a column that covers those which had one. */
static err_t add_column(const PbGroup *pb, enum column id,
                        struct array (*of)(const PbCompletion *pb), struct group *group)
{
    const size_t size = column_size(column_row(id)->dtype);
    SCOPED_MEM uint32_t *covered = mem_array(pb->n_completions, sizeof *covered);
    SCOPED_VALUE(bytes) values = {0};
    uint32_t count = 0;
    size_t first = 0;
    for (uint32_t i = 0; i < pb->n_completions; i++) {
        struct array array = of(pb->completions[i]);
        if (!array.count)
            continue;
        first = count ? first : array.count;
        TRY(check_length(pb->completions[i], i, id, array.count, first));
        covered[count++] = i;
        bytes_put(&values, array.values, array.count * size);
    }
    if (!count)
        return OK;
    struct column_values *column = column_list_add(&group->columns, id);
    if (count < pb->n_completions) {
        column->covered = count;
        column->completion = STEAL(covered);
    }
    column->bytes = values.len;
    column->data = STEAL(values.data);
    return OK;
}

static void convert_completion(const PbCompletion *pb, struct completion *ret)
{
    ret->tokens = (uint32_t)pb->n_tokens;
    ret->token = mem_copy(pb->tokens, pb->n_tokens * sizeof *pb->tokens);
    ret->spans = (uint32_t)pb->n_spans;
    ret->span = mem_array(pb->n_spans, sizeof *ret->span);
    for (size_t i = 0; i < pb->n_spans; i++)
        ret->span[i] = (struct span){pb->spans[i]->first_token, pb->spans[i]->version};
    ret->finish = (enum finish)pb->finish;
    ret->text = mem_new(pb->text.len + 1);
    ret->text_len = (uint32_t)pb->text.len;
    if (pb->text.len)
        memcpy(ret->text, pb->text.data, pb->text.len);
    completion_one_turn(ret);
}

static err_t convert(const PbGroup *pb, struct group *group)
{
    TRY(wire_digest(&pb->id, "id", &group->id));
    group->run = mem_string(pb->run);
    group->lineage = pb->lineage;
    group->slot = pb->slot;
    group->attempt = pb->attempt;
    group->prompt = pb->prompt;
    group->epoch = pb->epoch;
    group->start_round = pb->start_round;
    group->row = mem_new(pb->row.len + 1);
    if (pb->row.len)
        memcpy(group->row, pb->row.data, pb->row.len);
    group->prompt_tokens = (uint32_t)pb->n_prompt_tokens;
    group->prompt_token = mem_copy(pb->prompt_tokens, pb->n_prompt_tokens * sizeof(uint32_t));
    group->temperature = pb->temperature;
    group->generator = mem_string(pb->generator);
    group->evaluation = pb->evaluation;
    group->completions = (uint32_t)pb->n_completions;
    group->completion = mem_array(pb->n_completions, sizeof *group->completion);
    for (size_t i = 0; i < pb->n_completions; i++)
        convert_completion(pb->completions[i], &group->completion[i]);
    TRY(add_column(pb, COLUMN_BEHAVIOUR_LOGP, logp_of, group));
    TRY(add_column(pb, COLUMN_SAMPLED_LOGP, sampled_of, group));
    TRY(add_column(pb, COLUMN_REFERENCE_LOGP, reference_of, group));
    TRY(add_column(pb, COLUMN_SCORES, scores_of, group));
    return add_column(pb, COLUMN_REWARD, reward_of, group);
}

/* Today's bytes of it are decoded, so it is checked as every group is. */
err_t group_decode_v3(const uint8_t *data, size_t len, const struct group_limits *limits,
                      struct group **ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    SCOPED(group) group = mem_new(sizeof *group);
    SCOPED_VALUE(bytes) today = {0};
    const struct wire_bounds bounds = {limits->bytes, GROUP_FIELDS_MAX};
    TRY(err_wrap(wire_unpack(&rlhfd__v3__group__descriptor, data, len, &bounds, &base), "group"));
    TRY(err_wrap(convert((const PbGroup *)base, group), "group"));
    group_encode(group, &today);
    return group_decode(today.data, today.len, limits, ret);
}
