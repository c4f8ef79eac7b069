/* The points of a curve from files. */
#include "base/file.h"
#include "base/hash.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "ctl/reward/eval/curve.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define NUMBER_MAX 1e18 // its square is a float32

void curve_done(struct curve *curve)
{
    for (size_t i = 0; i < curve->points; i++) {
        mem_free(curve->point[i].name);
        mem_free(curve->point[i].line);
    }
    mem_free(curve->point);
    json_decref(curve->known);
}

/* ---- a line */

/* NaN: null. */
static err_t read_number(const json_t *of, const char *column, const char *name, const char *how,
                         double *ret)
{
    const json_t *value = json_object_get(of, column);
    *ret = NAN;
    if (!value)
        return err_new(ERR_INVALID, "%s: has no '%s'; %s", name, column, how);
    if (json_is_null(value))
        return OK;
    *ret = json_number_value(value);
    if (json_is_number(value) && fabs(*ret) <= NUMBER_MAX)
        return OK;
    return err_new(ERR_INVALID, "%s: '%s' is %s; allowed: null, or from %g to %g", name, column,
                   json_is_number(value) ? "out of range" : json_type_name(value), -NUMBER_MAX,
                   NUMBER_MAX);
}

static size_t prompt_of(struct curve *curve, const json_t *row)
{
    const json_t *prompt = json_object_get(row, curve->prompt);
    SCOPED_MEM char *text =
        json_dumps(prompt ? prompt : row, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    const struct digest digest = hash128(text, strlen(text), 0);
    char key[DIGEST_TEXT];
    digest_text(&digest, key);
    curve->known = curve->known ? curve->known : json_object();
    const json_t *known = json_object_get(curve->known, key);
    if (known)
        return (size_t)json_integer_value(known);
    json_object_set_new(curve->known, key, json_integer((json_int_t)curve->prompts));
    return curve->prompts++;
}

static err_t read_line(struct curve *curve, const json_t *line, const char *name,
                       struct curve_line *ret)
{
    const json_t *row = json_object_get(line, "row");
    struct curve_line all = {.own = NAN};
    if (!json_is_object(row))
        return err_new(ERR_INVALID, "%s: 'row' must be the row of data with the prompt", name);
    TRY(read_number(line, "kl", name, "rlhfctl eval writes it where it has a reference", &all.kl));
    TRY(read_number(line, curve->score, name, "--score names another column", &all.score));
    TRY(read_number(line, curve->gold, name,
                    "rlhfctl reward score --as writes it, --gold names another column", &all.gold));
    TRY(read_number(line, "tokens", name, "rlhfctl eval writes it", &all.tokens));
    if (json_object_get(row, curve->gold))
        TRY(read_number(row, curve->gold, name, "", &all.own));
    all.prompt = prompt_of(curve, row);
    *ret = all;
    return OK;
}

/* ---- a file */

static char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
               *end = strstr(base, ".jsonl");
    const int len = end && end > base ? (int)(end - base) : (int)strlen(base);
    return mem_printf("%.*s", len, base);
}

static err_t add_line(struct curve *curve, struct curve_point *point, const struct jsonl *rows,
                      uint64_t i)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *line = NULL;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(rows), i + 1);
    struct curve_line read;
    TRY(jsonl_row(rows, i, &text));
    TRY(json_parse_nul((const char *)text.data, text.len, name, &line));
    TRY(read_line(curve, line, name, &read));
    if (isnan(read.kl) || isnan(read.score) || isnan(read.gold)) {
        point->unscored++;
        return OK;
    }
    if (point->lines == point->room) {
        point->room = 2 * point->room + 64;
        point->line = mem_grow(point->line, point->room, sizeof *point->line);
    }
    point->line[point->lines++] = read;
    return OK;
}

static err_t add_point(struct curve *curve, const char *path)
{
    SCOPED(jsonl) rows = NULL;
    if (curve->points == CURVE_POINTS)
        return err_new(ERR_INVALID, "'%s': more than %d points", path, CURVE_POINTS);
    TRY(jsonl_open_nul(path, &rows));
    if (jsonl_rows(rows) > CURVE_LINES / CURVE_POINTS)
        return err_new(ERR_INVALID, "'%s': %" PRIu64 " lines; at most %d are allowed", path,
                       jsonl_rows(rows), CURVE_LINES / CURVE_POINTS);
    curve->point = mem_grow(curve->point, curve->points + 1, sizeof *curve->point);
    struct curve_point *point = &curve->point[curve->points++];
    *point = (struct curve_point){.name = name_of(path)};
    for (size_t i = 0; i + 1 < curve->points; i++)
        if (strcmp(curve->point[i].name, point->name) == 0)
            return err_new(ERR_INVALID, "'%s': two points are called '%s'", path, point->name);
    for (uint64_t i = 0; i < jsonl_rows(rows); i++)
        TRY(add_line(curve, point, rows, i));
    return point->lines ? OK
                        : err_new(ERR_INVALID, "'%s': no line has KL, score and gold score", path);
}

static bool is_point(const char *name)
{
    const char *end = strstr(name, ".jsonl");
    return end && (!end[6] || strcmp(end, ".jsonl.zst") == 0);
}

static err_t read_directory(struct curve *curve, const char *directory)
{
    SCOPED_VALUE(file_names) names = {0};
    TRY(file_names(directory, &names));
    for (size_t i = 0; i < names.count; i++) {
        SCOPED_MEM char *path = file_join(directory, names.at[i]);
        if (is_point(names.at[i]))
            TRY(add_point(curve, path));
    }
    return curve->points ? OK
                         : err_new(ERR_INVALID,
                                   "'%s' has no file that ends in .jsonl or .jsonl.zst", directory);
}

err_t curve_read(struct curve *curve, const char *where)
{
    struct stat is;
    if (stat(where, &is) == 0 && S_ISDIR(is.st_mode))
        return read_directory(curve, where);
    for (const char *at = where; *at;) {
        const size_t len = strcspn(at, ",");
        SCOPED_MEM char *path = mem_printf("%.*s", (int)len, at);
        TRY(add_point(curve, path));
        at += len + (at[len] == ',');
    }
    return curve->points ? OK : err_new(ERR_INVALID, "--curve '%s' names no file", where);
}
