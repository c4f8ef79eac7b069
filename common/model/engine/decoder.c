#include "model/engine/decoder.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/device_memory.h"
#include "model/engine/step_cost.h"
#include "model/files/fit.h"
#include "svc/recipe/recipe.h"
#include <inttypes.h>
#include <string.h>

/* The most by which requests of a higher rank may lengthen the steps of those of a lower. */
static const double CROWDED = 1.25;

/* A request under way. */
struct job {
    struct job *next;
    uint64_t tag; // names it in the engine
    uint64_t rank;
    struct digest id;
    uint64_t prompt;
    uint32_t epoch;
    int max_tokens, missing; // missing: completions that have not ended
    bool ignore_eos;
    struct decoded *decoded;
};

struct decoder {
    struct backend *be;
    struct model *model;
    struct tokenizer *tokenizer;
    struct stops *stops;
    struct engine *engine;
    struct sampling sampling;
    struct prompt_rules rules;
    struct row_chat chat;
    char *column[3];                          // the names in rules
    struct job *waiting, *running, *finished; // oldest first
    uint64_t next_tag;
    struct step_cost cost;
    bool holds;
};

/* ---- lists of jobs */

static void append(struct job **list, struct job *job)
{
    while (*list)
        list = &(*list)->next;
    job->next = NULL;
    *list = job;
}

static struct job *unlink_job(struct job **at)
{
    struct job *job = *at;
    if (job)
        *at = job->next;
    return job;
}

static struct job **by_tag(struct job **list, uint64_t tag)
{
    while (*list && (*list)->tag != tag)
        list = &(*list)->next;
    return list;
}

static struct job **by_id(struct job **list, const struct digest *id)
{
    while (*list && !digest_equal(&(*list)->id, id))
        list = &(*list)->next;
    return list;
}

void decoded_free(struct decoded *decoded)
{
    if (!decoded)
        return;
    for (int i = 0; i < decoded->completions; i++) {
        struct decoded_completion *c = &decoded->completion[i];
        mem_free(c->token);
        mem_free(c->logp);
        mem_free(c->sampled_logp);
        mem_free(c->span);
        mem_free(c->text);
    }
    mem_free(decoded->completion);
    mem_free(decoded->prompt_token);
    mem_free(decoded);
}

static void *job_free(struct job *job)
{
    if (!job)
        return NULL;
    void *arg = job->decoded->arg;
    decoded_free(job->decoded);
    mem_free(job);
    return arg;
}

/* ---- opening */

struct engine_config decoder_plan(const struct decoder_options *options,
                                  const struct model_config *config)
{
    return (struct engine_config){
        .slots = options->slots,
        .max_context = config_context(config, options->max_prompt_tokens, options->max_tokens),
        .step_rows = options->step_rows,
        .kv_bytes = options->kv_bytes};
}

struct prompt_rules decoder_rules(const struct decoder_options *options,
                                  const struct model_config *config,
                                  const struct tokenizer *tokenizer, const struct row_chat *chat)
{
    struct row_rules rows = options->rows;
    rows.tokenizer = tokenizer;
    rows.chat = chat;
    rows.end = tokenizer_end(tokenizer, config);
    return (struct prompt_rules){
        .rows = rows,
        .most = options->max_prompt_tokens,
        .context = config_context(config, options->max_prompt_tokens, options->max_tokens),
        .max_tokens = options->max_tokens};
}

err_t decoder_load(struct backend *be, const char *directory, struct model **ret_model,
                   struct tokenizer **ret_tokenizer, struct row_chat *ret_chat)
{
    SCOPED(model) model = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED_MEM char *base = NULL;
    TRY(adapter_under(directory, &base));
    TRY(fit_model(be, base, sizeof(bf16), "the model's weights"));
    TRY(adapter_open(be, directory, true, &model));
    SCOPED_MEM char *own = file_join(directory, tokenizer_file(0));
    const char *texts = file_exists(own) ? directory : base;
    TRY(tokenizer_load(texts, &tokenizer));
    TRY(err_wrap(tokenizer_check(tokenizer, &model->config), "'%s'", directory));
    *ret_chat = row_chat_open(texts);
    *ret_model = STEAL(model);
    *ret_tokenizer = STEAL(tokenizer);
    return OK;
}

/* Told before the model is read. Its loader says what is wrong with its files. */
static err_t fits_device(const struct decoder_options *options, struct backend *be)
{
    struct model_config policy, adapter = {.lora.r = 0};
    SCOPED_MEM char *base = NULL;
    err_t unknown = adapter_under(options->directory, &base);
    if (!err_failed(unknown))
        unknown = config_read(base, &policy);
    if (!err_failed(unknown) && options->adapted)
        unknown = adapter_shape(options->adapted, &policy, &adapter);
    if (err_failed(unknown)) {
        err_free(unknown);
        return OK;
    }
    const struct device_shapes shapes = {.policy = &policy,
                                         .adapter = adapter.lora.r ? &adapter : NULL};
    const struct engine_config engine = decoder_plan(options, &policy);
    struct device_memory m;
    char advice[100];
    size_t available = 0;
    device_memory_of_decoder(&shapes, &engine, &m);
    m.changes = options->updated ? m.changes : 0;
    be->ops->capacity(be, &available);
    const double room = (double)available - (device_memory_asked(&m) - m.kv);
    snprintf(advice, sizeof advice, "generator.kv_bytes: %.0f fits, or fewer generator.slots",
             room);
    return device_memory_fits(be, &m, "decoding",
                              room > 0 ? advice : "fewer generator.step_rows need less");
}

err_t decoder_open(const struct decoder_options *options, struct decoder **ret)
{
    SCOPED(decoder) d = mem_new(sizeof *d);
    TRY(sampling_check(&options->sampling));
    const bool of_recipe = options->backend.wanted != BACKEND_NAMED;
    TRY(err_wrap(backend_open(NULL, &options->backend, &d->be),
                 of_recipe ? "generator.backend" : "RLHFD_BACKEND"));
    if (d->be->apart)
        TRY(fits_device(options, d->be));
    TRY(decoder_load(d->be, options->directory, &d->model, &d->tokenizer, &d->chat));
    if (options->adapted && strcmp(options->directory, options->adapted->model.path) == 0)
        TRY(err_wrap(
            adapter_begin(d->model, options->directory, options->adapted, options->sampling.seed),
            "lora"));
    TRY(model_keep_kv(d->model, options->kv));
    const struct model_config *config = &d->model->config;
    TRY(err_wrap(stops_new(d->tokenizer, config, &options->stop, &d->stops),
                 "generator.stop_tokens"));
    TRY(err_wrap(config_room(config, options->max_tokens), "generator.max_tokens"));
    const struct engine_config plan = decoder_plan(options, config);
    TRY(engine_new(d->model, &plan, &d->engine));
    d->sampling = options->sampling;
    d->rules = decoder_rules(options, config, d->tokenizer, &d->chat);
    struct row_names *names = &d->rules.rows.names;
    names->prompt = d->column[0] = mem_string(names->prompt);
    names->completion = d->column[1] = mem_string(names->completion);
    names->text = d->column[2] = mem_string(names->text);
    *ret = STEAL(d);
    return OK;
}

/* ---- admitting */

const struct prompt_rules *decoder_rows(const struct decoder *d)
{
    return &d->rules;
}

err_t decoder_read(const struct decoder *d, const json_t *row, const char *name,
                   struct prompt_row *ret)
{
    return prompt_row_read(&d->rules, row, name, ret);
}

err_t decoder_admit(struct decoder *d, const struct decoder_request *request)
{
    SCOPED_VALUE(prompt_row) prompt = {0};
    const int slots = engine_active(d->engine) + engine_free_slots(d->engine);
    if (request->completions < 1 || request->completions > slots)
        return err_new(ERR_INVALID, "%s: %d completions; 1 to %d, the slots, are allowed",
                       request->name, request->completions, slots);
    TRY(decoder_read(d, request->row, request->name, &prompt));
    struct decoded *decoded = mem_new(sizeof *decoded);
    struct job *job = mem_new(sizeof *job);
    *decoded = (struct decoded){.arg = request->arg,
                                .prompt_tokens = prompt.tokens,
                                .completions = request->completions,
                                .prompt_token = STEAL(prompt.token)};
    decoded->completion = mem_array((size_t)request->completions, sizeof *decoded->completion);
    *job = (struct job){.tag = d->next_tag++,
                        .rank = request->rank,
                        .id = request->id,
                        .prompt = request->prompt,
                        .epoch = request->epoch,
                        .max_tokens = prompt.max_tokens,
                        .missing = request->completions,
                        .ignore_eos = prompt.ignore_eos,
                        .decoded = decoded};
    append(&d->waiting, job);
    return OK;
}

bool decoder_has_room(const struct decoder *d, int completions)
{
    return !d->waiting && !d->holds && engine_free_slots(d->engine) >= completions;
}

/* Whether the next request is in the way of those of a lower rank. It brings the rows of its prompt
 * at once, and is one more request that decodes. */
static bool crowds(const struct decoder *d)
{
    int first = 0, all = d->waiting->decoded->prompt_tokens;
    for (const struct job *job = d->running; job; job = job->next) {
        all += job->missing;
        first += job->rank < d->waiting->rank ? job->missing : 0;
    }
    return first && engine_running(d->engine) && step_cost_ratio(&d->cost, first, all) > CROWDED;
}

static bool next_begins(const struct decoder *d)
{
    return d->waiting && !d->holds &&
           engine_free_slots(d->engine) >= d->waiting->decoded->completions && !crowds(d);
}

static err_t begin(struct decoder *d, const struct job *job)
{
    struct engine_request request = {.tag = job->tag,
                                     .prompt = job->decoded->prompt_token,
                                     .prompt_tokens = job->decoded->prompt_tokens,
                                     .completions = job->decoded->completions,
                                     .max_tokens = job->max_tokens,
                                     .sampling = d->sampling,
                                     .stop = d->stops->token,
                                     .stops = job->ignore_eos ? d->stops->named : d->stops->tokens,
                                     .stopped = stops_reached,
                                     .stopped_arg = d->stops};
    request.sampling.prompt = job->prompt;
    request.sampling.epoch = job->epoch;
    return engine_admit(d->engine, &request);
}

/* ---- decoding */

/* A finished completion into its place. */
static err_t keep(struct decoder *d, const struct engine_completion *c)
{
    struct job **at = by_tag(&d->running, c->tag), *job = *at;
    if (!job)
        return err_new(ERR_INTERNAL, "a completion of request %" PRIu64 ", which is not running",
                       c->tag);
    SCOPED_VALUE(bytes) text = {0};
    TRY(stops_text(d->stops, c, &text));
    const size_t n = (size_t)c->tokens;
    struct decoded_completion *to = &job->decoded->completion[c->completion];
    *to = (struct decoded_completion){
        .tokens = c->tokens,
        .token = mem_copy(c->token, n * sizeof *c->token),
        .logp = mem_copy(c->logp, n * sizeof *c->logp),
        .spans = c->spans,
        .span = mem_copy(c->span, (size_t)c->spans * sizeof *c->span),
        .finish = c->finish,
        .text_len = text.len,
    };
    if (c->sampled_logp)
        to->sampled_logp = mem_copy(c->sampled_logp, n * sizeof *c->sampled_logp);
    to->text = mem_array(text.len + 1, 1);
    if (text.len)
        memcpy(to->text, text.data, text.len);
    if (!--job->missing)
        append(&d->finished, unlink_job(at));
    return OK;
}

err_t decoder_step(struct decoder *d)
{
    const struct engine_completion *finished;
    int count;
    while (next_begins(d)) {
        struct job *job = unlink_job(&d->waiting);
        append(&d->running, job);
        TRY(begin(d, job));
    }
    const struct engine_counters before = *engine_counters(d->engine);
    TRY(engine_step(d->engine, &finished, &count));
    const struct engine_counters *after = engine_counters(d->engine);
    if (after->rows > before.rows)
        step_cost_add(&d->cost, (double)(after->rows - before.rows), after->busy_s - before.busy_s);
    for (int i = 0; i < count; i++)
        TRY(keep(d, &finished[i]));
    return OK;
}

bool decoder_busy(const struct decoder *d)
{
    return engine_running(d->engine) > 0 || next_begins(d);
}

void decoder_hold(struct decoder *d, bool holds)
{
    d->holds = holds;
}

struct decoded *decoder_take(struct decoder *d)
{
    struct job *job = unlink_job(&d->finished);
    struct decoded *decoded = job ? job->decoded : NULL;
    mem_free(job);
    return decoded;
}

/* ---- requests that stop, stand still and go on */

static void *forget_running(struct decoder *d, struct job **at)
{
    if (*at)
        engine_cancel(d->engine, (*at)->tag);
    return job_free(unlink_job(at));
}

void *decoder_cancel(struct decoder *d, const struct digest *id)
{
    void *arg = forget_running(d, by_id(&d->running, id));
    return arg ? arg : job_free(unlink_job(by_id(&d->waiting, id)));
}

void *decoder_drop(struct decoder *d)
{
    if (d->finished)
        return job_free(unlink_job(&d->finished));
    return d->running ? forget_running(d, &d->running) : job_free(unlink_job(&d->waiting));
}

bool decoder_suspend(struct decoder *d, const struct digest *id, int completion)
{
    const struct job *job = *by_id(&d->running, id);
    return job && engine_suspend(d->engine, job->tag, completion);
}

bool decoder_resume(struct decoder *d, const struct digest *id, int completion)
{
    const struct job *job = *by_id(&d->running, id);
    return job && engine_resume(d->engine, job->tag, completion);
}

/* ---- looking at it */

struct decoder_figures decoder_figures(const struct decoder *d)
{
    const struct engine_counters *c = engine_counters(d->engine);
    return (struct decoder_figures){.busy_s = c->busy_s,
                                    .tokens = c->tokens,
                                    .recomputed_tokens = c->recomputed_tokens,
                                    .preemptions = c->preemptions,
                                    .active_slots = engine_active(d->engine),
                                    .free_pages = engine_free_pages(d->engine),
                                    .bytes = engine_bytes(d->engine)};
}

uint64_t decoder_in_flight(const struct decoder *d)
{
    uint64_t tokens = 0;
    for (const struct job *job = d->running; job; job = job->next)
        tokens += (uint64_t)engine_progress(d->engine, job->tag);
    return tokens;
}

struct model *decoder_model(const struct decoder *d)
{
    return d->model;
}

struct engine *decoder_engine(const struct decoder *d)
{
    return d->engine;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    struct job **const lists[] = {&d->waiting, &d->running, &d->finished};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        while (*lists[i])
            job_free(unlink_job(lists[i]));
    engine_free(d->engine);
    stops_free(d->stops);
    tokenizer_free(d->tokenizer);
    model_free(d->model);
    backend_free(d->be);
    for (int i = 0; i < 3; i++)
        mem_free(d->column[i]);
    row_chat_done(&d->chat);
    mem_free(d);
}
