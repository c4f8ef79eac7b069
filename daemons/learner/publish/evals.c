#include "learner/publish/evals.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { EVALS_MAX_BYTES = 1 << 28 };

struct known {
    uint32_t lineage;
    uint64_t version;
};

struct evals {
    struct lines *file;
    struct known *known;
    size_t count;
    struct evals_last last; // of the last line found
};

static void know(struct evals *evals, uint32_t lineage, uint64_t version)
{
    evals->known = mem_grow(evals->known, evals->count + 1, sizeof *evals->known);
    evals->known[evals->count++] = (struct known){lineage, version};
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* What the lines say, and how long those are that stay: all but a torn last one. A line that cannot
 * be read stays, too. */
struct found {
    size_t kept;
    bool unended; // the last that stays lacks its newline
    uint64_t damaged;
};

/* A newline that was damaged leaves an object with something behind it. */
static bool read_line(struct evals *evals, const char *line, size_t len, bool ended)
{
    SCOPED_JSON json_t *object = json_loadb(line, len, ended ? 0 : JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *lineage = json_object_get(object, "lineage");
    const json_t *version = json_object_get(object, "version");
    if (!json_is_integer(lineage) || !json_is_integer(version))
        return false;
    know(evals, (uint32_t)json_integer_value(lineage), (uint64_t)json_integer_value(version));
    evals->last = (struct evals_last){json_number_value(version), number(object, "success"),
                                      number(object, "reward_mean")};
    return true;
}

static struct found read_lines(struct evals *evals, const struct bytes *text)
{
    struct found found = {0};
    for (size_t at = 0; at < text->len;) {
        const char *line = (const char *)text->data + at;
        const char *end = memchr(line, '\n', text->len - at);
        const size_t len = end ? (size_t)(end - line) : text->len - at;
        const bool readable = read_line(evals, line, len, end != NULL);
        at += len + (end != NULL);
        if (!end && !readable)
            break;
        found.damaged += !readable || !end;
        found.unended = !end;
        found.kept = at;
    }
    return found;
}

static err_t cut(const char *path, const struct bytes *text, const struct found *found)
{
    if (found->damaged)
        log_warning("damaged lines are kept as they are", "file=%s lines=%" PRIu64, path,
                    found->damaged);
    if (found->kept == text->len && !found->unended && file_exists(path))
        return OK;
    const struct file_part parts[] = {{.data = text->data, .len = found->kept},
                                      {.data = "\n", .len = found->unended}};
    return file_write_parts(path, parts, sizeof parts / sizeof *parts);
}

err_t evals_open(const char *path, struct evals **ret)
{
    SCOPED(evals) evals = mem_new(sizeof *evals);
    SCOPED_VALUE(bytes) text = {0};
    if (file_exists(path))
        TRY(file_read(path, EVALS_MAX_BYTES, &text));
    const struct found found = read_lines(evals, &text);
    TRY(cut(path, &text, &found));
    TRY(lines_open(path, &evals->file));
    *ret = STEAL(evals);
    return OK;
}

bool evals_last(const struct evals *evals, struct evals_last *ret)
{
    if (evals->count)
        *ret = evals->last;
    return evals->count;
}

bool evals_has(const struct evals *evals, uint32_t lineage, uint64_t version)
{
    for (size_t i = 0; i < evals->count; i++)
        if (evals->known[i].lineage == lineage && evals->known[i].version == version)
            return true;
    return false;
}

static json_t *figure(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* By name; of scorers with one name the second is NAME.2, and so on. */
static json_t *score_means(const struct recipe_scorers *scorers, const double *mean)
{
    json_t *object = json_object();
    for (size_t s = 0; s < scorers->count; s++) {
        const struct recipe_scorer *scorer = &scorers->at[s];
        const char *name = *scorer->name ? scorer->name : scorer->kind;
        SCOPED_MEM char *key = mem_string(name);
        for (int again = 2; json_object_get(object, key); again++) {
            mem_free(key);
            key = mem_printf("%s.%d", name, again);
        }
        json_object_set_new(object, key, figure(mean[s]));
    }
    return object;
}

err_t evals_write(struct evals *evals, const struct evaluation_options *what,
                  const struct evaluation_figures *f, const struct recipe_scorers *scorers,
                  uint64_t skipped)
{
    SCOPED_JSON json_t *o =
        json_pack("{s:I, s:I, s:i, s:f, s:i, s:i, s:I, s:f}", "version", (json_int_t)what->version,
                  "round", (json_int_t)what->round, "lineage", (int)what->lineage, "time",
                  (double)clock_wall_ms() / 1000, "prompts", (int)f->rows, "failed", (int)f->failed,
                  "skipped", (json_int_t)skipped, "temperature", (double)what->temperature);
    json_object_set_new(o, "success", figure(f->success));
    json_object_set_new(o, "reward_mean", figure(f->reward_mean));
    json_object_set_new(o, "reward_std", figure(f->reward_std));
    json_object_set_new(o, "length_mean", figure(f->length_mean));
    json_object_set_new(o, "ended", figure(f->ended));
    json_object_set_new(o, "seconds", figure(f->seconds));
    json_object_set_new(o, "scores", score_means(scorers, f->score_mean));
    SCOPED_MEM char *line = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15));
    TRY(lines_put(evals->file, line));
    TRY(lines_sync(evals->file));
    know(evals, what->lineage, what->version);
    return OK;
}

void evals_free(struct evals *evals)
{
    if (!evals)
        return;
    lines_free(evals->file);
    mem_free(evals->known);
    mem_free(evals);
}
