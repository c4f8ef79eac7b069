/* Inside judge only: the keys of an entry, and what the rewarder keeps of it.
 *
 * Owner: keys do not change; jobs and cache are the fetcher's thread's. */
#pragma once
#include "base/hash.h"
#include "model/text/template/template.h"
#include "rewarder/exchange.h"
#include "rewarder/http/fetch.h"
#include "rewarder/scorers/pattern.h"
#include "rewarder/stage.h"

/* In the order of their words. */
enum compare { COMPARE_NONE, COMPARE_PAIRS, COMPARE_RING, COMPARE_COLUMN };
enum order { ORDER_BOTH, ORDER_FIRST, ORDER_SECOND };
enum verdict { VERDICT_LOGPROBS, VERDICT_REGEX };
enum vote { VOTE_MEAN, VOTE_MEDIAN };
#define COMPARE_WORDS "none|pairs|ring|column"
#define ORDER_WORDS   "both|first|second"
#define VERDICT_WORDS "logprobs|regex"
#define VOTE_WORDS    "mean|median"

struct judge_keys {
    char *url, *model, *template, *system_prompt, *pattern, *column, *extra;
    char *template_file, *ca_file, *key_file;
    int compare, order, verdict, vote;
    struct recipe_texts labels, principles;
    double range[2], temperature, least_mass;
    int64_t votes, top_logprobs, max_tokens, cache, concurrency, tries, timeout_ms;
    struct pattern_limits limits;
};

enum { JUDGE_LABELS = 32, LABEL_BYTES = 64 };

struct judge_label {
    char text[LABEL_BYTES];
    double value;
};

struct judge {
    const struct judge_keys *keys;
    struct judge_label label[JUDGE_LABELS];
    size_t labels;
    struct pattern *pattern; // NULL: verdicts by log-probabilities
    struct template *template, *system_prompt /* NULL: none */;
    json_t *extra; // members of every request; NULL: none
    struct exchange *exchange;
    struct fetcher *fetcher;
    struct judge_job *jobs;
    struct judge_cache *cache;
};

/* One question to the judge. */
struct question {
    uint32_t first;  // completion shown first, or alone
    uint32_t second; // QUESTION_COLUMN: the row's column; QUESTION_NONE: nothing
    bool swapped;    // second stands before first
    int64_t vote;    // 0, 1, ...
};
enum { QUESTION_NONE = UINT32_MAX, QUESTION_COLUMN = UINT32_MAX - 1 };
