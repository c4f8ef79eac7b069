/* The inside of struct engine, for engine*.c alone. */
#pragma once
#include "model/engine/engine.h"
#include "model/engine/pages.h"
#include "model/forward.h"

/* WAITING: another slot of the request computes the prompt. RUNNING without pages: the slot waits
 * for room, or has lost its pages to another. SUSPENDED: no step computes for the slot, and others
 * may take its pages. */
enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_RUNNING, SLOT_SUSPENDED };

struct slot {
    enum slot_state state;
    uint64_t tag, order; // order: of admission
    int completion;      // 0..k-1, of the request
    int prompt_tokens, max_tokens;
    int length, cached; // tokens of prompt and completion; of those with KV in the slot's pages
    int again;          // tokens with KV before new weights, until as many have it again; 0: none
    struct sampling sampling;
    int32_t stop[ENGINE_STOPS_MAX];
    int stops;
    engine_stopped *stopped;
    void *stopped_arg;
    int32_t *page;         // (pages of max_context); the one with position `cached` is never shared
    int pages;             // held by the sequence
    bool ready;            // has room for this step
    int32_t *token;        // (max_context) prompt, then completion
    float *logp, *sampled; // (max_context) of the completion's tokens
    int spans, span_capacity;
    struct engine_span *span;
    int last_row;           // of this step's rows: whose logits give its next token; -1: none yet
    struct token_draw next; // drawn in this step
};

struct engine {
    struct model *model;
    struct engine_config config;
    struct forward *forward;
    struct slot *slot;    // (slots)
    struct slot **active; // (slots) those not free, the oldest first
    int actives;
    struct kv_pages *kv;
    struct pages *pages;
    int kv_pages; // of them
    uint64_t admitted, version;
    int32_t *token, *position; // (step_rows) this step's
    struct segment *segment;   // (slots)
    struct slot **owner;       // (slots) whose segment it is
    struct slot **pick;        // (slots) those that draw in this step
    int rows, segments;
    int32_t *row; // (slots) of the hidden states
    /* (slots) the draws of one block of head rows, with their slots. first: the slot whose prompt a
     * sibling adopts; NULL: no sibling. */
    struct drawer {
        struct slot *slot;
        const struct slot *first;
    } * drawer;
    struct token_request *request;
    struct token_draw *draw;
    int draws;
    struct engine_completion *finished;
    int finished_count;
    struct engine_counters counters;
};

static inline int engine_head_rows(const struct engine *e)
{
    return e->config.slots < DECODER_HEAD_ROWS ? e->config.slots : DECODER_HEAD_ROWS;
}

void engine_release(struct engine *e, struct slot *slot);

int engine_pages_for(int positions);

/* Gives up its pages; its KV is computed again. */
void engine_drop_pages(struct engine *e, struct slot *slot);

/* The prompt's KV, which `first` of its request has: whole pages are shared, the rest is copied if
 * there is room. */
err_t engine_adopt(struct engine *e, struct slot *slot, const struct slot *first);

/* Sets who is `ready` for a step: has pages for all its tokens. */
void engine_claim_all(struct engine *e);
