#include "rewarder/offline.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "rewarder/scorer.h"
#include "svc/recipe/recipe_place.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 16 << 20 };

static err_t score_line(struct scorers *scorers, json_t *line, const char *name, double *score)
{
    const json_t *text = json_object_get(line, "text");
    struct scorer_sample sample = {.row = json_object_get(line, "row"), .finish = FINISH_LENGTH};
    int64_t tokens = 0;
    bool ended = true;
    double reward;
    if (!json_is_string(text))
        return err_new(ERR_INVALID, "%s: 'text' must be a string", name);
    if (!json_is_object(sample.row))
        return err_new(ERR_INVALID, "%s: 'row' must be an object", name);
    TRY(json_get_int_or(line, name, "tokens", 0, UINT32_MAX, &tokens));
    TRY(json_get_bool_or(line, name, "ended", &ended));
    sample.text = json_string_value(text);
    sample.text_len = json_string_length(text);
    sample.tokens = (uint32_t)tokens;
    sample.finish = ended ? FINISH_EOS : FINISH_LENGTH;
    TRY(err_wrap(scorers_sample(scorers, &sample, score, &reward), "%s", name));
    json_t *scores = json_array();
    for (size_t i = 0; i < scorers_count(scorers); i++)
        json_array_append_new(scores, json_real(score[i]));
    json_object_set_new(line, "scores", scores);
    json_object_set_new(line, "reward", json_real(reward));
    return OK;
}

err_t score_offline(const struct recipe *recipe, FILE *in, FILE *out)
{
    SCOPED(scorers) scorers = NULL;
    TRY(scorers_from_recipe(recipe, &scorers));
    SCOPED_MEM double *score = mem_array(scorers_count(scorers), sizeof *score);
    SCOPED_MEM char *text = NULL;
    size_t capacity = 0;
    ssize_t len;
    for (long number = 1; (len = getline(&text, &capacity, in)) >= 0; number++) {
        char name[64];
        snprintf(name, sizeof name, "standard input:%ld", number);
        SCOPED_JSON json_t *line = NULL;
        if (len > LINE_MAX_BYTES)
            return err_new(ERR_RANGE, "%s: %zd bytes; at most %d are allowed", name, len,
                           LINE_MAX_BYTES);
        TRY(json_parse(text, (size_t)len, name, &line));
        TRY(score_line(scorers, line, name, score));
        SCOPED_MEM char *result = json_to_text(line);
        if (fprintf(out, "%s\n", result) < 0)
            return err_errno(errno, "cannot write scores");
    }
    if (ferror(in))
        return err_errno(errno, "cannot read standard input");
    if (fflush(out))
        return err_errno(errno, "cannot write scores");
    return OK;
}

/* ---- check */

static err_t look_at_row(void *arg, const json_t *row, const char *name)
{
    double score[SCORERS_MAX], reward;
    const struct scorer_sample sample = {.row = row, .text = "", .finish = FINISH_EOS};
    return err_wrap(scorers_sample(arg, &sample, score, &reward), "%s", name);
}

static err_t check_rows(const struct recipe *recipe, const char *key, const char *path,
                        struct scorers *scorers, json_t *notes)
{
    SCOPED(jsonl) rows = NULL;
    SCOPED_MEM char *note = NULL;
    if (!*path)
        return OK;
    TRY(recipe_place(recipe, key, jsonl_open(path, &rows)));
    TRY(recipe_place(recipe, key, jsonl_probe(rows, "scored", look_at_row, scorers, &note)));
    if (note) {
        SCOPED_MEM char *line = mem_printf("%s: %s", key, note);
        json_array_append_new(notes, json_string(line));
    }
    return OK;
}

static err_t check(const struct recipe *recipe, json_t *notes)
{
    SCOPED(scorers) scorers = NULL;
    TRY(scorers_from_recipe(recipe, &scorers));
    TRY(check_rows(recipe, "data.train", recipe->data.train, scorers, notes));
    return check_rows(recipe, "data.eval", recipe->data.eval, scorers, notes);
}

err_t check_offline(const struct recipe *recipe, FILE *out)
{
    SCOPED_JSON json_t *notes = json_array();
    err_t failed = check(recipe, notes);
    SCOPED_JSON json_t *answer =
        err_failed(failed)
            ? json_pack("{s:i, s:s}", "code", (int)err_code(failed), "message", err_message(failed))
            : json_pack("{s:O}", "notes", notes);
    SCOPED_MEM char *text = answer ? json_to_text(answer) : NULL;
    if (text)
        fprintf(out, "%s\n", text);
    fflush(out);
    return failed;
}
