#include "learner/admin/inspect.h"
#include "admin.pb-c.h"
#include "admin/face.h"
#include "base/mem.h"
#include "base/printable.h"
#include "model/text/tokenizer.h"
#include "svc/worker.h"
#include <string.h>

enum { ASKED_MAX = 16 };

struct inspect {
    struct worker *worker;
    char *directory;
    struct tokenizer *tokenizer; // the thread's; NULL: not read yet
};

struct asked {
    struct rpc_call *call;
    struct group *group;
    struct listed listed;
    uint64_t bytes;
};

/* ---- the thread */

/* A field of text is UTF-8 without a NUL: what is neither becomes U+FFFD. The caller's. */
static char *text_of(const void *data, size_t len)
{
    struct bytes out = {0};
    const char *at = data, *end = at + len;
    while (at < end) {
        const char *zero = memchr(at, 0, (size_t)(end - at));
        const char *stop = zero ? zero : end;
        utf8_put(&out, at, (size_t)(stop - at));
        if (zero)
            bytes_text(&out, "\xef\xbf\xbd");
        at = zero ? zero + 1 : end;
    }
    bytes_u8(&out, 0);
    return (char *)out.data;
}

static err_t prompt_of(struct inspect *inspect, const struct group *group, char **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    if (!inspect->tokenizer)
        TRY(tokenizer_load(inspect->directory, &inspect->tokenizer));
    SCOPED_MEM int32_t *ids = mem_array(group->prompt_tokens, sizeof *ids);
    for (uint32_t i = 0; i < group->prompt_tokens; i++)
        ids[i] = (int32_t)group->prompt_token[i];
    TRY(tokenizer_decode(inspect->tokenizer, ids, group->prompt_tokens, false, &text));
    *ret = text_of(text.data, text.len);
    return OK;
}

static uint64_t *versions_of(const struct completion *c)
{
    uint64_t *version = mem_array(c->tokens, sizeof *version);
    for (uint32_t s = 0; s < c->spans; s++)
        for (uint32_t t = c->span[s].first_token, end = span_end(c, s); t < end; t++)
            version[t] = c->span[s].version;
    return version;
}

static const char *finish_text(enum finish finish)
{
    return finish == FINISH_LENGTH ? "length" : "stop";
}

/* The caller's; NaN, which is written as null, where a scorer does not apply. */
static double *scores_of(const struct group *group, uint32_t i)
{
    const size_t scorers = group_width(group, COLUMN_SCORES);
    double *scores = mem_array(scorers, sizeof *scores);
    for (size_t s = 0; s < scorers; s++)
        scores[s] = group_score(group, i, s);
    return scores;
}

/* Borrows the group's arrays. */
static void describe(const struct group *group, uint32_t i, Rlhfd__Admin__V1__Completion *ret)
{
    const struct completion *c = &group->completion[i];
    rlhfd__admin__v1__completion__init(ret);
    ret->text = text_of(c->text, c->text_len);
    ret->n_tokens = ret->n_versions = c->tokens;
    ret->tokens = c->token;
    ret->logp = (float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, i);
    ret->n_logp = ret->logp ? c->tokens : 0;
    ret->versions = versions_of(c);
    ret->scores = scores_of(group, i);
    ret->n_scores = group_width(group, COLUMN_SCORES);
    ret->reward = group_value(group, COLUMN_REWARD, i);
    ret->finish = (char *)finish_text(c->finish);
}

void inspect_summary(const struct listed *listed, uint64_t bytes,
                     Rlhfd__Admin__V1__GroupSummary *ret)
{
    rlhfd__admin__v1__group_summary__init(ret);
    ret->id = (ProtobufCBinaryData){sizeof listed->id.byte, (uint8_t *)listed->id.byte};
    ret->slot = listed->slot;
    ret->attempt = listed->attempt;
    ret->prompt = listed->prompt;
    ret->epoch = listed->epoch;
    ret->lineage = listed->lineage;
    ret->state = (char *)(listed->stored        ? "stored"
                          : listed->quarantined ? "quarantined"
                                                : "leased");
    ret->why = (char *)listed->why;
    ret->oldest_version = listed->oldest_version;
    ret->oldest_round = listed->oldest_round;
    ret->lag = listed->lag;
    ret->generator = (char *)listed->generator;
    ret->reward_mean = listed->reward;
    ret->tokens = listed->tokens;
    ret->uses = listed->uses;
    ret->bytes = bytes;
}

/* The completions that the answer has room for, beside what the detail has already; at: their
 * array, (completions). */
static void add_completions(const struct group *group, Rlhfd__Admin__V1__Completion *completion,
                            Rlhfd__Admin__V1__Completion **at, Rlhfd__Admin__V1__GroupDetail *ret)
{
    enum { HEADER = 6 + 6 }; // a completion's key and length; those left out
    size_t len = protobuf_c_message_get_packed_size(&ret->base) + HEADER;
    ret->completions = at;
    for (uint32_t i = 0; i < group->completions; i++) {
        describe(group, i, &completion[i]);
        len += protobuf_c_message_get_packed_size(&completion[i].base) + HEADER;
        if (len > ADMIN_REPLY_MAX_BYTES) {
            ret->left_out = group->completions - i;
            return;
        }
        at[ret->n_completions++] = &completion[i];
    }
}

static void reply(struct rpc_call *call, const struct asked *asked, char *prompt)
{
    const struct group *group = asked->group;
    Rlhfd__Admin__V1__GroupDetail detail = RLHFD__ADMIN__V1__GROUP_DETAIL__INIT;
    Rlhfd__Admin__V1__GroupSummary summary;
    SCOPED_MEM Rlhfd__Admin__V1__Completion *completion =
        mem_array(group->completions, sizeof *completion);
    SCOPED_MEM Rlhfd__Admin__V1__Completion **at = mem_array(group->completions, sizeof *at);
    inspect_summary(&asked->listed, asked->bytes, &summary);
    detail.summary = &summary;
    detail.row = (ProtobufCBinaryData){strlen(group->row), (uint8_t *)group->row};
    detail.prompt = prompt;
    detail.forward = group->forward ? group->forward : detail.forward;
    add_completions(group, completion, at, &detail);
    rpc_call_reply(call, &detail.base);
    for (uint32_t i = 0; i < group->completions; i++) {
        mem_free(completion[i].text);
        mem_free(completion[i].versions);
        mem_free(completion[i].scores);
    }
}

static void asked_done(struct asked *asked)
{
    rpc_call_unref(asked->call);
    group_free(asked->group);
}

static void answer(void *state, void *arg)
{
    SCOPED_MEM struct asked *asked = arg;
    SCOPED_MEM char *prompt = NULL;
    err_t failed = prompt_of(state, asked->group, &prompt);
    if (err_failed(failed))
        rpc_call_finish(asked->call, err_wrap(failed, "the prompt's text"));
    else
        reply(asked->call, asked, prompt);
    asked_done(asked);
}

/* ---- any thread */

err_t inspect_open(const char *model_directory, struct inspect **ret)
{
    SCOPED(inspect) inspect = mem_new(sizeof *inspect);
    inspect->directory = mem_string(model_directory);
    struct worker_options worker = {.name = "inspect", .capacity = ASKED_MAX, .state = inspect};
    TRY(worker_start(&worker, &inspect->worker));
    *ret = STEAL(inspect);
    return OK;
}

bool inspect_group(struct inspect *inspect, struct rpc_call *call, const struct listed *listed,
                   uint64_t bytes, struct group *group)
{
    struct asked asked = {rpc_call_ref(call), group, *listed, bytes};
    asked.listed.generator = group->generator; // lives as long as the group
    asked.listed.why = group->failure ? group->failure : "";
    struct asked *message = mem_copy(&asked, sizeof asked);
    if (worker_post(inspect->worker, answer, message))
        return true;
    rpc_call_unref(call);
    mem_free(message);
    return false;
}

void inspect_free(struct inspect *inspect)
{
    if (!inspect)
        return;
    worker_free(inspect->worker);
    tokenizer_free(inspect->tokenizer);
    mem_free(inspect->directory);
    mem_free(inspect);
}
