#include "learner/offline/trials.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/mem.h"
#include <math.h>

enum { TRIALS_MAX_BYTES = 1 << 30 };

struct trials {
    struct lines *lines;
    int64_t last; // version; -1: none
};

/* Whole lines; others than ours stay as they are. */
static void read_last(struct trials *trials, const char *data, size_t len)
{
    for (size_t at = 0, end = 0; end < len; end++) {
        if (data[end] != '\n')
            continue;
        SCOPED_JSON json_t *line = json_loadb(data + at, end - at, 0, NULL);
        const json_t *version = json_object_get(line, "version");
        if (json_is_integer(version) && json_integer_value(version) > trials->last)
            trials->last = json_integer_value(version);
        at = end + 1;
    }
}

err_t trials_open(const char *path, struct trials **ret)
{
    SCOPED(trials) trials = mem_new(sizeof *trials);
    SCOPED_VALUE(bytes) text = {0};
    trials->last = -1;
    if (file_exists(path))
        TRY(file_read(path, TRIALS_MAX_BYTES, &text));
    size_t whole = text.len;
    while (whole && text.data[whole - 1] != '\n')
        whole--;
    if (whole < text.len)
        TRY(file_write(path, text.data, whole));
    read_last(trials, (const char *)text.data, whole);
    TRY(lines_open(path, &trials->lines));
    *ret = STEAL(trials);
    return OK;
}

bool trials_has(const struct trials *trials, uint64_t version)
{
    return (int64_t)version <= trials->last;
}

err_t trials_write(struct trials *trials, const struct trial *trial)
{
    SCOPED_JSON json_t *line =
        json_pack("{s:I, s:I, s:I, s:I}", "version", (json_int_t)trial->version, "round",
                  (json_int_t)trial->round, "chunk", (json_int_t)trial->chunk, "rows",
                  (json_int_t)trial->rows);
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        if (isfinite(trial->figures.at[i]))
            json_object_set_new(line, rl_figure_name((enum rl_figure)i),
                                json_real(trial->figures.at[i]));
    SCOPED_MEM char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    trials->last = (int64_t)trial->version;
    TRY(lines_put(trials->lines, text));
    return lines_sync(trials->lines);
}

void trials_free(struct trials *trials)
{
    if (!trials)
        return;
    lines_free(trials->lines);
    mem_free(trials);
}
