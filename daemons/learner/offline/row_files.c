#include "learner/offline/row_files.h"
#include "base/mem.h"
#include "base/rng.h"
#include <inttypes.h>

static err_t read_row(const struct row_taker *taker, const struct jsonl *file, uint64_t i,
                      uint64_t *ret_made)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl_path(file), i + 1);
    TRY(jsonl_row(file, i, &text));
    TRY(json_parse((const char *)text.data, text.len, name, &row));
    return taker->take(taker->arg, row, name, ret_made);
}

err_t row_files_read(const struct recipe_files *files, struct row_taker taker, bool shuffle,
                     struct mixture_plan *plan, uint64_t *ret_skipped)
{
    for (size_t f = 0; f < files->count; f++) {
        SCOPED(jsonl) file = NULL;
        TRY(jsonl_open(files->at[f].path, &file));
        uint64_t all = 0;
        for (uint64_t i = 0; i < jsonl_rows(file); i++) {
            uint64_t made = 0;
            TRY(read_row(&taker, file, i, &made));
            all += made;
            *ret_skipped += !made;
        }
        TRY(err_wrap(mixture_plan_add(plan, all, files->at[f].weight, shuffle), "'%s'",
                     files->at[f].path));
    }
    return OK;
}

uint64_t row_files_at(const struct mixture_plan *plan, bool shuffle, uint64_t n)
{
    const uint64_t places = plan->places, epoch = n / places;
    const struct rng rng = rng_keyed(plan->seed, RNG_SHUFFLE, epoch, 1);
    size_t file;
    uint64_t row;
    mixture_plan_find(plan, epoch, shuffle ? rng_permute(&rng, n % places, places) : n % places,
                      &file, &row);
    for (size_t f = 0; f < file; f++)
        row += plan->part[f].rows;
    return row;
}
