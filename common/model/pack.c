#include "model/pack.h"
#include "base/mem.h"
#include <assert.h>

err_t pack_new(int micro_tokens, int longest, struct pack **ret)
{
    if (micro_tokens <= 0 || longest <= 0)
        return err_new(ERR_INVALID,
                       "a micro-batch of %d tokens for sequences of %d: both must be positive",
                       micro_tokens, longest);
    struct pack *pack = mem_new(sizeof *pack);
    size_t rows = (size_t)(micro_tokens > longest ? micro_tokens : longest);
    pack->max_rows = (int)rows;
    pack->token = mem_array(rows, sizeof *pack->token);
    pack->position = mem_array(rows, sizeof *pack->position);
    pack->segment = mem_array(rows, sizeof *pack->segment);
    pack->row = mem_array(rows, sizeof *pack->row);
    pack->target = mem_array(rows, sizeof *pack->target);
    pack->first = mem_array(rows + 1, sizeof *pack->first);
    *ret = pack;
    return OK;
}

static uint32_t token_at(const struct sequence *s, int position)
{
    return position < s->prompt_tokens ? s->prompt[position]
                                       : s->token[position - s->prompt_tokens];
}

static void put(struct pack *pack, const struct sequence *s)
{
    int rows = sequence_rows(s);
    pack->segment[pack->sequences] = (struct segment){.first = pack->rows, .count = rows};
    for (int i = 0; i < rows; i++) {
        pack->token[pack->rows + i] = (int32_t)token_at(s, i);
        pack->position[pack->rows + i] = i;
        if (i + 1 < s->context)
            continue;
        pack->row[pack->targets] = pack->rows + i;
        pack->target[pack->targets++] = (int32_t)token_at(s, i + 1);
    }
    pack->rows += rows;
    pack->first[++pack->sequences] = pack->targets;
}

static int unit_rows(const struct sequence *sequences, size_t unit)
{
    int rows = 0;
    for (size_t i = 0; i < unit; i++)
        rows += sequence_rows(&sequences[i]);
    return rows;
}

size_t pack_fill(struct pack *pack, const struct sequence *sequences, size_t count, size_t unit)
{
    assert(count % unit == 0);
    pack->rows = pack->sequences = pack->targets = 0;
    size_t taken = 0;
    while (taken < count && unit_rows(&sequences[taken], unit) <= pack->max_rows - pack->rows)
        for (size_t i = 0; i < unit; i++)
            put(pack, &sequences[taken++]);
    assert(taken || !count);
    return taken;
}

void pack_free(struct pack *pack)
{
    if (!pack)
        return;
    mem_free(pack->token);
    mem_free(pack->position);
    mem_free(pack->segment);
    mem_free(pack->row);
    mem_free(pack->target);
    mem_free(pack->first);
    mem_free(pack);
}
