#include "model/pack.h"
#include "base/mem.h"
#include <assert.h>

int pack_rows(int micro_tokens, int longest)
{
    long block = (long)longest * PACK_SHARING;
    block = block < PACK_BLOCK_ROWS ? block : PACK_BLOCK_ROWS;
    block = block > longest ? block : longest;
    return (int)(micro_tokens > block ? micro_tokens : block);
}

err_t pack_new(int micro_tokens, int longest, struct pack **ret)
{
    if (micro_tokens <= 0 || longest <= 0)
        return err_new(ERR_INVALID,
                       "a micro-batch of %d tokens for sequences of %d: both must be positive",
                       micro_tokens, longest);
    struct pack *pack = mem_new(sizeof *pack);
    const size_t rows = (size_t)pack_rows(micro_tokens, longest);
    pack->micro_tokens = micro_tokens;
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

/* ---- blocks */

static bool same_prompt(const struct sequence *a, const struct sequence *b)
{
    return a->prompt == b->prompt && a->prompt_tokens == b->prompt_tokens &&
           a->context == a->prompt_tokens && b->context == b->prompt_tokens;
}

/* How many of the first sequences, at most count, have the first one's prompt. */
static size_t alike(const struct sequence *sequences, size_t count)
{
    size_t n = 1;
    while (n < count && same_prompt(&sequences[0], &sequences[n]))
        n++;
    return n;
}

/* Rows that neighbours with the same prompt share; they have them once. */
static int shared_rows(const struct sequence *sequences, size_t count)
{
    return count > 1 ? sequences->prompt_tokens - 1 : 0;
}

static long rows_of(const struct sequence *sequences, size_t count)
{
    long rows = 0;
    for (size_t at = 0, n; at < count; at += n) {
        n = alike(sequences + at, count - at);
        const int shared = shared_rows(sequences + at, n);
        rows += shared;
        for (size_t i = at; i < at + n; i++)
            rows += sequence_rows(&sequences[i]) - shared;
    }
    return rows;
}

/* Sequences of the first `units` units. */
static size_t sequences_of(const size_t *unit, size_t units)
{
    return unit ? unit[units] - unit[0] : units;
}

/* Units of the first block. */
static size_t block_of(const struct sequence *sequences, size_t count, const size_t *unit)
{
    const size_t most = alike(sequences, count < PACK_SHARING ? count : PACK_SHARING);
    size_t units = 1;
    while (sequences_of(unit, units) < most && sequences_of(unit, units + 1) <= most &&
           rows_of(sequences, sequences_of(unit, units + 1)) <= PACK_BLOCK_ROWS)
        units++;
    return units;
}

/* ---- rows */

static void put_rows(struct pack *pack, const struct sequence *s, struct segment segment)
{
    segment.first = pack->rows;
    for (int i = segment.start; i < segment.start + segment.count; i++) {
        pack->token[pack->rows] = (int32_t)token_at(s, i);
        pack->position[pack->rows++] = i;
    }
    pack->segment[pack->segments++] = segment;
}

/* A sequence's rows from position `shared` on; those before are at row prefix. */
static void put(struct pack *pack, const struct sequence *s, int shared, int prefix)
{
    const int rows = sequence_rows(s), base = pack->rows - shared;
    put_rows(pack, s, (struct segment){.count = rows - shared, .start = shared, .prefix = prefix});
    for (int i = s->context - 1; i < rows; i++) {
        pack->row[pack->targets] = base + i;
        pack->target[pack->targets++] = (int32_t)token_at(s, i + 1);
    }
    pack->first[++pack->sequences] = pack->targets;
}

static void put_block(struct pack *pack, const struct sequence *sequences, size_t count)
{
    for (size_t at = 0, n; at < count; at += n) {
        n = alike(sequences + at, count - at);
        const int shared = shared_rows(sequences + at, n), prefix = shared ? pack->rows : 0;
        if (shared)
            put_rows(pack, &sequences[at], (struct segment){.count = shared});
        for (size_t i = at; i < at + n; i++)
            put(pack, &sequences[i], shared, prefix);
    }
}

size_t pack_fill(struct pack *pack, const struct sequence *sequences, size_t count,
                 const size_t *unit)
{
    pack->rows = pack->segments = pack->sequences = pack->targets = 0;
    size_t taken = 0;
    while (taken < count) {
        const size_t units = block_of(sequences + taken, count - taken, unit),
                     block = sequences_of(unit, units);
        const long rows = rows_of(sequences + taken, block);
        if (taken && rows > pack->micro_tokens - pack->rows)
            break;
        assert(taken + block <= count && rows <= pack->max_rows);
        put_block(pack, sequences + taken, block);
        taken += block;
        unit = unit ? unit + units : NULL;
    }
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
