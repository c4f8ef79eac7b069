#include "model/engine.h"
#include "base/clock.h"
#include "base/mem.h"
#include "model/forward.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_ROWS = 64, STEP_ROWS = 256, SLOTS_MAX = 1 << 16, ROWS_MAX = 1 << 20 };

/* WAITING: the first slot of its request is computing the prompt. */
enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_RUNNING };

struct slot {
    enum slot_state state;
    uint64_t tag, order; // order: of admission
    int completion;      // 0: computes the prompt for the others
    int prompt_tokens, max_tokens;
    int length, cached, again; // tokens known; whose KV is cached; was, before new weights came
    struct sampling sampling;
    int32_t stop[ENGINE_STOPS_MAX];
    int stops;
    struct kv_cache *cache;
    int32_t *token;        // (max_context) prompt, then completion
    float *logp, *sampled; // (max_context) of the completion's tokens
    int spans, span_capacity;
    struct engine_span *span;
    int last_row;     // of this step's rows: whose logits give its next token; -1: none yet
    struct draw next; // what this step drew
    float next_logp;
};

struct engine {
    struct model *model;
    struct engine_config config;
    struct forward *forward;
    struct sampler *sampler;
    struct slot *slot; // (slots)
    int free_slots;
    uint64_t admitted, version;
    int32_t *token, *position; // (step_rows) this step's
    struct segment *segment;   // (slots)
    struct slot **owner;       // (slots) whose segment it is
    struct slot **pick;        // (slots) who lacks several tokens; then who draws
    int rows, segments;
    float *logits, *probability; // (HEAD_ROWS,V)
    int32_t *row;                // (slots) of the hidden states
    struct engine_completion *finished;
    int finished_count;
    struct engine_counters counters;
};

static size_t kv_bytes(const struct model *model, int context)
{
    const size_t panel = 32, positions = ((size_t)context + panel - 1) / panel * panel;
    return 2 * sizeof(float) * (size_t)model->config.L * (size_t)model->shape.K *
           (size_t)model->shape.D * positions;
}

static err_t check_config(const struct model *model, const struct engine_config *c)
{
    if (c->slots < 1 || c->slots > SLOTS_MAX)
        return err_new(ERR_INVALID, "engine: %d slots; 1 to %d are allowed", c->slots, SLOTS_MAX);
    if (c->max_context < 2 || c->max_context > model->config.max_positions)
        return err_new(ERR_INVALID,
                       "engine: a context of %d tokens; 2 to the model's %d are allowed",
                       c->max_context, model->config.max_positions);
    if (c->step_rows < c->slots || c->step_rows > ROWS_MAX)
        return err_new(ERR_INVALID, "engine: %d rows a step; %d (one per slot) to %d are allowed",
                       c->step_rows, c->slots, ROWS_MAX);
    const double need = (double)kv_bytes(model, c->max_context) * c->slots;
    const double have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (need > have && !strcmp(model->be->ops->name, "cpu"))
        return err_new(
            ERR_EXHAUSTED,
            "engine: %d slots of %d tokens take %.1f GiB of KV; this machine has %.1f GiB",
            c->slots, c->max_context, need / (1 << 30), have / (1 << 30));
    return OK;
}

static err_t slot_new(struct engine *e, struct slot *slot)
{
    const size_t T = (size_t)e->config.max_context;
    slot->token = mem_array(T, sizeof *slot->token);
    slot->logp = mem_array(T, sizeof *slot->logp);
    slot->sampled = mem_array(T, sizeof *slot->sampled);
    return e->model->be->ops->kv_new(e->model->be, e->model->config.L, &e->model->shape,
                                     e->config.max_context, &slot->cache);
}

static int head_rows(const struct engine *e)
{
    return e->config.slots < HEAD_ROWS ? e->config.slots : HEAD_ROWS;
}

err_t engine_new(struct model *model, const struct engine_config *config, struct engine **ret)
{
    SCOPED(engine) e = mem_new(sizeof *e);
    e->model = model;
    e->config = *config;
    if (!config->step_rows)
        e->config.step_rows = config->slots > STEP_ROWS ? config->slots : STEP_ROWS;
    TRY(check_config(model, &e->config));
    const size_t slots = (size_t)config->slots, V = (size_t)model->config.V,
                 rows = (size_t)e->config.step_rows;
    TRY(forward_new(model, e->config.step_rows, head_rows(e), false, &e->forward));
    e->sampler = sampler_new(model->config.V);
    e->slot = mem_array(slots, sizeof *e->slot);
    for (size_t i = 0; i < slots; i++)
        TRY(slot_new(e, &e->slot[i]));
    e->free_slots = config->slots;
    e->token = mem_array(rows, sizeof *e->token);
    e->position = mem_array(rows, sizeof *e->position);
    e->segment = mem_array(slots, sizeof *e->segment);
    e->owner = mem_array(slots, sizeof *e->owner);
    e->pick = mem_array(slots, sizeof *e->pick);
    e->row = mem_array(slots, sizeof *e->row);
    e->finished = mem_array(slots, sizeof *e->finished);
    e->logits = mem_aligned((size_t)head_rows(e) * V * sizeof *e->logits);
    e->probability = mem_aligned((size_t)head_rows(e) * V * sizeof *e->probability);
    *ret = STEAL(e);
    return OK;
}

int engine_free_slots(const struct engine *e)
{
    return e->free_slots;
}

int engine_active(const struct engine *e)
{
    return e->config.slots - e->free_slots;
}

size_t engine_bytes(const struct engine *e)
{
    const size_t slots = (size_t)e->config.slots, T = (size_t)e->config.max_context,
                 V = (size_t)e->model->config.V;
    size_t bytes = sizeof *e + forward_bytes(e->forward) + V * sizeof(int32_t);
    bytes += slots * (sizeof(struct slot) + kv_bytes(e->model, e->config.max_context) +
                      3 * T * sizeof(float));
    bytes += 2 * (size_t)e->config.step_rows * sizeof(int32_t) +
             2 * (size_t)head_rows(e) * V * sizeof(float);
    bytes +=
        slots * (sizeof *e->segment + 2 * sizeof *e->pick + sizeof *e->row + sizeof *e->finished);
    for (size_t i = 0; i < slots; i++)
        bytes += (size_t)e->slot[i].span_capacity * sizeof(struct engine_span);
    return bytes;
}

/* ---- admission */

static err_t check_request(const struct engine *e, const struct engine_request *r)
{
    const int V = e->model->config.V;
    if (r->prompt_tokens < 1 || r->completions < 1 || r->max_tokens < 1)
        return err_new(ERR_INVALID,
                       "%d prompt tokens, %d completions, %d tokens: each must be at least 1",
                       r->prompt_tokens, r->completions, r->max_tokens);
    if (r->prompt_tokens >= e->config.max_context ||
        r->max_tokens > e->config.max_context - r->prompt_tokens)
        return err_new(ERR_RANGE,
                       "a prompt of %d tokens and up to %d more do not fit a context of %d",
                       r->prompt_tokens, r->max_tokens, e->config.max_context);
    if (r->completions > e->config.slots)
        return err_new(ERR_RANGE, "%d completions of a prompt; the engine has %d slots",
                       r->completions, e->config.slots);
    if (r->stops < 0 || r->stops > ENGINE_STOPS_MAX)
        return err_new(ERR_INVALID, "%d end tokens; at most %d are allowed", r->stops,
                       ENGINE_STOPS_MAX);
    for (int i = 0; i < r->prompt_tokens; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= V)
            return err_new(ERR_INVALID, "prompt token %d is %d; the model has %d", i, r->prompt[i],
                           V);
    TRY(sampling_check(&r->sampling));
    for (int i = 0; i < e->config.slots; i++)
        if (e->slot[i].state != SLOT_FREE && e->slot[i].tag == r->tag)
            return err_new(ERR_EXISTS, "request %llu is running already",
                           (unsigned long long)r->tag);
    if (r->completions > e->free_slots)
        return err_new(ERR_EXHAUSTED, "%d completions of a prompt; %d slots are free",
                       r->completions, e->free_slots);
    return OK;
}

err_t engine_admit(struct engine *e, const struct engine_request *r)
{
    TRY(check_request(e, r));
    for (int i = 0, taken = 0; taken < r->completions; i++) {
        struct slot *slot = &e->slot[i];
        if (slot->state != SLOT_FREE)
            continue;
        slot->state = taken ? SLOT_WAITING : SLOT_RUNNING;
        slot->tag = r->tag;
        slot->order = e->admitted++;
        slot->completion = taken++;
        slot->length = slot->prompt_tokens = r->prompt_tokens;
        slot->max_tokens = r->max_tokens;
        slot->cached = slot->again = slot->spans = 0;
        slot->sampling = r->sampling;
        slot->stops = r->stops;
        if (r->stops)
            memcpy(slot->stop, r->stop, (size_t)r->stops * sizeof *r->stop);
        memcpy(slot->token, r->prompt, (size_t)r->prompt_tokens * sizeof *r->prompt);
    }
    e->free_slots -= r->completions;
    return OK;
}

static void slot_release(struct engine *e, struct slot *slot)
{
    slot->state = SLOT_FREE;
    e->free_slots++;
}

/* A request that lost its prompt's slot has lost all: cancelling takes every slot of the tag. */
void engine_cancel(struct engine *e, uint64_t tag)
{
    for (int i = 0; i < e->config.slots; i++)
        if (e->slot[i].state != SLOT_FREE && e->slot[i].tag == tag)
            slot_release(e, &e->slot[i]);
}

/* ---- one step: rows, forward, draws, and only then the change of state */

static void add_rows(struct engine *e, struct slot *slot, int count)
{
    e->owner[e->segments] = slot;
    e->segment[e->segments++] = (struct segment){
        .first = e->rows, .count = count, .start = slot->cached, .cache = slot->cache};
    for (int i = 0; i < count; i++) {
        e->position[e->rows] = slot->cached + i;
        e->token[e->rows++] = slot->token[slot->cached + i];
    }
    slot->last_row = slot->cached + count == slot->length ? e->rows - 1 : -1;
}

static int by_order(const void *a, const void *b)
{
    const struct slot *x = *(struct slot *const *)a, *y = *(struct slot *const *)b;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Every slot that lacks one token gets its row; what is left goes to those that lack more, the
 * oldest first. */
static void plan_rows(struct engine *e)
{
    int longer = 0;
    e->rows = e->segments = 0;
    for (int i = 0; i < e->config.slots; i++) {
        struct slot *slot = &e->slot[i];
        slot->last_row = -1;
        if (slot->state != SLOT_RUNNING)
            continue;
        if (slot->length - slot->cached == 1)
            add_rows(e, slot, 1);
        else
            e->pick[longer++] = slot;
    }
    qsort(e->pick, (size_t)longer, sizeof *e->pick, by_order);
    for (int i = 0; i < longer && e->rows < e->config.step_rows; i++) {
        struct slot *slot = e->pick[i];
        const int left = e->config.step_rows - e->rows, lacks = slot->length - slot->cached;
        add_rows(e, slot, lacks < left ? lacks : left);
    }
}

static err_t draw_slot(struct engine *e, struct slot *slot, int i)
{
    const size_t at = (size_t)i * (size_t)e->model->config.V;
    return sampler_draw(e->sampler, &slot->sampling, (uint64_t)slot->completion,
                        (uint64_t)slot->length, e->logits + at, e->probability + at, &slot->next);
}

/* The other completions of a prompt just computed take their own draw from the same row. */
static err_t draw_siblings(struct engine *e, const struct slot *first, int i)
{
    struct backend *be = e->model->be;
    const int V = e->model->config.V;
    for (int s = 0; s < e->config.slots; s++) {
        struct slot *slot = &e->slot[s];
        if (slot->state != SLOT_WAITING || slot->tag != first->tag)
            continue;
        TRY(draw_slot(e, slot, i));
        TRY(be->ops->token_logp(be, &slot->next_logp, NULL, e->logits + (size_t)i * (size_t)V,
                                &slot->next.token, sampling_inverse(&slot->sampling), 1, V));
        TRY(be->ops->kv_copy(be, slot->cache, first->cache, slot->prompt_tokens));
    }
    return OK;
}

/* Slots who[0..count-1], of one temperature, whose logits lie from row `from` of e->logits on. */
static err_t draw_run(struct engine *e, struct slot **who, int from, int count)
{
    struct backend *be = e->model->be;
    const int V = e->model->config.V;
    const float inverse = sampling_inverse(&who[0]->sampling);
    float *logits = e->logits + (size_t)from * (size_t)V, logp[HEAD_ROWS];
    int32_t token[HEAD_ROWS];
    if (who[0]->sampling.temperature > 0)
        TRY(be->ops->softmax(be, e->probability + (size_t)from * (size_t)V, logits, inverse, count,
                             V));
    TRY(be->ops->sync(be));
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
    for (int i = 0; i < e->config.slots; i++)
        if (e->slot[i].state == SLOT_RUNNING && e->slot[i].last_row >= 0)
            e->pick[drawing++] = &e->slot[i];
    for (int from = 0, count; from < drawing; from += count) {
        count = drawing - from < head_rows(e) ? drawing - from : head_rows(e);
        struct slot **who = e->pick + from;
        for (int i = 0; i < count; i++)
            e->row[i] = who[i]->last_row;
        TRY(forward_logits(e->forward, e->row, count, e->logits));
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
        .sampled_logp = sampling_truncates(&slot->sampling) ? slot->sampled : NULL,
        .spans = slot->spans,
        .span = slot->span,
        .finish = why,
    };
    e->counters.completions++;
    slot_release(e, slot);
}

/* Appends what was drawn. */
static void take_token(struct engine *e, struct slot *slot)
{
    const int at = slot->length - slot->prompt_tokens;
    add_span(e, slot, at);
    slot->token[slot->length++] = slot->next.token;
    slot->logp[at] = slot->next_logp;
    slot->sampled[at] = sampler_logp(slot->next_logp, slot->next.mass);
    e->counters.tokens++;
    for (int i = 0; i < slot->stops; i++)
        if (slot->next.token == slot->stop[i])
            return finish(e, slot, ENGINE_EOS);
    if (at + 1 == slot->max_tokens)
        finish(e, slot, ENGINE_LENGTH);
}

static void wake_siblings(struct engine *e, const struct slot *first)
{
    for (struct slot *slot = e->slot; slot < e->slot + e->config.slots; slot++)
        if (slot->state == SLOT_WAITING && slot->tag == first->tag) {
            slot->state = SLOT_RUNNING;
            slot->cached = slot->prompt_tokens;
            take_token(e, slot);
        }
}

static void commit(struct engine *e)
{
    const int behind = engine_rebuilding(e);
    for (int i = 0; i < e->segments; i++) {
        struct slot *slot = e->owner[i];
        const bool decodes = slot->length > slot->prompt_tokens && slot->last_row >= 0;
        slot->cached += e->segment[i].count;
        e->counters.prefill_tokens += (uint64_t)(e->segment[i].count - decodes);
    }
    e->counters.recomputed_tokens += (uint64_t)(behind - engine_rebuilding(e));
    for (int i = 0; i < e->config.slots; i++) {
        struct slot *slot = &e->slot[i];
        const bool fresh = slot->length == slot->prompt_tokens;
        if (slot->state != SLOT_RUNNING || slot->last_row < 0)
            continue;
        take_token(e, slot);
        if (fresh)
            wake_siblings(e, slot); // their last_row is -1: they have taken theirs
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

/* ---- the rest */

/* KV is computed again: of prompts under way, or of all. */
static void give_up(struct engine *e, bool all)
{
    for (struct slot *slot = e->slot; slot < e->slot + e->config.slots; slot++)
        if (all || slot->length == slot->prompt_tokens) {
            slot->again = slot->again > slot->cached ? slot->again : slot->cached;
            slot->cached = 0;
        }
}

void engine_set_version(struct engine *e, uint64_t version)
{
    e->version = version;
    give_up(e, false);
}

void engine_recompute(struct engine *e)
{
    give_up(e, true);
}

int engine_rebuilding(const struct engine *e)
{
    int tokens = 0;
    for (const struct slot *slot = e->slot; slot < e->slot + e->config.slots; slot++)
        if (slot->state != SLOT_FREE && slot->again > slot->cached)
            tokens += slot->again - slot->cached;
    return tokens;
}

int engine_progress(const struct engine *e, uint64_t tag)
{
    int tokens = 0;
    for (int i = 0; i < e->config.slots; i++)
        if (e->slot[i].state != SLOT_FREE && e->slot[i].tag == tag)
            tokens += e->slot[i].length - e->slot[i].prompt_tokens;
    return tokens;
}

const struct engine_counters *engine_counters(const struct engine *e)
{
    return &e->counters;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    for (struct slot *slot = e->slot; slot && slot < e->slot + e->config.slots; slot++) {
        if (slot->cache)
            e->model->be->ops->kv_free(e->model->be, slot->cache);
        mem_free(slot->token);
        mem_free(slot->logp);
        mem_free(slot->sampled);
        mem_free(slot->span);
    }
    forward_free(e->forward);
    sampler_free(e->sampler);
    void *const arrays[] = {e->slot, e->token, e->position, e->segment, e->owner,
                            e->pick, e->row,   e->finished, e->logits,  e->probability};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    mem_free(e);
}
