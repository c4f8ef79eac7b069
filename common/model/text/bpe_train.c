/* Counts change only where a merge changes a word; a heap holds the pairs by count, with stale
 * counts corrected when they come up. Behaves as tokenizers 0.23's trainer does, down to a pair
 * being counted again when another pair makes the same token: each heap item keeps the words that
 * were known when it was pushed. */
#include "model/text/bpe_train.h"
#include "base/mem.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct pair_count {
    uint64_t pair;
    bool used;
    int64_t count;
    uint32_t *where; // words that gained it since the last merge, ascending, once each
    uint32_t places, capacity;
    int rank; // of its latest merge; -1: none
};

struct pair_item {
    uint64_t count, pair, order;
    uint32_t *where;
    uint32_t places;
};

static void *grown(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? 2 * *capacity : 64;
    return mem_grow(array, *capacity, size);
}

void bpe_train_word(struct bpe_train *t, const int32_t *ids, uint32_t count, uint64_t times)
{
    while (t->symbols + count > t->symbol_capacity)
        t->symbol = grown(t->symbol, t->symbol_capacity, &t->symbol_capacity, sizeof *t->symbol);
    t->word = grown(t->word, t->words, &t->word_capacity, sizeof *t->word);
    t->word[t->words++] = (struct bpe_train_word){.at = t->symbols, .len = count, .times = times};
    memcpy(t->symbol + t->symbols, ids, count * sizeof *ids);
    t->symbols += count;
}

/* ---- counts */

static struct pair_count *place_of(struct pair_count *table, size_t places, uint64_t pair)
{
    size_t at = (pair ^ pair >> 32) * 0x9E3779B97F4A7C15u >> 20 & (places - 1);
    while (table[at].used && table[at].pair != pair)
        at = (at + 1) & (places - 1);
    return &table[at];
}

static struct pair_count *count_of(struct bpe_train *t, uint64_t pair)
{
    if (2 * t->pairs >= t->places) {
        const size_t places = t->places ? 2 * t->places : 1024;
        struct pair_count *table = mem_array(places, sizeof *table);
        for (size_t i = 0; i < t->places; i++)
            if (t->pair[i].used)
                *place_of(table, places, t->pair[i].pair) = t->pair[i];
        mem_free(t->pair);
        t->pair = table;
        t->places = places;
    }
    struct pair_count *count = place_of(t->pair, t->places, pair);
    if (!count->used) {
        *count = (struct pair_count){.pair = pair, .used = true, .rank = -1};
        t->pairs++;
    }
    return count;
}

static uint64_t pair_of(int32_t a, int32_t b)
{
    return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

static void lose(struct bpe_train *t, int32_t a, int32_t b, uint64_t times)
{
    count_of(t, pair_of(a, b))->count -= (int64_t)times;
}

static void gain(struct bpe_train *t, int32_t a, int32_t b, uint32_t word)
{
    struct pair_count *count = count_of(t, pair_of(a, b));
    count->count += (int64_t)t->word[word].times;
    if (!count->places) {
        t->touched = grown(t->touched, t->touched_count, &t->touched_capacity, sizeof *t->touched);
        t->touched[t->touched_count++] = pair_of(a, b);
    }
    if (count->places && count->where[count->places - 1] == word)
        return;
    if (count->places == count->capacity) {
        count->capacity = count->capacity ? 2 * count->capacity : 4;
        count->where = mem_grow(count->where, count->capacity, sizeof *count->where);
    }
    count->where[count->places++] = word;
}

/* ---- the heap: highest count, then smaller ids, then first pushed */

static bool before(const struct pair_item *a, const struct pair_item *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->pair != b->pair ? a->pair < b->pair : a->order < b->order;
}

static void push(struct bpe_train *t, struct pair_item item)
{
    t->heap = grown(t->heap, t->heap_count, &t->heap_capacity, sizeof *t->heap);
    size_t at = t->heap_count++;
    for (; at && before(&item, &t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = item;
}

static struct pair_item pop(struct bpe_train *t)
{
    struct pair_item top = t->heap[0], last = t->heap[--t->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < t->heap_count; at = child) {
        child += child + 1 < t->heap_count && before(&t->heap[child + 1], &t->heap[child]);
        if (!before(&t->heap[child], &last))
            break;
        t->heap[at] = t->heap[child];
    }
    t->heap[at] = last;
    return top;
}

/* Pairs that gained places go onto the heap with the words that gained them. */
static void push_touched(struct bpe_train *t)
{
    for (size_t i = 0; i < t->touched_count; i++) {
        struct pair_count *count = count_of(t, t->touched[i]);
        if (count->count > 0)
            push(t, (struct pair_item){.count = (uint64_t)count->count,
                                       .pair = count->pair,
                                       .order = t->pushed++,
                                       .where = count->where,
                                       .places = count->places});
        else
            mem_free(count->where);
        count->where = NULL;
        count->places = count->capacity = 0;
    }
    t->touched_count = 0;
}

/* ---- merging */

static bool countable(const struct bpe_train *t, int32_t a, int32_t b)
{
    return (size_t)t->units[a] + t->units[b] < t->max_units;
}

/* Replaces a b by id in one word, left to right, and moves the counts of the pairs around it. */
static void merge_word(struct bpe_train *t, uint32_t index, int32_t a, int32_t b, int32_t id)
{
    struct bpe_train_word *word = &t->word[index];
    int32_t *symbol = t->symbol + word->at;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < word->len; i++, kept++) {
        if (symbol[i] != a || i + 1 == word->len || symbol[i + 1] != b) {
            symbol[kept] = symbol[i];
            continue;
        }
        if (kept) {
            lose(t, symbol[kept - 1], a, word->times);
            if (countable(t, symbol[kept - 1], id))
                gain(t, symbol[kept - 1], id, index);
        }
        i++;
        symbol[kept] = id;
        if (i + 1 < word->len) {
            lose(t, b, symbol[i + 1], word->times);
            if (countable(t, id, symbol[i + 1]))
                gain(t, id, symbol[i + 1], index);
        }
    }
    word->len = kept;
}

static void set_units(struct bpe_train *t, int id, uint32_t units)
{
    while (id >= t->units_capacity) {
        t->units_capacity = t->units_capacity ? 2 * t->units_capacity : 1024;
        t->units = mem_grow(t->units, (size_t)t->units_capacity, sizeof *t->units);
    }
    t->units[id] = units;
}

static void count_words(struct bpe_train *t)
{
    for (size_t i = 0; i < t->symbols; i++)
        set_units(t, t->symbol[i], 1);
    for (size_t i = 0; i < t->words; i++)
        for (uint32_t j = 0; j + 1 < t->word[i].len; j++)
            gain(t, t->symbol[t->word[i].at + j], t->symbol[t->word[i].at + j + 1], (uint32_t)i);
    push_touched(t);
}

static void merge_item(struct bpe_train *t, const struct pair_item *item, size_t *capacity)
{
    const int32_t a = (int32_t)(item->pair >> 32), b = (int32_t)(uint32_t)item->pair;
    const int id = t->name(t->arg, a, b, &t->tokens);
    set_units(t, id, t->units[a] + t->units[b]);
    t->merge = grown(t->merge, (size_t)t->merges, capacity, sizeof *t->merge);
    count_of(t, item->pair)->rank = t->merges;
    t->merge[t->merges++] = item->pair;
    for (uint32_t i = 0; i < item->places; i++)
        merge_word(t, item->where[i], a, b, id);
    push_touched(t);
}

/* A pair that was merged twice has its latest rank, as it has after a round trip through
 * tokenizer.json. */
static void drop_repeated(struct bpe_train *t)
{
    int kept = 0;
    for (int rank = 0; rank < t->merges; rank++)
        if (count_of(t, t->merge[rank])->rank == rank)
            t->merge[kept++] = t->merge[rank];
    t->merges = kept;
}

void bpe_train_run(struct bpe_train *t, int vocab_size, uint64_t min_frequency)
{
    size_t capacity = 0;
    count_words(t);
    while (t->tokens < vocab_size && t->heap_count) {
        struct pair_item item = pop(t);
        const int64_t count = count_of(t, item.pair)->count;
        if ((int64_t)item.count != count) {
            item.count = count > 0 ? (uint64_t)count : 0;
            if (item.count)
                push(t, item);
            else
                mem_free(item.where);
            continue;
        }
        if (item.count < min_frequency) {
            mem_free(item.where);
            break;
        }
        merge_item(t, &item, &capacity);
        mem_free(item.where);
    }
    drop_repeated(t);
}

void bpe_train_done(struct bpe_train *t)
{
    for (size_t i = 0; i < t->heap_count; i++)
        mem_free(t->heap[i].where);
    for (size_t i = 0; i < t->places; i++)
        mem_free(t->pair[i].where);
    void *const arrays[] = {t->word, t->symbol, t->units, t->pair, t->touched, t->heap, t->merge};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    *t = (struct bpe_train){0};
}
