#include "base/clock.h"
#include "base/mem.h"
#include "model/engine/engine_state.h"
#include <stdlib.h>
#include <string.h>

/* ---- one step: rows, forward, draws, and only then the change of state */

static void add_rows(struct engine *e, struct slot *slot, int count)
{
    e->owner[e->segments] = slot;
    e->segment[e->segments++] = (struct segment){
        .first = e->rows, .count = count, .start = slot->cached, .kv = e->kv, .page = slot->page};
    for (int i = 0; i < count; i++) {
        e->position[e->rows] = slot->cached + i;
        e->token[e->rows++] = slot->token[slot->cached + i];
    }
    slot->last_row = slot->cached + count == slot->length ? e->rows - 1 : -1;
}

/* Every slot that lacks one token gets its row; what is left goes to those that lack more, the
 * oldest first: no prompt holds up a sequence that decodes. */
static void plan_rows(struct engine *e)
{
    e->rows = e->segments = 0;
    engine_claim_all(e);
    for (int i = 0; i < e->actives; i++) {
        struct slot *slot = e->active[i];
        slot->last_row = -1;
        if (slot->ready && slot->length - slot->cached == 1)
            add_rows(e, slot, 1);
    }
    for (int i = 0; i < e->actives && e->rows < e->config.step_rows; i++) {
        struct slot *slot = e->active[i];
        const int left = e->config.step_rows - e->rows, lacks = slot->length - slot->cached;
        if (slot->ready && lacks > 1)
            add_rows(e, slot, lacks < left ? lacks : left);
    }
}

/* Row i, as ops take it. */
static float *row_at(const struct engine *e, const struct vocabulary_rows *rows, int i)
{
    return (float *)rows->buffer.address + (size_t)i * (size_t)e->model->config.V;
}

/* Rows [from, from + count) are there for draws to read. */
static err_t show(struct engine *e, struct vocabulary_rows *rows, int from, int count)
{
    const size_t V = (size_t)e->model->config.V, at = (size_t)from * V;
    if (!rows->copy)
        return e->model->be->ops->sync(e->model->be);
    return buffer_get(&rows->buffer, at * sizeof(float), (size_t)count * V * sizeof(float),
                      rows->copy + at);
}

/* Row i of the logits under the slot's penalty, or the probabilities from them, into
 * e->adjusted. */
static err_t penalise(struct engine *e, const struct slot *slot, int i)
{
    struct backend *be = e->model->be;
    const int V = e->model->config.V;
    const size_t bytes = (size_t)V * sizeof(float);
    TRY(buffer_get(&e->logits.buffer, (size_t)i * bytes, bytes, e->adjusted));
    sampler_penalise(e->sampler, &slot->sampling, e->adjusted, slot->token, slot->length);
    if (slot->sampling.temperature == 0)
        return OK;
    TRY(buffer_put(&e->penalised, 0, e->adjusted, bytes));
    TRY(be->ops->softmax(be, e->penalised.address, e->penalised.address,
                         sampling_inverse(&slot->sampling), 1, V));
    TRY(be->ops->sync(be));
    return buffer_get(&e->penalised, 0, bytes, e->adjusted);
}

static err_t draw_slot(struct engine *e, struct slot *slot, int i)
{
    const size_t at = (size_t)i * (size_t)e->model->config.V;
    const float *logits = e->logits.host + at, *probability = e->probability.host + at;
    if (sampling_penalises(&slot->sampling)) {
        TRY(penalise(e, slot, i));
        logits = probability = e->adjusted;
    }
    return sampler_draw(e->sampler, &slot->sampling, (uint64_t)slot->completion,
                        (uint64_t)slot->length, logits, probability, &slot->next);
}

/* The other completions of a prompt that was just computed take their own draw from the same row.
 */
static err_t draw_siblings(struct engine *e, const struct slot *first, int i)
{
    struct backend *be = e->model->be;
    const int V = e->model->config.V;
    for (int s = 0; s < e->actives; s++) {
        struct slot *slot = e->active[s];
        if (slot->state != SLOT_WAITING || slot->tag != first->tag)
            continue;
        TRY(draw_slot(e, slot, i));
        TRY(be->ops->token_logp(be, &slot->next_logp, NULL, row_at(e, &e->logits, i),
                                &slot->next.token, sampling_inverse(&slot->sampling), 1, V));
        TRY(engine_adopt(e, slot, first));
    }
    return OK;
}

/* Slots who[0..count-1], of one temperature, whose logits lie from row `from` of e->logits on. */
static err_t draw_run(struct engine *e, struct slot **who, int from, int count)
{
    struct backend *be = e->model->be;
    const int V = e->model->config.V;
    const float inverse = sampling_inverse(&who[0]->sampling);
    float *logits = row_at(e, &e->logits, from), logp[HEAD_ROWS];
    int32_t token[HEAD_ROWS];
    if (who[0]->sampling.temperature > 0) {
        TRY(be->ops->softmax(be, row_at(e, &e->probability, from), logits, inverse, count, V));
        TRY(show(e, &e->probability, from, count));
    } else
        TRY(show(e, &e->logits, from, count));
    for (int i = 0; i < count; i++) {
        TRY(draw_slot(e, who[i], from + i));
        token[i] = who[i]->next.token;
    }
    TRY(be->ops->token_logp(be, logp, NULL, logits, token, inverse, count, V));
    for (int i = 0; i < count; i++) {
        who[i]->next_logp = logp[i];
        if (who[i]->length == who[i]->prompt_tokens)
            TRY(draw_siblings(e, who[i], from + i));
    }
    return OK;
}

static err_t draw_all(struct engine *e)
{
    int drawing = 0;
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->last_row >= 0)
            e->pick[drawing++] = e->active[i];
    for (int from = 0, count; from < drawing; from += count) {
        count = drawing - from < engine_head_rows(e) ? drawing - from : engine_head_rows(e);
        struct slot **who = e->pick + from;
        for (int i = 0; i < count; i++)
            e->row[i] = who[i]->last_row;
        TRY(forward_logits(e->forward, e->row, count, e->logits.buffer.address));
        for (int i = 0, run; i < count; i += run) {
            const float temperature = who[i]->sampling.temperature;
            for (run = 1; i + run < count && who[i + run]->sampling.temperature == temperature;)
                run++;
            TRY(draw_run(e, who + i, i, run));
        }
    }
    return OK;
}

static void add_span(struct engine *e, struct slot *slot, int at)
{
    if (slot->spans && slot->span[slot->spans - 1].version == e->version)
        return;
    if (slot->spans == slot->span_capacity) {
        slot->span_capacity = slot->span_capacity ? 2 * slot->span_capacity : 4;
        slot->span = mem_grow(slot->span, (size_t)slot->span_capacity, sizeof *slot->span);
    }
    slot->span[slot->spans++] =
        (struct engine_span){.first_token = (uint32_t)at, .version = e->version};
}

static void finish(struct engine *e, struct slot *slot, enum engine_finish why)
{
    e->finished[e->finished_count++] = (struct engine_completion){
        .tag = slot->tag,
        .completion = slot->completion,
        .tokens = slot->length - slot->prompt_tokens,
        .token = slot->token + slot->prompt_tokens,
        .logp = slot->logp,
        .sampled_logp = sampling_alters(&slot->sampling) ? slot->sampled : NULL,
        .spans = slot->spans,
        .span = slot->span,
        .finish = why,
    };
    e->counters.completions++;
    engine_release(e, slot);
}

/* Appends what was drawn. */
static void take_token(struct engine *e, struct slot *slot)
{
    const int at = slot->length - slot->prompt_tokens;
    const int32_t token = slot->next.token;
    add_span(e, slot, at);
    slot->token[slot->length++] = token;
    slot->logp[at] = slot->next_logp;
    slot->sampled[at] = sampler_logp(&slot->sampling, slot->next_logp, &slot->next);
    e->counters.tokens++;
    for (int i = 0; i < slot->stops; i++)
        if (token == slot->stop[i])
            return finish(e, slot, ENGINE_EOS);
    if (slot->stopped &&
        slot->stopped(slot->stopped_arg, slot->token + slot->prompt_tokens, at + 1))
        return finish(e, slot, ENGINE_STOP);
    if (at + 1 == slot->max_tokens)
        finish(e, slot, ENGINE_LENGTH);
}

/* first may have finished by now; a sibling that finishes with its first token leaves the list. */
static void wake_siblings(struct engine *e, const struct slot *first)
{
    for (int i = 0; i < e->actives;) {
        struct slot *slot = e->active[i];
        if (slot->state == SLOT_WAITING && slot->tag == first->tag) {
            slot->state = SLOT_RUNNING;
            take_token(e, slot);
        }
        i += slot->state != SLOT_FREE;
    }
}

static void commit(struct engine *e)
{
    int drawing = 0;
    const int behind = engine_rebuilding(e);
    for (int i = 0; i < e->segments; i++) {
        struct slot *slot = e->owner[i];
        const bool decodes = slot->length > slot->prompt_tokens && slot->last_row >= 0;
        slot->cached += e->segment[i].count;
        e->counters.prefill_tokens += (uint64_t)(e->segment[i].count - decodes);
    }
    e->counters.recomputed_tokens += (uint64_t)(behind - engine_rebuilding(e));
    for (int i = 0; i < e->segments; i++) // what is lost from here on was not lost to new weights
        if (e->owner[i]->cached >= e->owner[i]->again)
            e->owner[i]->again = 0;
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->last_row >= 0)
            e->pick[drawing++] = e->active[i];
    for (int i = 0; i < drawing; i++) {
        struct slot *slot = e->pick[i];
        const bool fresh = slot->length == slot->prompt_tokens;
        take_token(e, slot);
        if (fresh)
            wake_siblings(e, slot);
    }
}

err_t engine_step(struct engine *e, const struct engine_completion **ret, int *ret_count)
{
    const double begin = clock_s();
    plan_rows(e);
    e->finished_count = 0;
    if (e->rows) {
        TRY(err_wrap(
            forward_run(e->forward, e->token, e->position, e->rows, e->segment, e->segments),
            "decode step"));
        TRY(err_wrap(draw_all(e), "decode step"));
        commit(e);
        e->counters.steps++;
        e->counters.rows += (uint64_t)e->rows;
    }
    e->counters.busy_s += clock_s() - begin;
    *ret = e->finished;
    *ret_count = e->finished_count;
    return OK;
}
