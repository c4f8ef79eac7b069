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

/* Adds a draw from row `row` of the block under way. */
static void ask(struct engine *e, struct slot *slot, const struct slot *first, int row)
{
    e->drawer[e->draws] = (struct drawer){slot, first};
    e->request[e->draws++] = sampling_request(&slot->sampling, row, (uint64_t)slot->completion,
                                              slot->token, slot->length);
}

/* The other completions of a prompt that was just computed take their own draw from the same row.
 */
static void ask_siblings(struct engine *e, const struct slot *first, int row)
{
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->state == SLOT_WAITING && e->active[i]->tag == first->tag)
            ask(e, e->active[i], first, row);
}

/* Slots who[0..count-1] and their siblings: one op for all of their draws. */
static err_t draw_block(struct engine *e, struct slot **who, int count)
{
    e->draws = 0;
    for (int i = 0; i < count; i++) {
        e->row[i] = who[i]->last_row;
        ask(e, who[i], NULL, i);
        if (who[i]->length == who[i]->prompt_tokens)
            ask_siblings(e, who[i], i);
    }
    TRY(forward_draw(e->forward, e->row, count, e->request, e->draws, e->draw));
    for (int i = 0; i < e->draws; i++) {
        const struct drawer *drawer = &e->drawer[i];
        if (!e->draw[i].finite)
            return err_new(ERR_DATA_LOSS, "the model's logits are not finite");
        drawer->slot->next = e->draw[i];
        if (drawer->first)
            TRY(engine_adopt(e, drawer->slot, drawer->first));
    }
    return OK;
}

static err_t draw_all(struct engine *e)
{
    const int most = engine_head_rows(e);
    int drawing = 0;
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->last_row >= 0)
            e->pick[drawing++] = e->active[i];
    for (int from = 0; from < drawing; from += most)
        TRY(draw_block(e, e->pick + from, drawing - from < most ? drawing - from : most));
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
    slot->logp[at] = slot->next.logp;
    slot->sampled[at] = sampling_logp(&slot->sampling, &slot->next);
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
    for (int i = 0; i < e->segments; i++) // all is computed again: later losses are no rebuild
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

/* Where each sequence adds a token, a device's work is mostly that of the step before. */
static err_t compute(struct engine *e)
{
    struct backend *be = e->model->be;
    if (e->rows == e->segments)
        TRY(be->ops->step_begin(be));
    TRY(forward_run(e->forward, e->token, e->position, e->rows, e->segment, e->segments));
    TRY(draw_all(e));
    return be->ops->step_end(be);
}

err_t engine_step(struct engine *e, const struct engine_completion **ret, int *ret_count)
{
    const double begin = clock_s();
    plan_rows(e);
    e->finished_count = 0;
    if (e->rows) {
        TRY(err_wrap(compute(e), "decode step"));
        commit(e);
        e->counters.steps++;
        e->counters.rows += (uint64_t)e->rows;
    }
    e->counters.busy_s += clock_s() - begin;
    *ret = e->finished;
    *ret_count = e->finished_count;
    return OK;
}
