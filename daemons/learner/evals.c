#include "learner/evals.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <errno.h>
#include <math.h>
#include <string.h>

enum { EVALS_MAX_BYTES = 1 << 28 };

struct known {
    uint32_t lineage;
    uint64_t version;
};

struct evals {
    char *path;
    FILE *file;
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

/* Length of the leading lines that are whole; what they evaluate is known from here on. */
static size_t kept_length(struct evals *evals, const struct bytes *text)
{
    size_t at = 0;
    while (at < text->len) {
        const char *line = (const char *)text->data + at;
        const char *end = memchr(line, '\n', text->len - at);
        SCOPED_JSON json_t *object = end ? json_loadb(line, (size_t)(end - line), 0, NULL) : NULL;
        const json_t *lineage = json_object_get(object, "lineage");
        const json_t *version = json_object_get(object, "version");
        if (!json_is_integer(lineage) || !json_is_integer(version))
            break;
        know(evals, (uint32_t)json_integer_value(lineage), (uint64_t)json_integer_value(version));
        evals->last = (struct evals_last){json_number_value(version), number(object, "success"),
                                          number(object, "reward_mean")};
        at += (size_t)(end - line) + 1;
    }
    return at;
}

err_t evals_open(const char *path, struct evals **ret)
{
    SCOPED(evals) evals = mem_new(sizeof *evals);
    evals->path = mem_string(path);
    SCOPED_VALUE(bytes) text = {0};
    if (file_exists(path))
        TRY(file_read(path, EVALS_MAX_BYTES, &text));
    size_t kept = kept_length(evals, &text);
    if (kept < text.len || !file_exists(path))
        TRY(file_write(path, text.data, kept));
    evals->file = fopen(path, "ae");
    if (!evals->file)
        return err_errno(errno, "cannot open '%s'", path);
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
    if (fprintf(evals->file, "%s\n", line) < 0 || fflush(evals->file))
        return err_errno(errno, "cannot write '%s'", evals->path);
    if (fdatasync(fileno(evals->file)))
        return err_errno(errno, "cannot sync '%s'", evals->path);
    know(evals, what->lineage, what->version);
    return OK;
}

void evals_free(struct evals *evals)
{
    if (!evals)
        return;
    if (evals->file)
        fclose(evals->file);
    mem_free(evals->known);
    mem_free(evals->path);
    mem_free(evals);
}
