#include "wire/rollout.h"
#include "base/mem.h"
#include "rollout.pb-c.h"
#include "wire/unpack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef Rlhfd__V1__Group PbGroup;
typedef Rlhfd__V1__Completion PbCompletion;
typedef Rlhfd__V1__Turn PbTurn;
typedef Rlhfd__V1__Span PbSpan;

enum {
    GROUP_FIELDS_MAX = 1 << 18
}; // 25 MB while unpacking: 80,000 spans, or 1,024 completions of 80

/* ---- encode: protobuf-c structs that borrow the group's arrays */

/* What the structs of turns and spans lie in, of all completions. */
struct views {
    PbTurn *turn, **turn_of;
    PbSpan *span, **span_of;
};

static uint32_t turn_end(const struct completion *completion, uint32_t t)
{
    return t + 1 < completion->turns ? completion->turn[t + 1].first_token : completion->tokens;
}

/* The turn's spans are those from *at on that begin in it; the last turn has all that are left. */
static void view_turn(const struct completion *completion, uint32_t t, uint32_t *at,
                      struct views *views)
{
    const struct turn *turn = &completion->turn[t];
    const uint32_t end = turn_end(completion, t);
    const bool last = t + 1 == completion->turns;
    PbTurn *ret = *views->turn_of++ = views->turn++;
    rlhfd__v1__turn__init(ret);
    ret->role = (Rlhfd__V1__Role)turn->role;
    ret->n_tokens = end - turn->first_token;
    ret->tokens = completion->token + turn->first_token;
    ret->trained = turn->trained;
    ret->spans = views->span_of;
    for (; *at < completion->spans && (last || completion->span[*at].first_token < end); ++*at) {
        PbSpan *span = *views->span_of++ = views->span++;
        rlhfd__v1__span__init(span);
        span->first_token = completion->span[*at].first_token - turn->first_token;
        span->version = completion->span[*at].version;
        ret->n_spans++;
    }
}

static void view_completion(const struct completion *completion, PbCompletion *ret,
                            struct views *views)
{
    uint32_t span = 0;
    rlhfd__v1__completion__init(ret);
    ret->n_turns = completion->turns;
    ret->turns = views->turn_of;
    for (uint32_t t = 0; t < completion->turns; t++)
        view_turn(completion, t, &span, views);
    ret->finish = (Rlhfd__V1__Finish)completion->finish;
    ret->text = (ProtobufCBinaryData){completion->text_len, (uint8_t *)completion->text};
}

static void view_group(const struct group *group, PbGroup *ret)
{
    rlhfd__v1__group__init(ret);
    ret->id = (ProtobufCBinaryData){sizeof group->id.byte, (uint8_t *)group->id.byte};
    ret->run = group->run;
    ret->lineage = group->lineage;
    ret->slot = group->slot;
    ret->attempt = group->attempt;
    ret->prompt = group->prompt;
    ret->epoch = group->epoch;
    ret->start_round = group->start_round;
    ret->row = (ProtobufCBinaryData){strlen(group->row), (uint8_t *)group->row};
    ret->n_prompt_tokens = group->prompt_tokens;
    ret->prompt_tokens = group->prompt_token;
    ret->temperature = group->temperature;
    ret->generator = group->generator;
    ret->evaluation = group->evaluation;
    ret->forward = group->forward ? group->forward : ret->forward;
    ret->traceparent = *group->traceparent ? (char *)group->traceparent : ret->traceparent;
}

void group_encode(const struct group *group, struct bytes *ret)
{
    size_t turns = 0, spans = 0;
    for (uint32_t i = 0; i < group->completions; i++) {
        turns += group->completion[i].turns;
        spans += group->completion[i].spans;
    }
    SCOPED_MEM PbTurn *turn = mem_array(turns, sizeof *turn);
    SCOPED_MEM PbTurn **turn_of = mem_array(turns, sizeof *turn_of);
    SCOPED_MEM PbSpan *span = mem_array(spans, sizeof *span);
    SCOPED_MEM PbSpan **span_of = mem_array(spans, sizeof *span_of);
    SCOPED_MEM PbCompletion *completion = mem_array(group->completions, sizeof *completion);
    SCOPED_MEM PbCompletion **completion_of = mem_array(group->completions, sizeof *completion_of);
    SCOPED_MEM void *rows = NULL;

    SCOPED_MEM char *failure = group->failure ? wire_text_cut(group->failure) : NULL;

    PbGroup pb;
    view_group(group, &pb);
    pb.failure = failure ? failure : pb.failure;
    pb.unscored = group->unscored;
    pb.n_completions = group->completions;
    pb.completions = completion_of;
    struct views views = {turn, turn_of, span, span_of};
    for (uint32_t i = 0; i < group->completions; i++) {
        view_completion(&group->completion[i], &completion[i], &views);
        completion_of[i] = &completion[i];
    }
    pb.n_columns = group->columns.count;
    pb.columns = column_list_to_pb(&group->columns, &rows);
    wire_pack(&pb.base, ret);
}

/* ---- decode: checks, then takes over the arrays that protobuf-c allocated (with malloc) */

static err_t check_spans(const PbTurn *pb)
{
    for (size_t i = 0; i < pb->n_spans; i++) {
        uint32_t first = pb->spans[i]->first_token;
        bool ascends = i == 0 ? first == 0 : first > pb->spans[i - 1]->first_token;
        if (!ascends || first >= pb->n_tokens)
            return err_new(ERR_INVALID,
                           "spans[%zu].first_token is %u; they begin at 0, ascend and "
                           "stay below %zu",
                           i, first, pb->n_tokens);
    }
    return OK;
}

static err_t check_turn(const PbTurn *pb)
{
    if (pb->role < RLHFD__V1__ROLE__ROLE_ASSISTANT || pb->role > RLHFD__V1__ROLE__ROLE_TOOL)
        return err_new(ERR_INVALID, "role is %d; 1 (assistant), 2 (user) and 3 (tool) are allowed",
                       (int)pb->role);
    if (!pb->n_tokens)
        return err_new(ERR_INVALID, "it has no tokens");
    if (pb->trained && !pb->n_spans)
        return err_new(ERR_INVALID, "0 spans: what is trained was drawn by weights of a version");
    return check_spans(pb);
}

static err_t check_completion(const PbCompletion *pb, const struct group_limits *limits)
{
    size_t tokens = 0, spans = 0, trained = 0;
    if (pb->n_turns == 0 || pb->n_turns > limits->turns)
        return err_new(ERR_INVALID, "%zu turns; 1 to %u are allowed", pb->n_turns, limits->turns);
    for (size_t t = 0; t < pb->n_turns; t++) {
        TRY(err_wrap(check_turn(pb->turns[t]), "turns[%zu]", t));
        tokens += pb->turns[t]->n_tokens;
        spans += pb->turns[t]->n_spans;
        trained += pb->turns[t]->trained;
    }
    if (tokens > limits->tokens)
        return err_new(ERR_INVALID, "%zu tokens; 1 to %u are allowed", tokens, limits->tokens);
    if (spans > limits->spans)
        return err_new(ERR_INVALID, "%zu spans; 1 to %u are allowed", spans, limits->spans);
    if (!trained)
        return err_new(ERR_INVALID, "no turn is trained");
    if (pb->finish < RLHFD__V1__FINISH__FINISH_EOS || pb->finish > RLHFD__V1__FINISH__FINISH_STOP)
        return err_new(ERR_INVALID, "finish is %d; 1 (eos), 2 (length) and 3 (stop) are allowed",
                       (int)pb->finish);
    if (pb->text.len > UINT32_MAX)
        return err_new(ERR_INVALID, "text has %zu bytes", pb->text.len);
    return OK;
}

static char *text_copy(const ProtobufCBinaryData *bytes)
{
    char *text = mem_new(bytes->len + 1);
    if (bytes->len)
        memcpy(text, bytes->data, bytes->len);
    return text;
}

/* Appends the turn's tokens and spans; the first one's array of tokens is taken over. */
static void take_turn(PbTurn *pb, struct completion *ret)
{
    const uint32_t first = ret->tokens, tokens = (uint32_t)pb->n_tokens;
    if (!first) {
        ret->token = STEAL(pb->tokens);
        pb->n_tokens = 0;
    } else {
        ret->token = mem_grow(ret->token, (size_t)first + tokens, sizeof *ret->token);
        memcpy(ret->token + first, pb->tokens, tokens * sizeof *ret->token);
    }
    ret->tokens += tokens;
    ret->turn[ret->turns++] =
        (struct turn){(enum role)pb->role, first, pb->trained, pb->n_spans > 0};
    for (size_t i = 0; i < pb->n_spans; i++)
        ret->span[ret->spans++] =
            (struct span){first + pb->spans[i]->first_token, pb->spans[i]->version};
}

static void take_completion(PbCompletion *pb, struct completion *ret)
{
    size_t spans = 0;
    for (size_t t = 0; t < pb->n_turns; t++)
        spans += pb->turns[t]->n_spans;
    ret->turn = mem_array(pb->n_turns, sizeof *ret->turn);
    ret->span = mem_array(spans, sizeof *ret->span);
    for (size_t t = 0; t < pb->n_turns; t++)
        take_turn(pb->turns[t], ret);
    ret->finish = (enum finish)pb->finish;
    ret->text = text_copy(&pb->text);
    ret->text_len = (uint32_t)pb->text.len;
}

static err_t check_name(const char *name, const char *text, size_t min)
{
    size_t len = strlen(text);
    if (len < min || len > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "%s has %zu bytes; %zu to %d are allowed", name, len, min,
                       NAME_MAX_BYTES);
    return OK;
}

/* Given up, with nothing but its names left (failed_group.h). */
static bool is_bare(const PbGroup *pb)
{
    return *pb->failure && !pb->n_completions && !pb->n_prompt_tokens && !pb->n_columns &&
           !pb->row.len;
}

/* Stops before the rewarder give up bare groups alone. */
static err_t check_failure(const PbGroup *pb, const struct group_limits *limits)
{
    const char *failure = pb->failure;
    if (*failure && limits->last < ORIGIN_REWARDER && !is_bare(pb))
        return err_new(ERR_INVALID, "failure is there, which a later stop fills");
    if (pb->unscored && (!*failure || is_bare(pb)))
        return err_new(ERR_INVALID, "unscored is there, without a failure or without contents");
    if (strlen(failure) > REASON_MAX_BYTES)
        return err_new(ERR_INVALID, "failure has %zu bytes; at most %d are allowed",
                       strlen(failure), REASON_MAX_BYTES);
    return OK;
}

static err_t check_names(const PbGroup *pb)
{
    TRY(check_name("run", pb->run, 1));
    TRY(check_name("generator", pb->generator, 0));
    TRY(check_name("forward", pb->forward, 0));
    if (pb->attempt == 0)
        return err_new(ERR_INVALID, "attempt is 0; the first is 1");
    struct digest id, want = group_id(pb->run, pb->lineage, pb->slot, pb->attempt);
    TRY(wire_digest(&pb->id, "id", &id));
    if (!digest_equal(&id, &want))
        return err_new(ERR_INVALID, "id is not that of run '%s', lineage %u, slot %llu, attempt %u",
                       pb->run, pb->lineage, (unsigned long long)pb->slot, pb->attempt);
    return OK;
}

static err_t check_contents(const PbGroup *pb, const struct group_limits *limits)
{
    if (pb->row.len > limits->row_bytes)
        return err_new(ERR_INVALID, "row has %zu bytes; at most %u are allowed", pb->row.len,
                       limits->row_bytes);
    if (!wire_text_ok(pb->row.data, pb->row.len))
        return err_new(ERR_INVALID, "row is not UTF-8 without a NUL");
    if (pb->n_prompt_tokens == 0 || pb->n_prompt_tokens > limits->tokens)
        return err_new(ERR_INVALID, "%zu prompt_tokens; 1 to %u are allowed", pb->n_prompt_tokens,
                       limits->tokens);
    if (!(pb->temperature >= 0 && isfinite(pb->temperature)) ||
        (pb->temperature == 0 && !pb->evaluation))
        return err_new(ERR_INVALID, "temperature is %g; finite numbers > 0 are allowed",
                       (double)pb->temperature);
    if (pb->n_completions == 0 || pb->n_completions > limits->completions)
        return err_new(ERR_INVALID, "%zu completions; 1 to %u are allowed", pb->n_completions,
                       limits->completions);
    for (size_t i = 0; i < pb->n_completions; i++)
        TRY(err_wrap(check_completion(pb->completions[i], limits), "completions[%zu]", i));
    return OK;
}

static struct group *take_group(PbGroup *pb)
{
    struct group *group = mem_new(sizeof *group);
    memcpy(group->id.byte, pb->id.data, sizeof group->id.byte);
    group->run = mem_string(pb->run);
    group->lineage = pb->lineage;
    group->slot = pb->slot;
    group->attempt = pb->attempt;
    group->prompt = pb->prompt;
    group->epoch = pb->epoch;
    group->start_round = pb->start_round;
    group->row = text_copy(&pb->row);
    group->prompt_tokens = (uint32_t)pb->n_prompt_tokens;
    group->prompt_token = STEAL(pb->prompt_tokens);
    pb->n_prompt_tokens = 0;
    group->temperature = pb->temperature;
    group->generator = mem_string(pb->generator);
    group->evaluation = pb->evaluation;
    group->forward = *pb->forward ? mem_string(pb->forward) : NULL;
    group->failure = *pb->failure ? mem_string(pb->failure) : NULL;
    group->unscored = pb->unscored;
    trace_take(pb->traceparent, &group->id, group->traceparent);
    group->completions = (uint32_t)pb->n_completions;
    group->completion = mem_array(pb->n_completions, sizeof *group->completion);
    for (size_t i = 0; i < pb->n_completions; i++)
        take_completion(pb->completions[i], &group->completion[i]);
    return group;
}

/* As many values as the column has units, or a multiple of that. */
static err_t check_width(const struct group *group, struct column_values *column, uint32_t most)
{
    const struct column_row *row = column_row(column->id);
    const size_t unit = group_units(group, column) * column_size(column->dtype);
    column->width = column->bytes / unit;
    if (column->bytes % unit || column->width > (!row || row->range == RANGE_WIDE ? most : 1))
        return err_new(ERR_INVALID, "%s has %zu bytes for %zu values of %zu",
                       column_name(column->id), column->bytes, group_units(group, column),
                       column_size(column->dtype));
    return OK;
}

static err_t take_columns(PbGroup *pb, const struct group_limits *limits, struct group *group)
{
    const struct column_bounds bounds = {limits->last, group->completions};
    TRY(column_list_from_pb(pb->columns, pb->n_columns, &bounds, &group->columns));
    for (uint32_t i = 0; i < group->columns.count; i++)
        TRY(err_wrap(check_width(group, &group->columns.at[i], limits->width), "columns[%u]", i));
    return OK;
}

err_t group_decode(const uint8_t *data, size_t len, const struct group_limits *limits,
                   struct group **ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {limits->bytes, GROUP_FIELDS_MAX};
    TRY(err_wrap(wire_unpack(&rlhfd__v1__group__descriptor, data, len, &bounds, &base), "group"));
    PbGroup *pb = (PbGroup *)base;
    TRY(err_wrap(check_names(pb), "group"));
    TRY(err_wrap(check_failure(pb, limits), "group"));
    if (!is_bare(pb))
        TRY(err_wrap(check_contents(pb, limits), "group"));
    SCOPED(group) group = take_group(pb);
    TRY(err_wrap(take_columns(pb, limits, group), "group"));
    *ret = STEAL(group);
    return OK;
}
