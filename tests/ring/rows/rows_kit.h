/* Runs of rows from files, by the real programs: a small model, and what a run's files say.
 *
 *     new_model(path);
 *     wait_updates(run, 7);
 *     last_number(run, "evals.jsonl", "rewards_accuracy") */
#pragma once
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000 };

static inline void copy(const char *name, const char *to)
{
    SCOPED_MEM char *from = file_join(TEST_GOLDEN "/datasets/model", name);
    SCOPED_MEM char *there = file_join(to, name);
    assert_ok(file_copy(from, there));
}

static inline void new_model(const char *path)
{
    assert_ok(file_make_directories(path));
    copy("tokenizer.json", path);
    copy("tokenizer_config.json", path);
    assert_int_equal(process_run(NULL, RUN_MS, "rlhfctl", "model", "new", path, "--layers", "1",
                                 "--width", "32", "--heads", "2", "--ff", "32", "--max-positions",
                                 "128", "--seed", "3", NULL),
                     0);
}

static inline char *text_in(const char *run, const char *name)
{
    SCOPED_MEM char *path = file_join(run, name);
    return file_text(path);
}

static inline int lines_of(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static inline double last_number(const char *run, const char *name, const char *key)
{
    SCOPED_MEM char *text = text_in(run, name);
    assert_true(*text);
    text[strlen(text) - 1] = 0;
    const char *line = strrchr(text, '\n');
    SCOPED_JSON json_t *object = json_loads(line ? line + 1 : text, 0, NULL);
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static inline double first_number(const char *run, const char *name, const char *key)
{
    SCOPED_MEM char *text = text_in(run, name);
    char *rest = text;
    SCOPED_JSON json_t *object = json_loads(strsep(&rest, "\n"), 0, NULL);
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}

static inline void wait_updates(const char *run, int least)
{
    for (int64_t until = clock_ms() + RUN_MS;; clock_sleep_ms(1)) {
        SCOPED_MEM char *text = text_in(run, "updates.jsonl");
        if (lines_of(text) >= least)
            return;
        assert_true(clock_ms() < until);
    }
}
