#include "learner/job/demonstrations.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/offline/row_files.h"

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
                   "prompt-completion rows; preferences are trained by rlhfctl train",
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

struct taking {
    const struct reading *reading;
    struct demonstrations *to;
};

static err_t take(void *arg, const json_t *row, const char *name, uint64_t *ret_made)
{
    const struct taking *taking = arg;
    struct demonstrations *to = taking->to;
    struct demonstration one = {0};
    TRY(tokenize(taking->reading, row, name, &one));
    *ret_made = one.token != NULL;
    if (!one.token)
        return OK;
    if (!(to->count & (to->count - 1))) // full: at a power of two
        to->row = mem_grow(to->row, to->count ? 2 * to->count : 1, sizeof *to->row);
    to->row[to->count++] = one;
    return OK;
}

static err_t read_files(const struct reading *r, struct demonstrations *ret)
{
    const struct recipe_files *files = &r->recipe->sft.data;
    struct taking taking = {r, ret};
    const struct row_taker taker = {take, &taking};
    TRY(row_files_read(files, taker, true, &ret->plan, &ret->skipped));
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
    return &rows->row[row_files_at(&rows->plan, true, n)];
}

void demonstrations_done(struct demonstrations *rows)
{
    for (uint64_t i = 0; i < rows->count; i++) {
        mem_free(rows->row[i].token);
        mem_free(rows->row[i].loss);
    }
    mem_free(rows->row);
}
