#include "wire/rollout.h"
#include "base/mem.h"
#include "rollout.pb-c.h"
#include "wire/unpack.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef Rlhfd__V1__Group PbGroup;
typedef Rlhfd__V1__Completion PbCompletion;
typedef Rlhfd__V1__Span PbSpan;
typedef Rlhfd__V1__Disposition PbDisposition;

enum {
    GROUP_FIELDS_MAX = 1 << 18, // 25 MB while unpacking: 80,000 spans, or 1,024 completions of 80
    DISPOSITION_MAX_BYTES = 2048,
    DISPOSITION_FIELDS_MAX = 16,
};

struct digest group_id(const char *run, uint32_t lineage, uint64_t slot, uint32_t attempt)
{
    SCOPED_VALUE(bytes) key = {0};
    bytes_put(&key, run, strlen(run) + 1);
    bytes_be32(&key, lineage);
    bytes_be64(&key, slot);
    bytes_be32(&key, attempt);
    return hash128(key.data, key.len, 0);
}

/* ---- encode: protobuf-c structs that borrow the group's arrays */

static void view_completion(const struct completion *completion, PbCompletion *ret, PbSpan *spans,
                            PbSpan **span_of)
{
    rlhfd__v1__completion__init(ret);
    ret->n_tokens = ret->n_logp = completion->tokens;
    ret->tokens = completion->token;
    ret->logp = completion->logp;
    ret->n_sampled_logp = completion->sampled_logp ? completion->tokens : 0;
    ret->sampled_logp = completion->sampled_logp;
    ret->n_reference_logp = completion->reference_logp ? completion->tokens : 0;
    ret->reference_logp = completion->reference_logp;
    ret->n_spans = completion->spans;
    ret->spans = span_of;
    for (uint32_t i = 0; i < completion->spans; i++) {
        rlhfd__v1__span__init(&spans[i]);
        spans[i].first_token = completion->span[i].first_token;
        spans[i].version = completion->span[i].version;
        span_of[i] = &spans[i];
    }
    ret->finish = (Rlhfd__V1__Finish)completion->finish;
    ret->text = (ProtobufCBinaryData){completion->text_len, (uint8_t *)completion->text};
    ret->n_scores = completion->scores;
    ret->scores = completion->score;
    ret->reward = completion->reward;
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
}

void group_encode(const struct group *group, struct bytes *ret)
{
    size_t spans = 0;
    for (uint32_t i = 0; i < group->completions; i++)
        spans += group->completion[i].spans;
    SCOPED_MEM PbSpan *span = mem_array(spans, sizeof *span);
    SCOPED_MEM PbSpan **span_of = mem_array(spans, sizeof *span_of);
    SCOPED_MEM PbCompletion *completion = mem_array(group->completions, sizeof *completion);
    SCOPED_MEM PbCompletion **completion_of = mem_array(group->completions, sizeof *completion_of);

    PbGroup pb;
    view_group(group, &pb);
    pb.n_completions = group->completions;
    pb.completions = completion_of;
    size_t first = 0;
    for (uint32_t i = 0; i < group->completions; i++) {
        view_completion(&group->completion[i], &completion[i], span + first, span_of + first);
        completion_of[i] = &completion[i];
        first += group->completion[i].spans;
    }
    wire_pack(&pb.base, ret);
}

/* ---- decode: checks, then takes over the arrays that protobuf-c allocated (with malloc) */

static err_t check_logp(const char *name, const float *logp, size_t count, size_t tokens)
{
    if (count != tokens)
        return err_new(ERR_INVALID, "%s has %zu values for %zu tokens", name, count, tokens);
    for (size_t t = 0; t < count; t++)
        if (!(logp[t] <= 0 && isfinite(logp[t])))
            return err_new(ERR_INVALID, "%s[%zu] is %g; finite numbers <= 0 are allowed", name, t,
                           (double)logp[t]);
    return OK;
}

static err_t check_spans(const PbCompletion *pb)
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

static err_t check_scores(const PbCompletion *pb, const struct group_limits *limits)
{
    if (pb->n_scores > limits->scores)
        return err_new(ERR_INVALID, "%zu scores; at most %u are allowed", pb->n_scores,
                       limits->scores);
    for (size_t i = 0; i < pb->n_scores; i++)
        if (!isfinite(pb->scores[i]))
            return err_new(ERR_INVALID, "scores[%zu] is not finite", i);
    if (!isfinite(pb->reward))
        return err_new(ERR_INVALID, "reward is not finite");
    return OK;
}

static err_t check_completion(const PbCompletion *pb, const struct group_limits *limits)
{
    if (pb->n_tokens == 0 || pb->n_tokens > limits->tokens)
        return err_new(ERR_INVALID, "%zu tokens; 1 to %u are allowed", pb->n_tokens,
                       limits->tokens);
    TRY(check_logp("logp", pb->logp, pb->n_logp, pb->n_tokens));
    if (pb->n_sampled_logp)
        TRY(check_logp("sampled_logp", pb->sampled_logp, pb->n_sampled_logp, pb->n_tokens));
    if (pb->n_reference_logp)
        TRY(check_logp("reference_logp", pb->reference_logp, pb->n_reference_logp, pb->n_tokens));
    if (pb->n_spans == 0 || pb->n_spans > limits->spans)
        return err_new(ERR_INVALID, "%zu spans; 1 to %u are allowed", pb->n_spans, limits->spans);
    TRY(check_spans(pb));
    if (pb->finish < RLHFD__V1__FINISH__FINISH_EOS || pb->finish > RLHFD__V1__FINISH__FINISH_STOP)
        return err_new(ERR_INVALID, "finish is %d; 1 (eos), 2 (length) and 3 (stop) are allowed",
                       (int)pb->finish);
    if (pb->text.len > UINT32_MAX)
        return err_new(ERR_INVALID, "text has %zu bytes", pb->text.len);
    return check_scores(pb, limits);
}

static char *text_copy(const ProtobufCBinaryData *bytes)
{
    char *text = mem_new(bytes->len + 1);
    if (bytes->len)
        memcpy(text, bytes->data, bytes->len);
    return text;
}

static void take_completion(PbCompletion *pb, struct completion *ret)
{
    ret->tokens = (uint32_t)pb->n_tokens;
    ret->token = STEAL(pb->tokens);
    ret->logp = STEAL(pb->logp);
    ret->sampled_logp = STEAL(pb->sampled_logp);
    ret->reference_logp = STEAL(pb->reference_logp);
    ret->spans = (uint32_t)pb->n_spans;
    ret->span = mem_array(pb->n_spans, sizeof *ret->span);
    for (size_t i = 0; i < pb->n_spans; i++)
        ret->span[i] = (struct span){pb->spans[i]->first_token, pb->spans[i]->version};
    ret->finish = (enum finish)pb->finish;
    ret->text = text_copy(&pb->text);
    ret->text_len = (uint32_t)pb->text.len;
    ret->scores = (uint32_t)pb->n_scores;
    ret->score = STEAL(pb->scores);
    ret->reward = pb->reward;
    pb->n_tokens = pb->n_logp = pb->n_sampled_logp = pb->n_reference_logp = pb->n_scores = 0;
}

static err_t check_name(const char *name, const char *text, size_t min)
{
    size_t len = strlen(text);
    if (len < min || len > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "%s has %zu bytes; %zu to %d are allowed", name, len, min,
                       NAME_MAX_BYTES);
    return OK;
}

static err_t check_group(const PbGroup *pb, const struct group_limits *limits)
{
    TRY(check_name("run", pb->run, 1));
    TRY(check_name("generator", pb->generator, 0));
    if (pb->attempt == 0)
        return err_new(ERR_INVALID, "attempt is 0; the first is 1");
    struct digest id, want = group_id(pb->run, pb->lineage, pb->slot, pb->attempt);
    TRY(wire_digest(&pb->id, "id", &id));
    if (!digest_equal(&id, &want))
        return err_new(ERR_INVALID, "id is not that of run '%s', lineage %u, slot %llu, attempt %u",
                       pb->run, pb->lineage, (unsigned long long)pb->slot, pb->attempt);
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
    for (size_t i = 0; i < pb->n_completions; i++) {
        const PbCompletion *completion = pb->completions[i];
        TRY(err_wrap(check_completion(completion, limits), "completions[%zu]", i));
        if (completion->n_scores != pb->completions[0]->n_scores)
            return err_new(ERR_INVALID, "completions[%zu] has %zu scores, the first has %zu", i,
                           completion->n_scores, pb->completions[0]->n_scores);
    }
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
    group->completions = (uint32_t)pb->n_completions;
    group->completion = mem_array(pb->n_completions, sizeof *group->completion);
    for (size_t i = 0; i < pb->n_completions; i++)
        take_completion(pb->completions[i], &group->completion[i]);
    return group;
}

err_t group_decode(const uint8_t *data, size_t len, const struct group_limits *limits,
                   struct group **ret)
{
    SCOPED_PB ProtobufCMessage *pb = NULL;
    const struct wire_bounds bounds = {limits->bytes, GROUP_FIELDS_MAX};
    TRY(err_wrap(wire_unpack(&rlhfd__v1__group__descriptor, data, len, &bounds, &pb), "group"));
    TRY(err_wrap(check_group((PbGroup *)pb, limits), "group"));
    *ret = take_group((PbGroup *)pb);
    return OK;
}

uint64_t group_oldest_version(const struct group *group)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < group->completions; i++)
        for (uint32_t j = 0; j < group->completion[i].spans; j++)
            if (group->completion[i].span[j].version < oldest)
                oldest = group->completion[i].span[j].version;
    return oldest;
}

uint64_t group_tokens(const struct group *group)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < group->completions; i++)
        tokens += group->completion[i].tokens;
    return tokens;
}

void group_free(struct group *group)
{
    if (!group)
        return;
    for (uint32_t i = 0; group->completion && i < group->completions; i++) {
        struct completion *completion = &group->completion[i];
        free(completion->token);
        free(completion->logp);
        free(completion->sampled_logp);
        free(completion->reference_logp);
        free(completion->span);
        free(completion->text);
        free(completion->score);
    }
    free(group->completion);
    free(group->run);
    free(group->row);
    free(group->prompt_token);
    free(group->generator);
    free(group);
}

/* ---- dispositions */

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {"?",          "stored", "duplicate",
                                        "superseded", "stale",  "rejected"};
    return outcome >= OUTCOME_STORED && outcome <= OUTCOME_REJECTED ? names[outcome] : "?";
}

/* A reason is for people: what is too long is cut between two characters, what is not text is dropped. */
static char *reason_cut(const char *reason)
{
    size_t len = strnlen(reason, REASON_MAX_BYTES + 1);
    if (len > REASON_MAX_BYTES)
        for (len = REASON_MAX_BYTES; len && (reason[len] & 0xc0) == 0x80;)
            len--;
    char *cut = mem_new(len + 1);
    if (wire_text_ok(reason, len))
        memcpy(cut, reason, len);
    return cut;
}

void disposition_encode(const struct disposition *disposition, struct bytes *ret)
{
    SCOPED_MEM char *reason = reason_cut(disposition->reason ? disposition->reason : "");
    PbDisposition pb;
    rlhfd__v1__disposition__init(&pb);
    pb.id = (ProtobufCBinaryData){sizeof disposition->id.byte, (uint8_t *)disposition->id.byte};
    pb.outcome = (Rlhfd__V1__Outcome)disposition->outcome;
    pb.reason = reason;
    wire_pack(&pb.base, ret);
}

err_t disposition_decode(const uint8_t *data, size_t len, struct disposition *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {DISPOSITION_MAX_BYTES, DISPOSITION_FIELDS_MAX};
    TRY(wire_unpack(&rlhfd__v1__disposition__descriptor, data, len, &bounds, &base));
    PbDisposition *pb = (PbDisposition *)base;
    struct disposition disposition = {.outcome = (enum outcome)pb->outcome};
    TRY(err_wrap(wire_digest(&pb->id, "id", &disposition.id), "disposition"));
    if (pb->outcome < RLHFD__V1__OUTCOME__OUTCOME_STORED ||
        pb->outcome > RLHFD__V1__OUTCOME__OUTCOME_REJECTED)
        return err_new(ERR_INVALID, "disposition: outcome is %d; 1 to 5 are allowed",
                       (int)pb->outcome);
    disposition.reason = pb->reason[0] ? mem_string(pb->reason) : NULL;
    *ret = disposition;
    return OK;
}

void disposition_done(struct disposition *disposition)
{
    free(disposition->reason);
    *disposition = (struct disposition){0};
}
