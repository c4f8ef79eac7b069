#include "model/engine.h"
#include "base/mem.h"
#include "model/engine_state.h"
#include <string.h>
#include <unistd.h>

enum { STEP_ROWS = 256, SLOTS_MAX = 1 << 16, ROWS_MAX = 1 << 20 };

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
    TRY(forward_new(model, e->config.step_rows, engine_head_rows(e), false, &e->forward));
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
    e->logits = mem_aligned((size_t)engine_head_rows(e) * V * sizeof *e->logits);
    e->probability = mem_aligned((size_t)engine_head_rows(e) * V * sizeof *e->probability);
    e->penalised = mem_aligned(V * sizeof *e->penalised);
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
    size_t bytes = sizeof *e + forward_bytes(e->forward) + 2 * V * sizeof(float);
    bytes += slots * (sizeof(struct slot) + kv_bytes(e->model, e->config.max_context) +
                      3 * T * sizeof(float));
    bytes += 2 * (size_t)e->config.step_rows * sizeof(int32_t) +
             2 * (size_t)engine_head_rows(e) * V * sizeof(float);
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
        return err_new(
            ERR_INVALID,
            "a request of %d prompt tokens, %d completions, %d tokens: each must be at least 1",
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
        slot->cached = slot->spans = 0;
        slot->sampling = r->sampling;
        slot->stops = r->stops;
        slot->stopped = r->stopped;
        slot->stopped_arg = r->stopped_arg;
        if (r->stops)
            memcpy(slot->stop, r->stop, (size_t)r->stops * sizeof *r->stop);
        memcpy(slot->token, r->prompt, (size_t)r->prompt_tokens * sizeof *r->prompt);
    }
    e->free_slots -= r->completions;
    return OK;
}

void engine_release(struct engine *e, struct slot *slot)
{
    slot->state = SLOT_FREE;
    e->free_slots++;
}

/* A request that lost its prompt's slot has lost all: cancelling takes every slot of the tag. */
void engine_cancel(struct engine *e, uint64_t tag)
{
    for (int i = 0; i < e->config.slots; i++)
        if (e->slot[i].state != SLOT_FREE && e->slot[i].tag == tag)
            engine_release(e, &e->slot[i]);
}

void engine_set_version(struct engine *e, uint64_t version)
{
    e->version = version;
}

void engine_recompute(struct engine *e)
{
    for (int i = 0; i < e->config.slots; i++)
        e->slot[i].cached = 0;
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
    for (int i = 0; e->slot && i < e->config.slots; i++) {
        struct slot *slot = &e->slot[i];
        if (slot->cache)
            e->model->be->ops->kv_free(e->model->be, slot->cache);
        mem_free(slot->token);
        mem_free(slot->logp);
        mem_free(slot->sampled);
        mem_free(slot->span);
    }
    forward_free(e->forward);
    sampler_free(e->sampler);
    void *const arrays[] = {e->slot, e->token,    e->position, e->segment,     e->owner,    e->pick,
                            e->row,  e->finished, e->logits,   e->probability, e->penalised};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    mem_free(e);
}
