#include "generator/decode.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "generator/assemble.h"
#include "generator/counters.h"
#include "generator/evaluate.h"
#include "generator/swap.h"
#include "model/engine/engine.h"
#include "model/text/prompt_row.h"
#include "svc/worker.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 1 << 10 };

struct decode {
    struct decode_options options;
    struct backend *be;
    struct model *model;
    struct tokenizer *tokenizer;
    struct stops *stops;
    struct engine *engine;
    struct swap *swap;
    struct worker *worker;
    uint32_t completions;
    int64_t context;                    // tokens of a prompt and a completion together
    struct assembly *waiting, *running; // compute thread; waiting: oldest first, without slots yet
    uint64_t next_tag;
    uint64_t settled_tokens; // sampled, and not in flight any more
    bool serving;            // the first weights are in force
    bool paused;             // no step is made, nor weights taken
    double serving_since_s;
};

/* ---- what the compute thread tells the loop */

struct note {
    struct decode *decode;
    struct group *group;
    struct digest id;
    uint64_t version;
    bool paused;
    err_t why;
};

static void tell(struct decode *decode, void (*fn)(void *), const struct note *note)
{
    struct note *copy = mem_copy(note, sizeof *note);
    copy->decode = decode;
    loop_post(decode->options.loop, fn, copy);
}

static void on_finished(void *arg)
{
    struct note *note = arg;
    note->decode->options.finished(note->decode->options.arg, note->group);
    mem_free(note);
}

static void on_unusable(void *arg)
{
    struct note *note = arg;
    note->decode->options.unusable(note->decode->options.arg, &note->id, note->why);
    mem_free(note);
}

static void on_wanted(void *arg)
{
    struct note *note = arg;
    if (note->decode->worker)
        note->decode->options.wanted(note->decode->options.arg);
    mem_free(note);
}

static void on_applied(void *arg)
{
    struct note *note = arg;
    note->decode->options.applied(note->decode->options.arg, note->version);
    mem_free(note);
}

static void on_paused(void *arg)
{
    struct note *note = arg;
    note->decode->options.paused(note->decode->options.arg, note->paused);
    mem_free(note);
}

static void on_failed(void *arg)
{
    struct note *note = arg;
    note->decode->options.failed(note->decode->options.arg, note->why);
    mem_free(note);
}

/* ---- compute thread: admitting */

static err_t prepare(struct decode *decode, struct assembly *a)
{
    const struct recipe *recipe = decode->options.recipe;
    const struct prompt_rules rules = {.tokenizer = decode->tokenizer,
                                       .column = recipe->data.prompt_column,
                                       .most = recipe->data.max_prompt_tokens,
                                       .context = decode->context,
                                       .max_tokens = recipe->generator.max_tokens};
    char name[64];
    snprintf(name, sizeof name, "row %" PRIu64, a->group->prompt);
    SCOPED_JSON json_t *row = NULL;
    SCOPED_VALUE(prompt_row) prompt = {0};
    TRY(json_parse(a->group->row, strlen(a->group->row), name, &row));
    TRY(prompt_row_read(&rules, row, name, &prompt));
    assembly_set_prompt(a, prompt.token, prompt.tokens);
    a->max_tokens = prompt.max_tokens;
    a->ignore_eos = prompt.ignore_eos;
    return OK;
}

static void admit(void *state, void *arg)
{
    struct decode *decode = state;
    struct lease_grant *grant = arg;
    struct digest id = grant->id;
    const struct recipe *recipe = decode->options.recipe;
    struct assembly *a =
        assembly_new(grant, recipe->run.name, decode->options.generator, decode->model,
                     decode->completions, (float)recipe->generator.temperature);
    a->tag = decode->next_tag++;
    err_t failed = prepare(decode, a);
    if (err_failed(failed)) {
        assembly_free(a);
        tell(decode, on_unusable, &(struct note){.id = id, .why = failed});
        return;
    }
    assembly_append(&decode->waiting, a);
}

static err_t start_one(struct decode *decode, struct assembly *a)
{
    const struct recipe *recipe = decode->options.recipe;
    struct engine_request request = {
        .tag = a->tag,
        .prompt = (const int32_t *)a->group->prompt_token,
        .prompt_tokens = (int)a->group->prompt_tokens,
        .completions = (int)decode->completions,
        .max_tokens = a->max_tokens,
        .sampling = {.repetition_penalty = (float)recipe->generator.repetition_penalty,
                     .temperature = (float)recipe->generator.temperature,
                     .top_k = (int)recipe->generator.top_k,
                     .top_p = (float)recipe->generator.top_p,
                     .min_p = (float)recipe->generator.min_p,
                     .seed = (uint64_t)recipe->run.seed,
                     .prompt = a->group->prompt,
                     .epoch = a->group->epoch},
        .stop = decode->stops->token,
        .stops = a->ignore_eos ? decode->stops->named : decode->stops->tokens,
        .stopped = stops_reached,
        .stopped_arg = decode->stops,
    };
    return engine_admit(decode->engine, &request);
}

static err_t start_waiting(struct decode *decode)
{
    while (decode->waiting && !swap_holds(decode->swap) &&
           engine_free_slots(decode->engine) >= (int)decode->completions) {
        struct assembly *a = assembly_take(&decode->waiting, decode->waiting->tag);
        assembly_append(&decode->running, a);
        TRY(start_one(decode, a));
    }
    return OK;
}

/* ---- compute thread: decoding */

static err_t take_completion(struct decode *decode, const struct engine_completion *c)
{
    struct assembly *a = assembly_find(decode->running, c->tag);
    if (!a)
        return err_new(ERR_INTERNAL, "a completion of request %" PRIu64 ", which is not running",
                       c->tag);
    decode->settled_tokens += (uint64_t)c->tokens;
    TRY(assembly_add(a, c, decode->stops));
    if (a->missing)
        return OK;
    assembly_take(&decode->running, a->tag);
    tell(decode, on_finished, &(struct note){.group = assembly_finish(a)});
    return OK;
}

static err_t step(struct decode *decode)
{
    TRY(start_waiting(decode));
    const struct engine_completion *finished;
    int count;
    TRY(engine_step(decode->engine, &finished, &count));
    for (int i = 0; i < count; i++)
        TRY(take_completion(decode, &finished[i]));
    return OK;
}

static bool has_work(const struct decode *decode)
{
    return engine_active(decode->engine) || (decode->waiting && !swap_holds(decode->swap));
}

static void ask_for_weights(struct decode *decode)
{
    if (swap_wants(decode->swap))
        tell(decode, on_wanted, &(struct note){0});
}

void decode_fail(struct decode *decode, err_t why)
{
    decode->serving = false;
    tell(decode, on_failed, &(struct note){.why = why});
}

/* One step; then at once the next while there is something to decode. */
static int64_t decode_some(void *state)
{
    enum { IDLE_TICK_MS = 100 };
    struct decode *decode = state;
    if (decode->serving && decode->paused) {
        counters_show(decode->engine, decode->serving_since_s);
        return IDLE_TICK_MS;
    }
    ask_for_weights(decode);
    if (!decode->serving)
        return -1;
    struct evaluate *evaluate = decode->options.evaluate;
    const double before_s = engine_counters(decode->engine)->busy_s;
    err_t failed = OK;
    if (has_work(decode))
        failed = step(decode);
    if (!err_failed(failed))
        failed = evaluate_turn(evaluate, engine_counters(decode->engine)->busy_s - before_s);
    if (err_failed(failed))
        decode_fail(decode, failed);
    counters_show(decode->engine, decode->serving_since_s);
    ask_for_weights(decode);
    return has_work(decode) || evaluate_busy(evaluate) ? 0 : IDLE_TICK_MS;
}

/* Versions that come meanwhile are passed over; nothing of the engine is touched. */
static void pause_decoding(void *state, void *arg)
{
    struct decode *decode = state;
    decode->paused = *(const bool *)arg;
    tell(decode, on_paused, &(struct note){.paused = decode->paused});
    mem_free(arg);
}

static void cancel(void *state, void *arg)
{
    struct decode *decode = state;
    struct digest *id = arg;
    struct assembly *a = assembly_find_id(decode->running, id);
    if (a) {
        decode->settled_tokens += (uint64_t)engine_progress(decode->engine, a->tag);
        engine_cancel(decode->engine, a->tag);
    }
    if (a)
        assembly_free(assembly_take(&decode->running, a->tag));
    a = assembly_find_id(decode->waiting, id);
    if (a)
        assembly_free(assembly_take(&decode->waiting, a->tag));
    mem_free(id);
}

struct weights {
    const bf16 *values;
    const bool *changed;
    uint64_t version;
};

static void offer(void *state, void *arg)
{
    (void)arg;
    struct decode *decode = state;
    swap_offer(decode->swap);
}

static void apply(void *state, void *arg)
{
    struct decode *decode = state;
    struct weights *weights = arg;
    struct swapped done;
    err_t failed =
        swap_apply(decode->swap, weights->values, weights->changed, weights->version, &done);
    if (err_failed(failed)) {
        decode_fail(decode, failed);
    } else {
        counters_swapped(weights->version, &done,
                         swap_mode_name(decode->options.recipe->generator.in_flight),
                         engine_counters(decode->engine)->tokens - decode->settled_tokens);
        if (!decode->serving)
            decode->serving_since_s = clock_s();
        decode->serving = true;
        tell(decode, on_applied, &(struct note){.version = weights->version});
    }
    mem_free(weights);
}

static void hold(void *state, void *arg)
{
    (void)arg;
    struct decode *decode = state;
    decode->serving = false;
    swap_force(decode->swap);
}

/* ---- loop thread */

static void post(struct decode *decode, void (*fn)(void *, void *), void *arg)
{
    if (!decode->worker)
        fn(decode, arg); // its thread has ended: what it owned is the caller's
    else
        (void)worker_push(decode->worker, fn, arg); // prompts bounds how many leases are held
}

void decode_run(struct decode *decode, void (*fn)(void *decode, void *arg), void *arg)
{
    post(decode, fn, arg);
}

void decode_admit(struct decode *decode, struct lease_grant *grant)
{
    post(decode, admit, grant);
}

void decode_cancel(struct decode *decode, const struct digest *id)
{
    post(decode, cancel, mem_copy(id, sizeof *id));
}

void decode_pause(struct decode *decode, bool paused)
{
    post(decode, pause_decoding, mem_copy(&paused, sizeof paused));
}

void decode_offer(struct decode *decode)
{
    post(decode, offer, NULL);
}

void decode_weights(struct decode *decode, const bf16 *values, const bool *changed,
                    uint64_t version)
{
    struct weights weights = {values, changed, version};
    post(decode, apply, mem_copy(&weights, sizeof weights));
}

void decode_hold(struct decode *decode)
{
    post(decode, hold, NULL);
}

const struct model *decode_model(const struct decode *decode)
{
    return decode->model;
}

uint32_t decode_groups(const struct decode *decode)
{
    return (uint32_t)decode->options.recipe->generator.slots / decode->completions;
}

static err_t build(struct decode *decode)
{
    const struct recipe *recipe = decode->options.recipe;
    const char *path = recipe->model.path;
    TRY(backend_open(NULL,
                     &(struct backend_config){.threads = (int)recipe->generator.threads,
                                              .cpus = recipe->generator.cpus},
                     &decode->be));
    TRY(model_load_compact(decode->be, path, &decode->model));
    decode->model->kv = (enum kv_format)recipe->model.kv;
    TRY(tokenizer_load(path, &decode->tokenizer));
    const struct model_config *config = &decode->model->config;
    TRY(err_wrap(
        tokenizer_check(decode->tokenizer, config->V, config->eos_count ? config->eos[0] : -1),
        "model.path '%s'", path));
    TRY(assembly_stops(recipe, config, decode->tokenizer, &decode->stops));
    TRY(err_wrap(config_room(config, recipe->generator.max_tokens), "generator.max_tokens"));
    const int64_t longest = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    decode->context = longest < config->max_positions ? longest : config->max_positions;
    const int64_t slots = recipe->generator.slots, rows = recipe->generator.step_rows;
    struct engine_config engine = {.slots = (int)slots,
                                   .max_context = (int)decode->context,
                                   .step_rows = (int)(rows > slots ? rows : slots),
                                   .kv_bytes = (size_t)recipe->generator.kv_bytes};
    TRY(engine_new(decode->model, &engine, &decode->engine));
    log_info("memory planned", "weights_mib=%zu engine_mib=%zu", model_bytes(decode->model) >> 20,
             engine_bytes(decode->engine) >> 20);
    decode->swap = swap_new(decode->model, decode->engine, recipe->generator.in_flight);
    return OK;
}

err_t decode_start(const struct decode_options *options, struct decode **ret)
{
    SCOPED(decode) decode = mem_new(sizeof *decode);
    counters_register();
    decode->options = *options;
    decode->completions = (uint32_t)options->recipe->generator.num_generations;
    TRY(build(decode));
    struct worker_options worker = {.name = "compute",
                                    .capacity = CAPACITY,
                                    .state = decode,
                                    .idle = decode_some,
                                    .cpus = options->recipe->generator.cpus};
    TRY(worker_start(&worker, &decode->worker));
    *ret = STEAL(decode);
    return OK;
}

void decode_stop(struct decode *decode)
{
    if (decode)
        worker_free(STEAL(decode->worker));
}

void decode_free(struct decode *decode)
{
    if (!decode)
        return;
    decode_stop(decode);
    while (decode->waiting)
        assembly_free(assembly_take(&decode->waiting, decode->waiting->tag));
    while (decode->running)
        assembly_free(assembly_take(&decode->running, decode->running->tag));
    swap_free(decode->swap);
    engine_free(decode->engine);
    stops_free(decode->stops);
    tokenizer_free(decode->tokenizer);
    model_free(decode->model);
    backend_free(decode->be);
    mem_free(decode);
}
