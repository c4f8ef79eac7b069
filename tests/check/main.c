/* objective-check FILE.json: see check.h. A line for each name of the file, then one with the
 * sums. Exit status: 0, all agree; 1, some do not; 2, FILE is not there or malformed. */
#include "base/bytes.h"
#include "base/mem.h"
#include "base/printable.h"
#include "check/check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MOST = 64 << 20 };

bool check_near(double is, double want)
{
    return fabs(is - want) <= CHECK_TOLERANCE * fmax(1, fabs(want)); // false for NaN
}

/* ---- objectives of sequences */

/* The slopes that the file has: (tokens). */
static err_t read_slopes(const json_t *entry, const char *name, const struct columns *all,
                         double *ret)
{
    const json_t *rows = json_object_get(entry, "dloss_dlogp");
    if (!json_is_array(rows) || json_array_size(rows) != all->sequences)
        return err_new(ERR_INVALID, "objectives.'%.100s'.dloss_dlogp: %zu lists are allowed", name,
                       all->sequences);
    for (size_t i = 0; i < all->sequences; i++) {
        SCOPED_MEM char *where = mem_printf("objectives.'%.100s'.dloss_dlogp[%zu]", name, i);
        TRY(check_numbers(json_array_get(rows, i), where, all->first[i + 1] - all->first[i],
                          ret + all->first[i]));
    }
    return OK;
}

/* The first token whose slope is another, or all tokens' count. */
static size_t first_other(const double *is, const double *want, size_t count)
{
    size_t t = 0;
    while (t < count && check_near(is[t], want[t]))
        t++;
    return t;
}

/* A malformed file has no report: lines wait until all of it has been read. */
static struct bytes lines;

static void report(const char *name, const char *fault)
{
    SCOPED_MEM char *line =
        mem_printf("%-4s %s%s%s", *fault ? "BAD" : "ok", name, *fault ? ": " : "", fault);
    printable(&lines, line, strlen(line), "");
    bytes_text(&lines, "\n");
}

static err_t check_objective(const struct check_inputs *in, const char *name, const json_t *entry,
                             struct check_score *score)
{
    const size_t tokens = in->all->first[in->all->sequences];
    SCOPED_MEM double *want = mem_array(tokens, sizeof *want), *is = mem_array(tokens, sizeof *is);
    const json_t *value = json_object_get(entry, "loss");
    double loss = NAN;
    if (!json_is_number(value))
        return err_new(ERR_INVALID, "objectives.'%.100s'.loss: a number is allowed", name);
    TRY(read_slopes(entry, name, in->all, want));
    err_t e = check_evaluate(in, name, &loss, is);
    const size_t other = err_failed(e) ? 0 : first_other(is, want, tokens);
    SCOPED_MEM char *fault =
        err_failed(e) ? mem_printf("%s", err_message(e))
        : !check_near(loss, json_number_value(value))
            ? mem_printf("loss %.12g, not %.12g", loss, json_number_value(value))
        : other < tokens
            ? mem_printf("slope of token %zu: %.12g, not %.12g", other, is[other], want[other])
            : mem_string("");
    err_free(e);
    report(name, fault);
    score->all++;
    score->agree += !*fault;
    return OK;
}

static err_t check_objectives(const json_t *root, const char *file, struct check_score *ret)
{
    SCOPED_VALUE(check_inputs) in = {0};
    const char *name;
    json_t *entry;
    json_t *objectives = json_object_get(root, "objectives");
    TRY(check_inputs_read(root, file, &in));
    if (!json_is_object(objectives) || json_object_size(objectives) == 0)
        return err_new(ERR_INVALID, "%s: objectives: an object with something in it is allowed",
                       file);
    json_object_foreach (objectives, name, entry)
        TRY(err_wrap(check_objective(&in, name, entry, ret), "%s", file));
    return OK;
}

/* ---- losses of rows of the vocabulary */

static const struct check_rows_key *rows_key(const char *name, struct check_args *ret)
{
    const struct check_rows_key *key;
    for (size_t i = 0; (key = check_vocabulary_key(i)); i++)
        if (check_match(key->pattern, name, ret))
            return key;
    return NULL;
}

static bool tokens_are_words(const struct check_rows_key *key, const struct check_args *args,
                             size_t vocabulary)
{
    for (size_t i = 0; i < key->tokens; i++)
        if (!(args->number[i] >= 0 && args->number[i] < (double)vocabulary &&
              args->number[i] == floor(args->number[i])))
            return false;
    return true;
}

static err_t check_row(const struct check_rows *rows, const char *name, const json_t *entry,
                       struct check_score *score)
{
    struct check_args args;
    const struct check_rows_key *key = rows_key(name, &args);
    const json_t *value = json_object_get(entry, "value");
    double is = NAN;
    SCOPED_MEM double *want = mem_array(rows->vocabulary, sizeof *want),
                      *dz = mem_array(rows->vocabulary, sizeof *dz);
    SCOPED_MEM char *where = mem_printf("vocab_level.checks.'%.100s'", name);
    if (!json_is_number(value))
        return err_new(ERR_INVALID, "%s.value: a number is allowed", where);
    TRY(check_numbers(json_object_get(entry, "dz"), where, rows->vocabulary, want));
    const bool known = key && tokens_are_words(key, &args, rows->vocabulary);
    if (known)
        key->run(rows, &args, &is, dz);
    const bool same = known && check_near(is, json_number_value(value)) &&
                      first_other(dz, want, rows->vocabulary) == rows->vocabulary;
    report(name, same ? "" : !key ? "no key has this name" : !known ? "no such token" : "differs");
    score->all++;
    score->agree += same;
    return OK;
}

static err_t check_vocabulary(const json_t *root, struct check_score *ret)
{
    static const char *const keys[] = {"z", "z_ref", "z_loser"};
    const json_t *level = json_object_get(root, "vocab_level");
    const size_t words = json_array_size(json_object_get(level, "z"));
    const char *name;
    json_t *entry, *checks = json_object_get(level, "checks");
    if (!level)
        return OK;
    if (words == 0 || words > 1 << 20 || !json_is_object(checks))
        return err_new(ERR_INVALID, "vocab_level: lists z, z_ref, z_loser and an object checks are "
                                    "allowed");
    SCOPED_MEM double *z = mem_array(3 * words, sizeof *z);
    for (size_t i = 0; i < 3; i++)
        TRY(check_numbers(json_object_get(level, keys[i]), keys[i], words, z + i * words));
    const struct check_rows rows = {words, z, z + words, z + 2 * words};
    json_object_foreach (checks, name, entry)
        TRY(check_row(&rows, name, entry, ret));
    return OK;
}

/* ---- the file */

static err_t check_file(const char *path, bool *ret_agree)
{
    SCOPED_JSON json_t *root = NULL;
    struct check_score objectives = {0}, vocabulary = {0}, other = {0};
    TRY(json_read_file(path, FILE_MOST, &root));
    TRY(check_objectives(root, path, &objectives));
    TRY(err_wrap(check_vocabulary(root, &vocabulary), "%s", path));
    TRY(err_wrap(check_other(root, path, &other), "%s", path));
    printf("%.*s", (int)lines.len, (const char *)lines.data);
    printf("%zu/%zu objectives, %zu/%zu vocabulary, %zu/%zu other\n", objectives.agree,
           objectives.all, vocabulary.agree, vocabulary.all, other.agree, other.all);
    *ret_agree = objectives.agree == objectives.all && vocabulary.agree == vocabulary.all &&
                 other.agree == other.all;
    return OK;
}

int main(int argc, char **argv)
{
    bool agree = false;
    if (argc != 2) {
        fputs("usage: objective-check FILE.json\n", stderr);
        return 2;
    }
    err_t e = check_file(argv[1], &agree);
    bytes_done(&lines);
    if (err_failed(e)) {
        SCOPED_MEM char *line = printable_text(err_message(e), "");
        fprintf(stderr, "objective-check: %s\n", line);
        err_free(e);
        return 2;
    }
    return agree ? 0 : 1;
}
