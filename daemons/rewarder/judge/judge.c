#include "rewarder/judge/judge.h"
#include "base/file.h"
#include "base/mem.h"
#include "rewarder/judge/judge_cache.h"
#include "rewarder/judge/judge_job.h"
#include "rewarder/judge/judge_reply.h"
#include <string.h>

enum { TEMPLATE_MOST = 64 << 10, ANSWER_MOST = 4 << 20, VOTES_MOST = 64 };

static const struct recipe_option keys[] = {
    STAGE_KEY(struct judge_keys, text, url, "",
              "the server's address, as http://HOST:PORT/v1/chat/completions", .min = 8,
              .max = 2000, .required = true),
    STAGE_KEY(struct judge_keys, text, model, "", "the model that requests name; empty: none",
              .max = 500),
    STAGE_KEY(struct judge_keys, text, template, "",
              "the question, as Jinja: with prompt, messages, row, principle, and completion or "
              "first and second",
              .max = TEMPLATE_MOST),
    STAGE_KEY(struct judge_keys, path, template_file, "",
              "absolute name of a file with the question instead"),
    STAGE_KEY(struct judge_keys, text, system_prompt, "",
              "a system message before it, likewise Jinja", .max = TEMPLATE_MOST),
    STAGE_KEY(struct judge_keys, texts, principles, "[]",
              "texts of which each group's questions have one as principle, drawn by its id",
              .min = 1, .max = 4096),
    STAGE_KEY(struct judge_keys, choice, compare, "none",
              "none: each completion for itself; pairs: each with each of its group; ring: each "
              "with the next; column: each with the row's column",
              .words = COMPARE_WORDS),
    STAGE_KEY(
        struct judge_keys, text, column, "",
        "of the row, for compare: column; and of pairs and ring for groups of one completion, as in "
        "evaluation",
        .max = 256),
    STAGE_KEY(struct judge_keys, choice, order, "both",
              "of a pair: both orders, whose verdicts count the same; the completion, or the other "
              "one, first",
              .words = ORDER_WORDS),
    STAGE_KEY(struct judge_keys, choice, verdict, "logprobs",
              "logprobs: of the labels at the reply's first token; regex: text of the reply",
              .words = VERDICT_WORDS),
    STAGE_KEY(struct judge_keys, texts, labels, "[]",
              "TEXT=VALUE of each verdict; of pairs 1 says that the first is better, 0 that the "
              "second is",
              .min = 3, .max = 96),
    STAGE_KEY(struct judge_keys, text, pattern, "",
              "regular expression whose first group is the verdict of a reply: a label, or "
              "without labels a number",
              .max = PATTERN_BYTES),
    STAGE_KEY(struct judge_keys, pair, range, "[0, 1]",
              "least and largest of such numbers, which become 0 and 1", .min = -1e6, .max = 1e6),
    STAGE_KEY(struct judge_keys, number, least_mass, "0.01",
              "probability that all labels have together, at least; else there is no verdict",
              .min = 0, .max = 1),
    STAGE_KEY(struct judge_keys, count, votes, "1", "replies to each question", .min = 1,
              .max = VOTES_MOST),
    STAGE_KEY(struct judge_keys, choice, vote, "mean", "of the votes: mean or median",
              .words = VOTE_WORDS),
    STAGE_KEY(struct judge_keys, number, temperature, "0", "of the judge", .min = 0, .max = 100),
    STAGE_KEY(struct judge_keys, count, max_tokens, "0",
              "of a reply; 0: 1 for logprobs, 512 for regex", .max = 65536),
    STAGE_KEY(struct judge_keys, count, top_logprobs, "20",
              "tokens whose log-probabilities are asked for", .min = 1, .max = 1000),
    STAGE_KEY(struct judge_keys, text, extra, "",
              "members of every request beside those, as a JSON object", .max = TEMPLATE_MOST),
    STAGE_KEY(struct judge_keys, count, cache, "100000", "verdicts that are kept in memory",
              .max = 100000000),
    STAGE_KEY(struct judge_keys, count, concurrency, "32",
              "requests at a time of this rewarder, each on a connection of its own", .min = 1,
              .max = 1024),
    STAGE_KEY(struct judge_keys, count, timeout_ms, "60000",
              "of one try of a request, to the answer's last byte", .min = 1, .max = 86400000),
    STAGE_KEY(struct judge_keys, count, tries, "3",
              "of one request within an attempt, with pauses of 100 ms doubled and jittered",
              .min = 1, .max = 100),
    STAGE_KEY(struct judge_keys, path, ca_file, "",
              "absolute name of a file of certificates that https trusts; empty: the system's"),
    STAGE_KEY(struct judge_keys, path, key_file, "",
              "absolute name of a file whose text is sent as a bearer key; read again when it "
              "changes"),
    PATTERN_KEYS(struct judge_keys),
};

static void judge_free(struct judge *judge)
{
    if (!judge)
        return;
    fetcher_free(judge->fetcher);
    exchange_free(judge->exchange);
    judge_cache_free(judge->cache);
    template_free(judge->template);
    template_free(judge->system_prompt);
    pattern_free(judge->pattern);
    json_decref(judge->extra);
    mem_free(judge);
}
DEFINE_SCOPED(judge)

/* ---- keys */

static err_t check_paths(const struct judge_keys *k)
{
    const char *const names[] = {"template_file", "ca_file", "key_file"};
    const char *const paths[] = {k->template_file, k->ca_file, k->key_file};
    for (size_t i = 0; i < 3; i++)
        if (*paths[i] && *paths[i] != '/')
            return err_new(ERR_INVALID, "%s: '%s' is not absolute", names[i], paths[i]);
    return OK;
}

static err_t check_keys(const struct judge_keys *k)
{
    const bool regex = k->verdict == VERDICT_REGEX;
    TRY(check_paths(k));
    if (!*k->template == !*k->template_file)
        return err_new(ERR_INVALID, "needs template or template_file, one of them");
    if (regex != (*k->pattern != 0))
        return err_new(ERR_INVALID, "pattern: verdict: regex needs one, logprobs reads none");
    if (!regex && k->labels.count < 2)
        return err_new(ERR_INVALID, "labels: verdict: logprobs needs two or more");
    if (k->compare == COMPARE_COLUMN && !*k->column)
        return err_new(ERR_INVALID, "column: compare: column needs one");
    if (k->compare == COMPARE_NONE && *k->column)
        return err_new(ERR_INVALID, "column: compare: none reads none");
    if (!(k->range[0] < k->range[1]))
        return err_new(ERR_INVALID, "range: [%g, %g]: the first must be the smaller", k->range[0],
                       k->range[1]);
    return OK;
}

static err_t read_template(const struct judge_keys *k, struct template **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    if (!*k->template_file)
        return template_parse(k->template, strlen(k->template), "template", ret);
    TRY(file_read(k->template_file, TEMPLATE_MOST, &text));
    return template_parse((const char *)text.data, text.len, k->template_file, ret);
}

static err_t read_extra(const struct judge_keys *k, json_t **ret)
{
    if (!*k->extra)
        return OK;
    SCOPED_JSON json_t *extra = NULL;
    TRY(json_parse(k->extra, strlen(k->extra), "extra", &extra));
    if (!json_is_object(extra))
        return err_new(ERR_INVALID, "extra: %s; an object is needed", json_type_name(extra));
    *ret = STEAL(extra);
    return OK;
}

static err_t read_keys(struct judge *judge)
{
    const struct judge_keys *k = judge->keys;
    TRY(check_keys(k));
    TRY(judge_read_labels(judge));
    if (k->verdict == VERDICT_REGEX)
        TRY(pattern_new(k->pattern, false, &k->limits, &judge->pattern));
    TRY(read_template(k, &judge->template));
    if (*k->system_prompt)
        TRY(template_parse(k->system_prompt, strlen(k->system_prompt), "system",
                           &judge->system_prompt));
    return read_extra(k, &judge->extra);
}

/* ---- the class */

static err_t judge_open(const struct stage_context *context, void **ret_state)
{
    const struct judge_keys *k = context->keys;
    SCOPED(judge) judge = mem_new(sizeof *judge);
    judge->keys = k;
    TRY(read_keys(judge));
    judge_job_register();
    judge->cache = judge_cache_new((size_t)k->cache);
    TRY(exchange_open(context->recipe, &judge->exchange));
    const struct fetcher_options options = {.name = "judge",
                                            .url = k->url,
                                            .ca_file = k->ca_file,
                                            .key_file = k->key_file,
                                            .cpus = context->recipe->rewarder.cpus,
                                            .concurrency = k->concurrency,
                                            .timeout_ms = k->timeout_ms,
                                            .tries = k->tries,
                                            .answer_bytes_most = ANSWER_MOST};
    TRY(fetcher_open(&options, &judge->fetcher));
    *ret_state = STEAL(judge);
    return OK;
}

static void judge_start(void *state, struct stage_call *call)
{
    struct judge *judge = state;
    fetcher_run(judge->fetcher, judge_job_begin, judge, call);
}

static void judge_cancel(void *state, struct stage_call *call)
{
    struct judge *judge = state;
    fetcher_run(judge->fetcher, judge_job_drop, judge, call);
}

static void judge_stop(void *state)
{
    struct judge *judge = state;
    fetcher_stop(judge->fetcher);
}

static void judge_close(void *state)
{
    judge_free(state);
}

const struct stage_class scorer_judge = {
    .name = "judge",
    .help = "The verdict of a language model behind an OpenAI-compatible server, on each "
            "completion or on pairs of them.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct judge_keys, keys),
    .thread = STAGE_ON_LOOP,
    .outside = true,
    .fills = STAGE_SCORES,
    .deadline_ms = 600000,
    .open = judge_open,
    .start = judge_start,
    .cancel = judge_cancel,
    .stop = judge_stop,
    .close = judge_close,
};
