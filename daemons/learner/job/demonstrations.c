#include "learner/job/demonstrations.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include <inttypes.h>
#include <string.h>

struct reading {
    const struct recipe *recipe;
    const struct tokenizer *tokenizer;
    int end, longest;
    int32_t *scratch; // (longest + 1)
};

/* As many tokens as the text has, into to if that has room for them. */
static err_t encode(const struct reading *r, const char *text, int32_t *to, int room, int *ret)
{
    SCOPED_MEM int32_t *ids = NULL;
    TRY(tokenizer_encode_row(r->tokenizer, text, strlen(text),
                             r->recipe->data.special_tokens == RECIPE_SPECIAL_TOKENS, &ids, ret));
    if (*ret <= room)
        memcpy(to, ids, (size_t)*ret * sizeof *ids);
    return OK;
}

/* *ret->token stays NULL for a row that is too long or has no prompt: it is skipped. */
static err_t tokenize(const struct reading *r, const json_t *row, const char *name,
                      struct demonstration *ret)
{
    const char *prompt, *completion;
    int32_t *scratch = r->scratch;
    int most = r->longest, p = 0, c = 0;
    TRY(json_get_text(row, name, r->recipe->data.prompt_column, &prompt));
    TRY(json_get_text(row, name, r->recipe->data.completion_column, &completion));
    TRY(err_wrap(encode(r, prompt, scratch, most, &p), "%s", name));
    if (p == 0 || p > most)
        return OK;
    TRY(err_wrap(encode(r, completion, scratch + p, most - p, &c), "%s", name));
    if (c >= most - p)
        return OK;
    scratch[p + c] = r->end;
    *ret = (struct demonstration){.token = mem_copy(scratch, (size_t)(p + c + 1) * sizeof *scratch),
                                  .prompt_tokens = p,
                                  .tokens = c + 1};
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

static err_t read_files(struct reading *r, struct demonstrations *ret)
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

err_t demonstrations_read(const struct recipe *recipe, const struct tokenizer *tokenizer, int end,
                          int longest, struct demonstrations *ret)
{
    SCOPED_MEM int32_t *scratch = mem_array((size_t)longest + 1, sizeof *scratch);
    struct reading reading = {recipe, tokenizer, end, longest, scratch};
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
        for (uint64_t i = 0; i < rows->file[f].rows; i++)
            mem_free(rows->file[f].row[i].token);
        mem_free(rows->file[f].row);
    }
}
