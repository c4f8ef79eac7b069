#include "generator/evaluate.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "generator/assemble.h"
#include "generator/loaded.h"
#include "model/engine/engine.h"
#include "svc/metrics.h"
#include "weights/stream/subscriber.h"
#include <inttypes.h>
#include <string.h>

enum {
    SLOTS = 64, // a step of so many rows costs little, and its KV as much as a few groups'
    STEP_ROWS = 2 * SLOTS, // prompts are cut to fit: how long training waits for one step at most
    /* Of training's seconds that evaluation may take where training never pauses: 1 / SHARE. Less,
     * and an evaluation outlasts the rounds to the next one; more, and the generator's rate suffers
     * visibly. */
    SHARE = 8,
    PROMPT_BYTES_MAX = 4 << 20,
};

struct evaluate {
    struct evaluate_options options;
    struct decode *decode;
    struct subscriber *subscriber;
    bool applying; // loop: values are taken, until they are in force
    /* compute thread: */
    struct backend *be;
    struct model *model;
    struct tokenizer *tokenizer;
    struct stops *stops;
    struct engine *engine;
    struct sampling sampling;
    int context, max_tokens;
    struct assembly *waiting, *running; // oldest first
    uint64_t next_tag;
    bool holds;
    uint32_t lineage;
    uint64_t version;
    double credit_s; // seconds that it may still take; negative: it has had too much
};

static struct metric seconds =
    METRIC_GAUGE("rlhfd_evaluate_seconds", "spent decoding for evaluations");
static struct metric version_now =
    METRIC_GAUGE("rlhfd_evaluate_version", "version of the weights held for evaluation");
static struct metric *const rows[] = {&seconds, &version_now};

double evaluate_seconds(void)
{
    return metric_value(&seconds);
}

/* ---- what the compute thread tells the loop */

struct note {
    struct evaluate *evaluate;
    struct group *group;
    uint32_t lineage;
    uint64_t version;
    err_t why;
};

static void tell(struct evaluate *e, void (*fn)(void *), const struct note *note)
{
    struct note *copy = mem_copy(note, sizeof *note);
    copy->evaluate = e;
    loop_post(e->options.loop, fn, copy);
}

static void on_finished(void *arg)
{
    struct note *note = arg;
    note->evaluate->options.finished(note->evaluate->options.arg, note->group);
    mem_free(note);
}

static void on_unusable(void *arg)
{
    struct note *note = arg;
    note->evaluate->options.unusable(note->evaluate->options.arg, note->group, note->why);
    group_free(note->group);
    mem_free(note);
}

/* ---- compute thread: admitting */

/* Of a longer prompt the last data.max_prompt_tokens, as `rlhfctl eval` cuts. */
static err_t encode_prompt(struct evaluate *e, const char *text, struct assembly *a)
{
    size_t len = strlen(text);
    if (len > PROMPT_BYTES_MAX)
        return err_new(ERR_RANGE, "a prompt of %zu bytes; at most %d are allowed", len,
                       PROMPT_BYTES_MAX);
    SCOPED_MEM int32_t *ids = mem_array(len + 1, sizeof *ids);
    int count;
    TRY(tokenizer_encode(e->tokenizer, text, len, (int)len + 1, ids, &count));
    const int64_t most = e->options.recipe->data.max_prompt_tokens;
    const int cut = count > most ? count - (int)most : 0;
    if (count - cut < 1 || count - cut >= e->context)
        return err_new(ERR_RANGE, "a prompt of %d tokens; 1 to %d are allowed", count - cut,
                       e->context - 1);
    assembly_set_prompt(a, ids + cut, count - cut);
    return OK;
}

static err_t prepare(struct evaluate *e, struct assembly *a)
{
    char name[64];
    const char *text;
    snprintf(name, sizeof name, "data.eval, row %" PRIu64, a->group->prompt);
    SCOPED_JSON json_t *row = NULL;
    TRY(json_parse(a->group->row, strlen(a->group->row), name, &row));
    TRY(json_get_text(row, name, e->options.recipe->data.prompt_column, &text));
    TRY(err_wrap(encode_prompt(e, text, a), "%s", name));
    const int room = e->context - (int)a->group->prompt_tokens;
    a->max_tokens = e->max_tokens < room ? e->max_tokens : room;
    return OK;
}

struct errand {
    struct evaluate *evaluate;
    struct lease_grant *grant;
    const bf16 *values; // NULL: those in force
    const bool *changed;
    struct manifest manifest;
};

static void grant_free(struct lease_grant *grant)
{
    mem_free(grant->row);
    mem_free(grant);
}

static void admit(void *decode, void *arg)
{
    (void)decode;
    struct errand *errand = arg;
    struct evaluate *e = errand->evaluate;
    struct lease_grant *grant = errand->grant;
    mem_free(errand);
    if (!e->holds || grant->lineage != e->lineage || grant->version != e->version) {
        grant_free(grant); // newer weights came between: what was leased for the older is forgotten
        return;
    }
    struct assembly *a = assembly_new(grant, e->options.recipe->run.name, e->options.generator,
                                      e->model, 1, e->sampling.temperature);
    a->tag = e->next_tag++;
    err_t failed = prepare(e, a);
    if (err_failed(failed))
        tell(e, on_unusable, &(struct note){.group = assembly_finish(a), .why = failed});
    else
        assembly_append(&e->waiting, a);
}

static err_t start_waiting(struct evaluate *e)
{
    while (e->waiting && engine_free_slots(e->engine)) {
        struct assembly *a = assembly_take(&e->waiting, e->waiting->tag);
        assembly_append(&e->running, a);
        struct engine_request request = {.tag = a->tag,
                                         .prompt = (const int32_t *)a->group->prompt_token,
                                         .prompt_tokens = (int)a->group->prompt_tokens,
                                         .completions = 1,
                                         .max_tokens = a->max_tokens,
                                         .sampling = e->sampling,
                                         .stop = e->stops->token,
                                         .stops = e->stops->tokens,
                                         .stopped = stops_reached,
                                         .stopped_arg = e->stops};
        request.sampling.prompt = a->group->prompt;
        TRY(engine_admit(e->engine, &request));
    }
    return OK;
}

/* ---- compute thread: a turn */

static err_t step(struct evaluate *e)
{
    const struct engine_completion *finished;
    int count;
    TRY(start_waiting(e));
    TRY(engine_step(e->engine, &finished, &count));
    for (int i = 0; i < count; i++) {
        struct assembly *a = assembly_find(e->running, finished[i].tag);
        TRY(assembly_add(a, &finished[i], e->stops));
        a = assembly_take(&e->running, finished[i].tag);
        tell(e, on_finished, &(struct note){.group = assembly_finish(a)});
    }
    return OK;
}

static void charge(struct evaluate *e, double begun)
{
    const double took = clock_s() - begun;
    e->credit_s -= took;
    metric_add(&seconds, took);
}

bool evaluate_busy(const struct evaluate *e)
{
    return e && (e->waiting || e->running);
}

err_t evaluate_turn(struct evaluate *e, double training_s)
{
    if (!evaluate_busy(e))
        return OK;
    if (training_s > 0) {
        e->credit_s += training_s / SHARE;
        if (e->credit_s <= 0)
            return OK;
    } else {
        e->credit_s = 0; // nobody waits: nothing is owed
    }
    const double begun = clock_s();
    err_t failed = err_wrap(step(e), "evaluation");
    charge(e, begun);
    if (training_s == 0)
        e->credit_s = 0;
    return failed;
}

static void drop_all(struct evaluate *e)
{
    while (e->waiting)
        assembly_free(assembly_take(&e->waiting, e->waiting->tag));
    while (e->running) {
        engine_cancel(e->engine, e->running->tag);
        assembly_free(assembly_take(&e->running, e->running->tag));
    }
}

/* ---- weights: staged on the loop, put in force between two steps */

static void take_weights(struct evaluate *e);

static void on_ready(void *arg)
{
    struct note *note = arg;
    struct evaluate *e = note->evaluate;
    e->applying = false;
    metric_set(&version_now, (double)note->version);
    e->options.ready(e->options.arg, note->lineage, note->version);
    subscriber_applied(e->subscriber);
    take_weights(e);
    mem_free(note);
}

static void apply(void *decode, void *arg)
{
    struct errand *errand = arg;
    struct evaluate *e = errand->evaluate;
    const struct manifest *m = &errand->manifest;
    const double begun = clock_s();
    drop_all(e);
    err_t failed = errand->values ? model_put(e->model, errand->values, errand->changed) : OK;
    if (err_failed(failed)) {
        decode_fail(decode, failed);
    } else {
        engine_set_version(e->engine, m->version);
        e->holds = true;
        e->lineage = m->lineage;
        e->version = m->version;
        tell(e, on_ready, &(struct note){.lineage = m->lineage, .version = m->version});
    }
    charge(e, begun);
    mem_free(errand);
}

static void take_weights(struct evaluate *e)
{
    struct errand errand = {.evaluate = e};
    if (e->applying)
        return;
    if (!subscriber_take(e->subscriber, &errand.manifest, &errand.values))
        return;
    errand.changed = subscriber_changed(e->subscriber);
    e->applying = true;
    decode_run(e->decode, apply, mem_copy(&errand, sizeof errand));
}

static void on_staged(struct subscriber *subscriber, const struct manifest *manifest, void *user)
{
    (void)manifest;
    struct evaluate *e = user;
    e->subscriber = subscriber;
    take_weights(e);
}

static void on_down(struct subscriber *subscriber, err_t why, void *user)
{
    (void)subscriber;
    struct evaluate *e = user;
    e->options.down(e->options.arg, why);
}

err_t evaluate_open(struct evaluate *e, struct decode *decode, const struct evaluate_stream *stream)
{
    if (!e)
        return OK;
    const struct recipe *recipe = e->options.recipe;
    struct digest digest;
    TRY(model_digest(e->model, &digest));
    e->decode = decode;
    struct subscriber_options options = {.target = recipe->generator.learner,
                                         .insecure = recipe->net.insecure,
                                         .run = recipe->run.name,
                                         .generator = e->options.generator,
                                         .incarnation = stream->incarnation,
                                         .loop = e->options.loop,
                                         .layout = e->model->params->layout,
                                         .digest = &digest,
                                         .values = loaded_values,
                                         .arg = e->model,
                                         .evaluated = true};
    struct subscriber_handlers handlers = {.staged = on_staged, .down = on_down};
    return subscriber_open(stream->rpc, &options, &handlers, e, &e->subscriber);
}

void evaluate_admit(struct evaluate *e, struct lease_grant *grant)
{
    struct errand errand = {.evaluate = e, .grant = grant};
    decode_run(e->decode, admit, mem_copy(&errand, sizeof errand));
}

/* ---- putting it together */

static err_t set_sampling(struct evaluate *e)
{
    const struct recipe *recipe = e->options.recipe;
    e->sampling =
        (struct sampling){.repetition_penalty = (float)recipe->generator.repetition_penalty,
                          .temperature = (float)recipe->eval.temperature,
                          .seed = (uint64_t)recipe->run.seed,
                          .epoch = UINT32_MAX};
    if (e->sampling.temperature > 0) {
        e->sampling.top_k = (int)recipe->generator.top_k;
        e->sampling.top_p = (float)recipe->generator.top_p;
        e->sampling.min_p = (float)recipe->generator.min_p;
    }
    return err_wrap(sampling_check(&e->sampling), "%s: eval.temperature", recipe->file);
}

static err_t build(struct evaluate *e)
{
    const struct recipe *recipe = e->options.recipe;
    TRY(backend_open(NULL,
                     &(struct backend_config){.threads = (int)recipe->generator.threads,
                                              .cpus = recipe->generator.cpus},
                     &e->be));
    TRY(model_load_compact(e->be, recipe->model.path, &e->model));
    const struct model_config *config = &e->model->config;
    e->model->kv = (enum kv_format)recipe->model.kv;
    TRY(tokenizer_load(recipe->model.path, &e->tokenizer));
    TRY(assembly_stops(recipe, config, e->tokenizer, &e->stops));
    int64_t context = recipe->data.max_prompt_tokens + recipe->generator.max_tokens;
    e->context = (int)(context < config->max_positions ? context : config->max_positions);
    e->max_tokens = (int)recipe->generator.max_tokens;
    struct engine_config engine = {
        .slots = (int)(recipe->generator.slots < SLOTS ? recipe->generator.slots : SLOTS),
        .max_context = e->context,
        .step_rows = STEP_ROWS};
    return err_wrap(engine_new(e->model, &engine, &e->engine), "evaluation");
}

err_t evaluate_new(const struct evaluate_options *options, struct evaluate **ret)
{
    *ret = NULL;
    if (!options->recipe->eval.every)
        return OK;
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(evaluate) e = mem_new(sizeof *e);
    e->options = *options;
    TRY(set_sampling(e));
    TRY(build(e));
    *ret = STEAL(e);
    return OK;
}

uint32_t evaluate_slots(const struct evaluate *e)
{
    return e ? (uint32_t)(engine_free_slots(e->engine) + engine_active(e->engine)) : 0;
}

void evaluate_free(struct evaluate *e)
{
    if (!e)
        return;
    subscriber_free(e->subscriber);
    if (e->engine)
        drop_all(e);
    engine_free(e->engine);
    stops_free(e->stops);
    tokenizer_free(e->tokenizer);
    model_free(e->model);
    backend_free(e->be);
    mem_free(e);
}
