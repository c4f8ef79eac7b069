/* Inside http only: the shapes of requests and answers, a row each in shape.c.
 *
 *     TRY(shape->ask(context, group, row, &part, &request));
 *     TRY(shape->read(context, request, answer, part.count, score));
 *
 * To add one: its two functions, a row, a word of the key `shape`, a case in the test. Any thread:
 * pure. */
#pragma once
#include "model/text/rows/row_encode.h"
#include "rewarder/exchange.h"

struct http_keys {
    char *url, *model, *label_column, *score_key;
    const char *template;
    char *ca_file, *key_file;
    int shape;
    int64_t batch, concurrency, tries, timeout_ms, answer_mib;
};

struct shape_context {
    const struct http_keys *keys;
    const struct exchange *exchange;
    const struct row_chat *chat; // of the reward model; NULL: prompt and completion as they are
    const struct row_rules *rules;
};

struct shape {
    const char *name;
    uint32_t most;    // completions in a request; 0: a whole group
    uint32_t usually; // where the key says nothing; 0: a whole group
    err_t (*ask)(const struct shape_context *context, const struct group *group, const json_t *row,
                 const struct exchange_part *part, json_t **ret);
    /* request: what ask has made. A fault is named; ret is untouched then. */
    err_t (*read)(const struct shape_context *context, const json_t *request, const json_t *answer,
                  size_t count, double *ret);
};

#define SHAPE_WORDS "rlhfd|openrlhf|slime|classify|embeddings|nemo_gym"
const struct shape *shape_at(int word); // in the words' order
