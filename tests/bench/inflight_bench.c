/* generator.in_flight side by side: decoding goes on while new weights come every so many sampled
 * tokens.
 *
 *     build/tests/bench_inflight [threads]
 *
 * One JSON object per line. pause_ms: the engine stands still for one swap; rebuild_rows_per_swap:
 * tokens whose KV was computed again; drained_share: of the slots, empty in the mean step;
 * waited_tokens: sampled between offer and swap. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "generator/swap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, GROUP = 4, PROMPT = 32, SHORTEST = 16, LONGEST = 96, VERSIONS = 2 };

struct shape {
    const char *name;
    struct model_config config;
    uint64_t tokens, every; // sampled in all; between two versions
};

struct load {
    const struct shape *shape;
    struct model *model;
    bf16 *values[VERSIONS]; // two sets of weights, taken in turn
    struct engine *engine;
    struct swap *swap;
    struct rng rng;
    uint64_t requests, offers, offered_at;
};

struct figures {
    uint64_t swaps, passed_over, waited_tokens, completions, spans, steps, empty;
    double pause_s, longest_s;
};

/* Lengths are spread: uniform between SHORTEST and LONGEST, one length a group. */
static err_t admit(struct load *load)
{
    int32_t prompt[PROMPT];
    while (!swap_holds(load->swap) && engine_free_slots(load->engine) >= GROUP) {
        const uint64_t tag = load->requests++;
        for (int i = 0; i < PROMPT; i++)
            prompt[i] = (int32_t)((tag + 7 * (uint64_t)i) % (uint64_t)load->shape->config.V);
        struct engine_request request = {
            .tag = tag,
            .prompt = prompt,
            .prompt_tokens = PROMPT,
            .completions = GROUP,
            .max_tokens = SHORTEST + (int)rng_below(&load->rng, tag, LONGEST - SHORTEST + 1),
            .sampling = {.temperature = 1, .prompt = tag}};
        TRY(engine_admit(load->engine, &request));
    }
    return OK;
}

static err_t take_weights(struct load *load, struct figures *ret)
{
    const uint64_t tokens = engine_counters(load->engine)->tokens;
    struct swapped done;
    if (tokens / load->shape->every > load->offers) {
        if (!load->offered_at)
            load->offered_at = tokens;
        load->offers++;
        swap_offer(load->swap);
    }
    if (!swap_wants(load->swap))
        return OK;
    swap_begin(load->swap, &(struct new_weights){.flat = load->values[load->offers % VERSIONS]});
    TRY(swap_apply(load->swap, load->offers, &done));
    ret->swaps++;
    ret->passed_over += (uint64_t)done.offers - 1;
    ret->waited_tokens += tokens - load->offered_at;
    ret->pause_s += done.pause_s;
    ret->longest_s = done.pause_s > ret->longest_s ? done.pause_s : ret->longest_s;
    load->offered_at = 0;
    return OK;
}

static err_t decode(struct load *load, struct figures *ret)
{
    while (engine_counters(load->engine)->tokens < load->shape->tokens) {
        const struct engine_completion *finished;
        int count;
        TRY(take_weights(load, ret));
        TRY(admit(load));
        ret->empty += (uint64_t)engine_free_slots(load->engine);
        TRY(engine_step(load->engine, &finished, &count));
        ret->steps++;
        ret->completions += (uint64_t)count;
        for (int i = 0; i < count; i++)
            ret->spans += (uint64_t)finished[i].spans;
    }
    return OK;
}

static err_t prepare(struct load *load, struct backend *be, enum recipe_in_flight mode)
{
    const struct engine_config config = {.slots = SLOTS, .max_context = PROMPT + LONGEST};
    TRY(model_new(be, &load->shape->config, 1, &load->model));
    for (uint64_t v = 0; v < VERSIONS; v++) {
        SCOPED(model) other = NULL;
        TRY(model_new(be, &load->shape->config, v + 1, &other));
        TRY(model_flat(other, &load->values[v]));
    }
    TRY(engine_new(load->model, &config, &load->engine));
    TRY(swap_new(load->model, load->engine, mode, &load->swap));
    load->rng = rng_keyed(1, RNG_TEST, 0, 0);
    return OK;
}

static void load_done(struct load *load)
{
    swap_free(load->swap);
    engine_free(load->engine);
    model_free(load->model);
    for (int v = 0; v < VERSIONS; v++)
        mem_free(load->values[v]);
}

static void print(const struct load *load, const char *mode, int threads, double wall_s,
                  const struct figures *f)
{
    const struct engine_counters *c = engine_counters(load->engine);
    const double swaps = f->swaps ? (double)f->swaps : 1;
    printf(
        "{\"bench\": \"inflight\", \"mode\": \"%s\", \"model\": \"%s\", \"slots\": %d, \"threads\": %d, "
        "\"tokens_per_version\": %llu, \"tokens_per_s\": %.0f, \"swaps\": %llu, \"passed_over\": %llu, "
        "\"pause_ms\": %.3f, \"pause_ms_max\": %.3f, \"rebuild_rows_per_swap\": %.0f, \"drained_share\": %.3f, "
        "\"waited_tokens\": %.0f, \"versions_per_completion\": %.3f}\n",
        mode, load->shape->name, SLOTS, threads, (unsigned long long)load->shape->every,
        (double)c->tokens / wall_s, (unsigned long long)f->swaps,
        (unsigned long long)f->passed_over, f->pause_s / swaps * 1000, f->longest_s * 1000,
        (double)c->recomputed_tokens / swaps, (double)f->empty / (double)f->steps / SLOTS,
        (double)f->waited_tokens / swaps,
        (double)f->spans / (double)(f->completions ? f->completions : 1));
    fflush(stdout);
}

static err_t bench(const struct shape *shape, enum recipe_in_flight mode, int threads)
{
    SCOPED(backend) be = NULL;
    SCOPED_VALUE(load) load = {.shape = shape};
    struct figures figures = {0};
    TRY(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    TRY(prepare(&load, be, mode));
    const double begun = clock_s();
    TRY(decode(&load, &figures));
    print(&load, swap_mode_name(mode), threads, clock_s() - begun, &figures);
    return OK;
}

static err_t all(int threads)
{
    const struct shape shapes[] = {
        {"sort 0.1M", config_default(29, 64, 172, 2, 2, 2, 128, false), 60000, 3000},
        {"tldr 0.9M", config_default(2048, 128, 352, 3, 4, 4, 128, true), 24000, 3000},
        {"tldr 0.9M", config_default(2048, 128, 352, 3, 4, 4, 128, true), 24000, 600}};
    for (int s = 0; s < 3; s++)
        for (int mode = RECIPE_CONTINUE; mode <= RECIPE_FINISH; mode++)
            TRY(bench(&shapes[s], (enum recipe_in_flight)mode, threads));
    return OK;
}

int main(int argc, char **argv)
{
    err_t e = all(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    return err_failed(e);
}
