#include "rewarder/http/http_scorer.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "rewarder/answer_fault.h"
#include "rewarder/http/fetch.h"
#include "rewarder/http/shape.h"
#include <string.h>

static const struct recipe_option keys[] = {
    STAGE_KEY(struct http_keys, text, url, "",
              "the server's address: http://HOST:PORT/PATH, or https", .min = 8, .max = 2000,
              .required = true),
    STAGE_KEY(struct http_keys, choice, shape, "rlhfd", "of requests and answers (docs/rewards.md)",
              .words = SHAPE_WORDS),
    STAGE_KEY(struct http_keys, count, batch, "0",
              "completions in a request; 0: as the shape has it, a whole group or one",
              .max = 1024),
    STAGE_KEY(struct http_keys, count, concurrency, "32",
              "requests at a time of this rewarder, each on a connection of its own", .min = 1,
              .max = 1024),
    STAGE_KEY(struct http_keys, count, timeout_ms, "30000",
              "of one try of a request, to the answer's last byte", .min = 1, .max = 86400000),
    STAGE_KEY(struct http_keys, count, tries, "3",
              "of one request within an attempt, with pauses of 100 ms doubled and jittered",
              .min = 1, .max = 100),
    STAGE_KEY(struct http_keys, count, answer_mib, "16", "an answer's bytes, at most", .min = 1,
              .max = 256),
    STAGE_KEY(struct http_keys, text, model, "",
              "the model that requests name (classify, embeddings, nemo_gym)", .max = 500),
    STAGE_KEY(struct http_keys, text, label_column, "label",
              "column of the row that requests show as the label (openrlhf, slime)", .min = 1,
              .max = 256),
    STAGE_KEY(struct http_keys, text, score_key, "",
              "slime: the answer's member that is the score; empty: the answer itself", .max = 256),
    STAGE_KEY(struct http_keys, path, template, "",
              "absolute name of a Hugging Face directory whose chat template writes prompt and "
              "completion for the server's model (openrlhf, classify, embeddings); empty: the "
              "policy's prompt, then the completion"),
    STAGE_KEY(struct http_keys, path, ca_file, "",
              "absolute name of a file of certificates that https trusts; empty: the system's"),
    STAGE_KEY(struct http_keys, path, key_file, "",
              "absolute name of a file whose text is sent as a bearer key; read again when it "
              "changes"),
};

struct http {
    const struct http_keys *keys;
    const struct shape *shape;
    struct exchange *exchange;
    struct fetcher *fetcher;
    struct row_chat chat;
    struct row_rules rules;
    struct shape_context context;
    struct job *jobs; // the fetcher's thread
};

/* A part of a group, asked in one request. */
struct ask {
    struct fetch of; // first
    struct job *job;
    struct exchange_part part;
    json_t *request;
    char *body;
    bool open; // its done has not come
};

/* A group that is being scored. */
struct job {
    struct http *http;
    struct stage_call *call;
    struct job *next, **prev;
    double *score; // (completions)
    size_t asks, left;
    struct ask *ask; // (asks)
};

/* ---- the end of a group; the fetcher's thread, like all of these */

/* Takes failed. */
static void job_end(struct job *job, err_t failed)
{
    struct stage_call *call = job->call;
    if (job->next)
        job->next->prev = job->prev;
    *job->prev = job->next;
    if (!err_failed(failed))
        memcpy(group_add(call->added, COLUMN_SCORES, 1), job->score,
               call->group->completions * sizeof *job->score);
    for (size_t i = 0; i < job->asks; i++) {
        struct ask *ask = &job->ask[i];
        if (ask->open)
            fetch_cancel(job->http->fetcher, &ask->of);
        json_decref(ask->request);
        mem_free(ask->body);
    }
    mem_free(job->ask);
    mem_free(job->score);
    mem_free(job);
    call->done(call, failed);
}

static err_t read_answer(struct fetch *of, const void *data, size_t len)
{
    struct ask *ask = (struct ask *)of;
    const struct http *http = ask->job->http;
    SCOPED_JSON json_t *answer = NULL;
    TRY(exchange_parse(data, len, &answer));
    return http->shape->read(&http->context, ask->request, answer, ask->part.count,
                             ask->job->score + ask->part.first);
}

static void answered(struct fetch *of, err_t failed)
{
    struct ask *ask = (struct ask *)of;
    struct job *job = ask->job;
    ask->open = false;
    if (err_failed(failed) || !--job->left)
        job_end(job, failed);
}

/* ---- its beginning */

static err_t ask_one(struct job *job, struct ask *ask)
{
    const struct http *http = job->http;
    const struct stage_call *call = job->call;
    TRY(http->shape->ask(&http->context, call->group, call->row, &ask->part, &ask->request));
    ask->body = json_to_text(ask->request);
    ask->of = (struct fetch){.body = ask->body,
                             .body_len = strlen(ask->body),
                             .due_s = call->deadline_s,
                             .salt = be64_load(call->group->id.byte) + ask->part.first,
                             .read = read_answer,
                             .done = answered};
    return OK;
}

static void begin(void *state, void *arg)
{
    struct http *http = state;
    struct stage_call *call = arg;
    struct job *job = mem_new(sizeof *job);
    const uint32_t all = call->group->completions, most = http->shape->most;
    uint32_t batch = http->keys->batch ? (uint32_t)http->keys->batch : http->shape->usually;
    err_t failed = OK;
    if (!batch || batch > all)
        batch = all;
    if (most && batch > most)
        batch = most;
    *job = (struct job){.http = http, .call = call, .next = http->jobs, .prev = &http->jobs};
    if (job->next)
        job->next->prev = &job->next;
    http->jobs = job;
    job->asks = job->left = (all + batch - 1) / batch;
    job->ask = mem_array(job->asks, sizeof *job->ask);
    job->score = mem_array(all, sizeof *job->score);
    for (size_t i = 0; i < job->asks && !err_failed(failed); i++) {
        struct ask *ask = &job->ask[i];
        const uint32_t first = (uint32_t)i * batch, rest = all - first;
        ask->job = job;
        ask->part = (struct exchange_part){first, rest < batch ? rest : batch};
        failed = ask_one(job, ask);
    }
    if (err_failed(failed)) {
        job_end(job, failed);
        return;
    }
    for (size_t i = 0; i < job->asks; i++) {
        job->ask[i].open = true;
        fetch_start(http->fetcher, &job->ask[i].of);
    }
}

static void drop(void *state, void *arg)
{
    struct http *http = state;
    for (struct job *job = http->jobs; job; job = job->next)
        if (job->call == arg) {
            job_end(job, err_new(ERR_CANCELLED, "nobody waits"));
            return;
        }
}

/* ---- the class */

static void http_start(void *state, struct stage_call *call)
{
    struct http *http = state;
    fetcher_run(http->fetcher, begin, http, call);
}

/* A call that has ended meanwhile is not found: one of the same address comes later. */
static void http_cancel(void *state, struct stage_call *call)
{
    struct http *http = state;
    fetcher_run(http->fetcher, drop, http, call);
}

static void http_stop(void *state)
{
    struct http *http = state;
    fetcher_stop(http->fetcher);
}

static void http_free(struct http *http)
{
    if (!http)
        return;
    fetcher_free(http->fetcher);
    exchange_free(http->exchange);
    row_chat_done(&http->chat);
    mem_free(http);
}
DEFINE_SCOPED(http)

static void http_close(void *state)
{
    http_free(state);
}

static err_t check_path(const char *key, const char *path)
{
    if (*path && *path != '/')
        return err_new(ERR_INVALID, "%s: '%s' is not absolute", key, path);
    return OK;
}

static err_t check_keys(const struct http_keys *k)
{
    const struct shape *shape = shape_at(k->shape);
    TRY(check_path("template", k->template));
    TRY(check_path("ca_file", k->ca_file));
    TRY(check_path("key_file", k->key_file));
    if (shape->most && k->batch > shape->most)
        return err_new(ERR_INVALID, "batch: %lld completions in a request; shape '%s' has %u",
                       (long long)k->batch, shape->name, shape->most);
    if (*k->score_key && strcmp(shape->name, "slime") != 0)
        return err_new(ERR_INVALID, "score_key: shape '%s' does not read it; slime does",
                       shape->name);
    return OK;
}

static err_t http_open(const struct stage_context *context, void **ret_state)
{
    const struct http_keys *k = context->keys;
    const struct recipe *recipe = context->recipe;
    SCOPED(http) http = mem_new(sizeof *http);
    TRY(check_keys(k));
    http->keys = k;
    http->shape = shape_at(k->shape);
    TRY(exchange_open(recipe, &http->exchange));
    if (*k->template) {
        http->chat = row_chat_open(k->template);
        if (!http->chat.chat)
            return err_new(ERR_INVALID, "template: %s", http->chat.why);
    }
    http->rules = row_rules_of(recipe, NULL, &http->chat, -1);
    http->context = (struct shape_context){.keys = k,
                                           .exchange = http->exchange,
                                           .chat = http->chat.chat ? &http->chat : NULL,
                                           .rules = &http->rules};
    const struct fetcher_options options = {.name = "reward-http",
                                            .url = k->url,
                                            .ca_file = k->ca_file,
                                            .key_file = k->key_file,
                                            .cpus = recipe->rewarder.cpus,
                                            .concurrency = k->concurrency,
                                            .timeout_ms = k->timeout_ms,
                                            .tries = k->tries,
                                            .answer_bytes_most = (size_t)k->answer_mib << 20};
    TRY(fetcher_open(&options, &http->fetcher));
    *ret_state = STEAL(http);
    return OK;
}

const struct stage_class scorer_http = {
    .name = "http",
    .help = "The number that a server outside gives, over HTTP: shapes of OpenRLHF, slime, verl's "
            "reward models and NeMo-Gym, and our own.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct http_keys, keys),
    .thread = STAGE_ON_LOOP,
    .outside = true,
    .fills = STAGE_SCORES,
    .deadline_ms = 180000,
    .open = http_open,
    .start = http_start,
    .cancel = http_cancel,
    .stop = http_stop,
    .close = http_close,
};
