#include "rewarder/judge/judge_job.h"
#include "base/mem.h"
#include "rewarder/judge/judge_ask.h"
#include "rewarder/judge/judge_cache.h"
#include "rewarder/judge/judge_reply.h"
#include "svc/metrics.h"
#include <stdlib.h>
#include <string.h>

static struct metric asked =
    METRIC_COUNTER("rlhfd_judge_requests_total", "questions that were sent to a judge");
static struct metric found =
    METRIC_COUNTER("rlhfd_judge_cached_total", "questions whose verdict was known already");
static struct metric pairs =
    METRIC_COUNTER("rlhfd_judge_pairs_total", "pairs that a judge saw in both orders");
static struct metric flips =
    METRIC_COUNTER("rlhfd_judge_flips_total", "pairs of those whose winner changed with the order");
static struct metric firsts =
    METRIC_COUNTER("rlhfd_judge_first_total", "verdicts for the one shown first, over those pairs: "
                                              "as many as pairs where order does not count");
static struct metric *const rows[] = {&asked, &found, &pairs, &flips, &firsts};

void judge_job_register(void)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
}

/* A question and its request. */
struct judge_asking {
    struct fetch of; // first
    struct judge_job *job;
    struct question question;
    char *body;
    struct digest digest;
    double verdict;
    bool open; // its done has not come
    bool known;
    size_t same; // the question of this group with the same bytes that is asked; its own number
};

struct judge_job {
    struct judge *judge;
    struct stage_call *call;
    struct judge_job *next, **prev;
    size_t count, left;
    struct judge_asking *at; // (count): of one unit its orders, of an order its votes
};

/* ---- scores */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the votes about one thing; a pair's is for the completion, not for the place. */
static double agreed(const struct judge *judge, const struct judge_asking *at)
{
    const size_t votes = (size_t)judge->keys->votes;
    double value[64], sum = 0;
    for (size_t i = 0; i < votes; i++) {
        value[i] = at[i].question.swapped ? 1 - at[i].verdict : at[i].verdict;
        sum += value[i];
    }
    if (judge->keys->vote == VOTE_MEAN)
        return sum / (double)votes;
    qsort(value, votes, sizeof *value, by_value);
    return (value[(votes - 1) / 2] + value[votes / 2]) / 2;
}

static size_t orders_of(const struct judge *judge)
{
    return judge->keys->compare != COMPARE_NONE && judge->keys->order == ORDER_BOTH ? 2 : 1;
}

/* One pair in both orders: wins of the first completion. */
static void note_order(double shown_first, double shown_second)
{
    metric_add(&pairs, 1);
    metric_add(&firsts, shown_first + (1 - shown_second));
    metric_add(&flips, (shown_first > 0.5) != (shown_second > 0.5));
}

static double unit_score(const struct judge *judge, const struct judge_asking *at)
{
    const double first = agreed(judge, at);
    if (orders_of(judge) == 1)
        return first;
    const double second = agreed(judge, at + judge->keys->votes);
    if (!at->known)
        note_order(first, second);
    return (first + second) / 2;
}

static void put_scores(struct judge_job *job)
{
    const struct judge *judge = job->judge;
    const uint32_t all = job->call->group->completions;
    const size_t step = orders_of(judge) * (size_t)judge->keys->votes;
    double *score = group_add(job->call->added, COLUMN_SCORES, 1);
    SCOPED_MEM double *met = mem_array(all, sizeof *met);
    for (size_t i = 0; i < job->count; i += step) {
        const struct question *q = &job->at[i].question;
        const double value = unit_score(judge, &job->at[i]);
        score[q->first] += value;
        met[q->first]++;
        if (q->second >= all)
            continue;
        score[q->second] += 1 - value;
        met[q->second]++;
    }
    for (uint32_t i = 0; i < all; i++)
        score[i] /= met[i];
}

/* ---- the end */

/* Takes failed. */
static void end(struct judge_job *job, err_t failed)
{
    struct stage_call *call = job->call;
    if (job->next)
        job->next->prev = job->prev;
    *job->prev = job->next;
    for (size_t i = 0; i < job->count; i++)
        if (!err_failed(failed) && job->at[i].same != i)
            job->at[i].verdict = job->at[job->at[i].same].verdict;
    if (!err_failed(failed))
        put_scores(job);
    for (size_t i = 0; i < job->count; i++) {
        if (job->at[i].open)
            fetch_cancel(job->judge->fetcher, &job->at[i].of);
        mem_free(job->at[i].body);
    }
    mem_free(job->at);
    mem_free(job);
    call->done(call, failed);
}

static err_t read_reply(struct fetch *of, const void *data, size_t len)
{
    struct judge_asking *at = (struct judge_asking *)of;
    return judge_reply(at->job->judge, data, len, &at->verdict);
}

static void answered(struct fetch *of, err_t failed)
{
    struct judge_asking *at = (struct judge_asking *)of;
    struct judge_job *job = at->job;
    at->open = false;
    if (!err_failed(failed))
        judge_cache_put(job->judge->cache, &at->digest, at->verdict);
    if (err_failed(failed) || !--job->left)
        end(job, failed);
}

/* ---- the questions */

static void add_unit(struct judge_job *job, uint32_t first, uint32_t second)
{
    const struct judge_keys *keys = job->judge->keys;
    const bool both = orders_of(job->judge) == 2;
    for (int order = 0; order < 1 + both; order++)
        for (int64_t vote = 0; vote < keys->votes; vote++)
            job->at[job->count++].question = (struct question){
                first, second, both ? order == 1 : keys->order == ORDER_SECOND, vote};
}

static uint32_t others_of(const struct judge *judge, uint32_t all)
{
    if (judge->keys->compare == COMPARE_PAIRS)
        return all - 1;
    return all < 3 ? 1 : 2; // of a ring
}

static err_t add_questions(struct judge_job *job)
{
    const struct judge *judge = job->judge;
    const uint32_t all = job->call->group->completions;
    const int compare = judge->keys->compare;
    const bool pairs_asked = compare == COMPARE_PAIRS || compare == COMPARE_RING;
    const bool among = pairs_asked && all > 1;
    if (pairs_asked && !among && !*judge->keys->column)
        return err_new(ERR_INVALID, "a group of 1 completion has no pairs, and there is no column");
    const size_t units = among ? (size_t)all * others_of(judge, all) / 2 : all;
    const size_t count = units * orders_of(judge) * (size_t)judge->keys->votes;
    if (count > JUDGE_QUESTIONS)
        return err_new(ERR_INVALID, "%zu questions for %u completions; at most %d are asked", count,
                       all, JUDGE_QUESTIONS);
    job->at = mem_array(count, sizeof *job->at);
    for (uint32_t i = 0; i < all; i++) {
        if (!among) {
            add_unit(job, i, compare == COMPARE_NONE ? QUESTION_NONE : QUESTION_COLUMN);
        } else if (compare == COMPARE_RING) {
            if (all > 2 || i == 0)
                add_unit(job, i, (i + 1) % all);
        } else
            for (uint32_t j = i + 1; j < all; j++)
                add_unit(job, i, j);
    }
    return OK;
}

/* Two equal texts are a tie, whatever a judge says of places. */
static bool are_equal(const struct judge_job *job, const struct question *q)
{
    const struct group *group = job->call->group;
    if (q->second >= group->completions)
        return false;
    const struct completion *a = &group->completion[q->first], *b = &group->completion[q->second];
    return a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0;
}

/* Makes the request, unless the verdict is known or another question has the same bytes. */
static err_t prepare(struct judge_job *job, size_t i)
{
    struct judge *judge = job->judge;
    struct judge_asking *at = &job->at[i];
    at->job = job;
    at->same = i;
    at->known = are_equal(job, &at->question);
    at->verdict = 0.5;
    if (at->known)
        return OK;
    TRY(judge_ask(judge, job->call->group, job->call->row, &at->question, &at->body));
    at->digest = hash128(at->body, strlen(at->body), 0);
    if (judge_cache_find(judge->cache, &at->digest, &at->verdict)) {
        metric_add(&found, 1);
        return OK;
    }
    for (size_t j = 0; j < i; j++)
        if (job->at[j].of.body && digest_equal(&job->at[j].digest, &at->digest)) {
            at->same = j;
            return OK;
        }
    at->of = (struct fetch){.body = at->body,
                            .body_len = strlen(at->body),
                            .due_s = job->call->deadline_s,
                            .salt = be64_load(at->digest.byte),
                            .read = read_reply,
                            .done = answered};
    at->open = true;
    job->left++;
    return OK;
}

void judge_job_begin(void *state, void *arg)
{
    struct judge *judge = state;
    struct judge_job *job = mem_new(sizeof *job);
    *job =
        (struct judge_job){.judge = judge, .call = arg, .next = judge->jobs, .prev = &judge->jobs};
    if (job->next)
        job->next->prev = &job->next;
    judge->jobs = job;
    err_t failed = add_questions(job);
    for (size_t i = 0; i < job->count && !err_failed(failed); i++)
        failed = prepare(job, i);
    if (err_failed(failed) || !job->left) {
        for (size_t i = 0; i < job->count; i++)
            job->at[i].open = false; // nothing was sent
        end(job, failed);
        return;
    }
    for (size_t i = 0; i < job->count; i++)
        if (job->at[i].open) {
            metric_add(&asked, 1);
            fetch_start(judge->fetcher, &job->at[i].of);
        }
}

void judge_job_drop(void *state, void *arg)
{
    struct judge *judge = state;
    for (struct judge_job *job = judge->jobs; job; job = job->next)
        if (job->call == arg) {
            end(job, err_new(ERR_CANCELLED, "nobody waits"));
            return;
        }
}
