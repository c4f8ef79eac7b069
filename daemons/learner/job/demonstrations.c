#include "learner/job/demonstrations.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include <inttypes.h>

struct reading {
    const struct recipe *recipe;
    const struct row_rules *rules;
    int longest;
};

/* Formats whose tokens supervised training knows what to do with. */
static err_t check_format(const struct row_kind *kind, const char *name)
{
    char text[ROW_KIND_TEXT];
    if (kind->format == ROW_LANGUAGE || kind->format == ROW_COMPLETION)
        return OK;
    return err_new(ERR_INVALID,
                   "%s: a %s row; sft takes language modelling (text, messages) and "
                   "prompt-completion rows, and no objective takes others from a file yet",
                   name, row_kind_text(kind, text));
}

/* *ret->token stays NULL for a row that is too long or has nothing to learn: it is skipped. */
static err_t tokenize(const struct reading *r, const json_t *row, const char *name,
                      struct demonstration *ret)
{
    SCOPED_VALUE(row_tokens) tokens = {0};
    struct row_kind kind;
    struct row_sequence *all = &tokens.at[0];
    int first = 1;
    TRY(row_kind_of(row, &r->rules->names, name, &kind));
    TRY(check_format(&kind, name));
    TRY(row_encode(r->rules, row, name, &tokens));
    const bool empty = kind.format == ROW_COMPLETION && !all->prompt_tokens;
    while (first < all->tokens && !all->loss[first])
        first++;
    if (empty || all->tokens > r->longest || first >= all->tokens)
        return OK;
    *ret = (struct demonstration){.token = (uint32_t *)STEAL(all->id),
                                  .loss = STEAL(all->loss),
                                  .tokens = all->tokens,
                                  .prompt_tokens = all->prompt_tokens,
                                  .first = first};
    return OK;
}

static err_t read_row(const struct reading *r, const struct jsonl *file, uint64_t i,
                      struct demonstration *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(file), i + 1);
    TRY(jsonl_row(file, i, &text));
    TRY(json_parse((const char *)text.data, text.len, name, &row));
    return tokenize(r, row, name, ret);
}

static err_t read_file(const struct reading *r, const struct mixture_file *from,
                       struct demonstrations *ret)
{
    SCOPED(jsonl) file = NULL;
    TRY(jsonl_open(from->path, &file));
    const uint64_t rows = jsonl_rows(file);
    const size_t f = ret->files++;
    ret->file[f].row = mem_array(rows, sizeof *ret->file[f].row);
    for (uint64_t i = 0; i < rows; i++) {
        struct demonstration *to = &ret->file[f].row[ret->file[f].rows];
        TRY(read_row(r, file, i, to));
        ret->file[f].rows += to->token != NULL;
    }
    ret->count += ret->file[f].rows;
    ret->skipped += rows - ret->file[f].rows;
    return err_wrap(mixture_plan_add(&ret->plan, ret->file[f].rows, from->weight, true), "'%s'",
                    from->path);
}

static err_t read_files(const struct reading *r, struct demonstrations *ret)
{
    const struct recipe_files *files = &r->recipe->sft.data;
    for (size_t i = 0; i < files->count; i++)
        TRY(read_file(r, &files->at[i], ret));
    return ret->count ? OK
                      : err_new(ERR_INVALID,
                                "%s: no row fits into %d tokens (sft.max_tokens, and the model's "
                                "longest sequence)",
                                files->at[0].path, r->longest);
}

err_t demonstrations_read(const struct recipe *recipe, const struct row_rules *rules, int longest,
                          struct demonstrations *ret)
{
    const struct reading reading = {recipe, rules, longest};
    SCOPED_VALUE(demonstrations) rows = {.plan = {.seed = (uint64_t)recipe->sft.seed}};
    TRY(read_files(&reading, &rows));
    *ret = rows;
    rows = (struct demonstrations){0};
    return OK;
}

const struct demonstration *demonstrations_at(const struct demonstrations *rows, uint64_t n)
{
    const uint64_t places = rows->plan.places, epoch = n / places;
    const struct rng rng = rng_keyed(rows->plan.seed, RNG_SHUFFLE, epoch, 1);
    size_t file;
    uint64_t row;
    mixture_plan_find(&rows->plan, epoch, rng_permute(&rng, n % places, places), &file, &row);
    return &rows->file[file].row[row];
}

void demonstrations_done(struct demonstrations *rows)
{
    for (size_t f = 0; f < rows->files; f++) {
        for (uint64_t i = 0; i < rows->file[f].rows; i++) {
            mem_free(rows->file[f].row[i].token);
            mem_free(rows->file[f].row[i].loss);
        }
        mem_free(rows->file[f].row);
    }
}
