#include "model/engine/engine.h"
#include "base/mem.h"
#include "model/engine/engine_state.h"
#include <math.h>
#include <string.h>

enum { STEP_ROWS = 256, SLOTS_MAX = 1 << 16, ROWS_MAX = 1 << 20 };

size_t engine_page_bytes(const struct model *model)
{
    const size_t element = model->kv == KV_BF16 ? sizeof(bf16) : sizeof(float);
    return 2 * element * (size_t)model->config.L * (size_t)model->shape.K * (size_t)model->shape.D *
           KV_PAGE;
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
    const double least =
        (double)engine_page_bytes(model) * (double)engine_pages_for(c->max_context);
    if (c->kv_bytes && (double)c->kv_bytes < least)
        return err_new(ERR_INVALID,
                       "engine: %zu bytes of KV; one sequence of %d tokens alone takes %.0f",
                       c->kv_bytes, c->max_context, least);
    return OK;
}

err_t engine_check(const struct model *model, const struct engine_config *config)
{
    struct engine_config c = *config;
    if (!c.step_rows)
        c.step_rows = c.slots > STEP_ROWS ? c.slots : STEP_ROWS;
    return check_config(model, &c);
}

/* As many as kv_bytes allow, and not more than can be used. */
static err_t count_pages(const struct model *model, const struct engine_config *c, int *ret)
{
    const double page = (double)engine_page_bytes(model),
                 most = (double)engine_pages_for(c->max_context) * c->slots;
    const double asked = c->kv_bytes ? floor((double)c->kv_bytes / page) : most;
    const double pages = asked < most ? asked : most;
    const double have = (double)model->be->ops->capacity(model->be, NULL);
    if (pages * page > have)
        return err_new(ERR_EXHAUSTED,
                       "engine: %d slots of %d tokens take %.1f GiB of KV; there are %.1f GiB",
                       c->slots, c->max_context, pages * page / (1 << 30), have / (1 << 30));
    *ret = (int)pages;
    return OK;
}

static void slot_init(struct engine *e, struct slot *slot)
{
    const size_t T = (size_t)e->config.max_context;
    slot->token = mem_array(T, sizeof *slot->token);
    slot->logp = mem_array(T, sizeof *slot->logp);
    slot->sampled = mem_array(T, sizeof *slot->sampled);
    slot->page = mem_array((size_t)engine_pages_for(e->config.max_context), sizeof *slot->page);
}

err_t engine_new(struct model *model, const struct engine_config *config, struct engine **ret)
{
    SCOPED(engine) e = mem_new(sizeof *e);
    e->model = model;
    e->config = *config;
    if (!config->step_rows)
        e->config.step_rows = config->slots > STEP_ROWS ? config->slots : STEP_ROWS;
    TRY(check_config(model, &e->config));
    TRY(count_pages(model, &e->config, &e->kv_pages));
    const size_t slots = (size_t)config->slots, rows = (size_t)e->config.step_rows;
    TRY(err_wrap(
        forward_new(model, e->config.step_rows, engine_head_rows(e), FORWARD_NOTHING, &e->forward),
        "engine: activations of %d rows", e->config.step_rows));
    e->slot = mem_array(slots, sizeof *e->slot);
    for (size_t i = 0; i < slots; i++)
        slot_init(e, &e->slot[i]);
    e->active = mem_array(slots, sizeof *e->active);
    e->pages = pages_new(e->kv_pages);
    TRY(err_wrap(model->be->ops->kv_new(model->be, model->config.L, &model->shape, model->kv,
                                        e->kv_pages, &e->kv),
                 "engine: keys and values of %d slots, %d pages", config->slots, e->kv_pages));
    e->token = mem_array(rows, sizeof *e->token);
    e->position = mem_array(rows, sizeof *e->position);
    e->segment = mem_array(slots, sizeof *e->segment);
    e->owner = mem_array(slots, sizeof *e->owner);
    e->pick = mem_array(slots, sizeof *e->pick);
    e->row = mem_array(slots, sizeof *e->row);
    e->finished = mem_array(slots, sizeof *e->finished);
    e->drawer = mem_array(slots, sizeof *e->drawer);
    e->request = mem_array(slots, sizeof *e->request);
    e->draw = mem_array(slots, sizeof *e->draw);
    *ret = STEAL(e);
    return OK;
}

int engine_free_slots(const struct engine *e)
{
    return e->config.slots - e->actives;
}

int engine_active(const struct engine *e)
{
    return e->actives;
}

int engine_free_pages(const struct engine *e)
{
    return pages_free_count(e->pages);
}

size_t engine_bytes(const struct engine *e)
{
    const size_t slots = (size_t)e->config.slots, T = (size_t)e->config.max_context;
    size_t bytes = sizeof *e + forward_bytes(e->forward);
    bytes += slots * (sizeof(struct slot) + 3 * T * sizeof(float) +
                      (size_t)engine_pages_for(e->config.max_context) * sizeof(int32_t)) +
             (size_t)e->kv_pages * (engine_page_bytes(e->model) + 2 * sizeof(int32_t));
    bytes += 2 * (size_t)e->config.step_rows * sizeof(int32_t);
    bytes +=
        slots * (sizeof *e->segment + 3 * sizeof *e->pick + sizeof *e->row + sizeof *e->finished +
                 sizeof *e->drawer + sizeof *e->request + sizeof *e->draw);
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
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->tag == r->tag)
            return err_new(ERR_EXISTS, "request %llu is running already",
                           (unsigned long long)r->tag);
    if (r->completions > engine_free_slots(e))
        return err_new(ERR_EXHAUSTED, "%d completions of a prompt; %d slots are free",
                       r->completions, engine_free_slots(e));
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
        slot->again = slot->spans = 0;
        e->active[e->actives++] = slot;
        slot->sampling = r->sampling;
        slot->stops = r->stops;
        slot->stopped = r->stopped;
        slot->stopped_arg = r->stopped_arg;
        if (r->stops)
            memcpy(slot->stop, r->stop, (size_t)r->stops * sizeof *r->stop);
        memcpy(slot->token, r->prompt, (size_t)r->prompt_tokens * sizeof *r->prompt);
    }
    return OK;
}

void engine_release(struct engine *e, struct slot *slot)
{
    int at = 0;
    while (e->active[at] != slot)
        at++;
    e->actives--;
    memmove(e->active + at, e->active + at + 1, (size_t)(e->actives - at) * sizeof(struct slot *));
    engine_drop_pages(e, slot);
    slot->state = SLOT_FREE;
}

/* A request that lost its prompt's slot has lost all: cancelling takes every slot of the tag. */
void engine_cancel(struct engine *e, uint64_t tag)
{
    for (int i = e->actives - 1; i >= 0; i--)
        if (e->active[i]->tag == tag)
            engine_release(e, e->active[i]);
}

/* ---- suspension */

static struct slot *slot_of(const struct engine *e, uint64_t tag, int completion)
{
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->tag == tag && e->active[i]->completion == completion)
            return e->active[i];
    return NULL;
}

/* Whether a slot of the request is computing the prompt for those that wait. */
static bool has_lead(const struct engine *e, uint64_t tag)
{
    for (int i = 0; i < e->actives; i++) {
        const struct slot *slot = e->active[i];
        if (slot->tag == tag && slot->state == SLOT_RUNNING && slot->length == slot->prompt_tokens)
            return true;
    }
    return false;
}

bool engine_suspend(struct engine *e, uint64_t tag, int completion)
{
    struct slot *slot = slot_of(e, tag, completion);
    if (!slot)
        return false;
    slot->state = SLOT_SUSPENDED;
    slot->again = 0; // new weights do not wait for it
    for (int i = 0; i < e->actives && !has_lead(e, tag); i++)
        if (e->active[i]->tag == tag && e->active[i]->state == SLOT_WAITING)
            e->active[i]->state = SLOT_RUNNING; // the oldest goes on with the prompt
    return true;
}

bool engine_resume(struct engine *e, uint64_t tag, int completion)
{
    struct slot *slot = slot_of(e, tag, completion);
    if (!slot)
        return false;
    if (slot->state != SLOT_SUSPENDED)
        return true;
    const bool fresh = slot->length == slot->prompt_tokens && !slot->pages;
    slot->state = fresh && has_lead(e, tag) ? SLOT_WAITING : SLOT_RUNNING;
    return true;
}

int engine_running(const struct engine *e)
{
    int running = 0;
    for (int i = 0; i < e->actives; i++)
        running += e->active[i]->state != SLOT_SUSPENDED;
    return running;
}

/* ---- new weights */

/* KV is computed again: of prompts under way, or of all. */
static void give_up(struct engine *e, bool all)
{
    for (int i = 0; i < e->actives; i++) {
        struct slot *slot = e->active[i];
        if (!all && slot->length > slot->prompt_tokens)
            continue;
        if (slot->state != SLOT_SUSPENDED)
            slot->again = slot->again > slot->cached ? slot->again : slot->cached;
        engine_drop_pages(e, slot);
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
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->again > e->active[i]->cached)
            tokens += e->active[i]->again - e->active[i]->cached;
    return tokens;
}

int engine_progress(const struct engine *e, uint64_t tag)
{
    int tokens = 0;
    for (int i = 0; i < e->actives; i++)
        if (e->active[i]->tag == tag)
            tokens += e->active[i]->length - e->active[i]->prompt_tokens;
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
        mem_free(slot->page);
        mem_free(slot->token);
        mem_free(slot->logp);
        mem_free(slot->sampled);
        mem_free(slot->span);
    }
    if (e->kv)
        e->model->be->ops->kv_free(e->model->be, e->kv);
    pages_free(e->pages);
    forward_free(e->forward);
    void *const arrays[] = {e->slot, e->active,   e->token,  e->position, e->segment, e->owner,
                            e->pick, e->finished, e->drawer, e->request,  e->draw,    e->row};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    mem_free(e);
}
