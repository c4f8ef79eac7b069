#include "model/text/bpe.h"
#include "base/hash.h"
#include "base/mem.h"
#include "model/text/unicode.h"
#include <limits.h>
#include <string.h>

enum { WORD_SHORT = 48 /* symbols merged by scanning; longer words use a heap */ };

struct merge {
    uint64_t pair;
    int32_t rank, id; // id -1: an empty place
};

struct token {
    uint64_t at;
    uint32_t len;
    bool used, reachable;
};

struct bpe {
    int vocab, merges, places; // places: of the table, a power of two
    struct token *token;       // (vocab)
    struct bytes data;
    int32_t byte_id[256];
    struct merge *table; // open addressing
    uint64_t *ranked;    // (merges) pairs by rank
    int32_t *find;       // open addressing over tokens' bytes; -1: empty
    uint64_t find_mask;
};

static uint64_t pair_of(int32_t a, int32_t b)
{
    return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

static uint64_t pair_place(const struct bpe *bpe, uint64_t pair)
{
    pair ^= pair >> 32;
    return (pair * 0x9E3779B97F4A7C15u >> 20) & (uint64_t)(bpe->places - 1);
}

struct bpe *bpe_new(int vocab)
{
    struct bpe *bpe = mem_new(sizeof *bpe);
    bpe->vocab = vocab;
    bpe->token = mem_array((size_t)vocab, sizeof *bpe->token);
    memset(bpe->byte_id, -1, sizeof bpe->byte_id);
    return bpe;
}

void bpe_token(struct bpe *bpe, int id, const void *data, size_t len, bool reachable)
{
    bpe->token[id] = (struct token){
        .at = bpe->data.len, .len = (uint32_t)len, .used = true, .reachable = reachable};
    bytes_put(&bpe->data, data, len);
}

void bpe_index(struct bpe *bpe)
{
    size_t places = 16;
    while (places < 2 * (size_t)bpe->vocab)
        places *= 2;
    bpe->find = mem_array(places, sizeof *bpe->find);
    bpe->find_mask = places - 1;
    memset(bpe->find, -1, places * sizeof *bpe->find);
    for (int id = 0; id < bpe->vocab; id++) {
        size_t len;
        const uint8_t *data = bpe_bytes(bpe, id, &len);
        if (!len || !bpe->token[id].reachable)
            continue;
        uint64_t at = hash64(data, len, 0) & bpe->find_mask;
        while (bpe->find[at] >= 0)
            at = (at + 1) & bpe->find_mask;
        bpe->find[at] = id;
        if (len == 1)
            bpe->byte_id[data[0]] = id;
    }
}

/* The pair's place, or the empty one where it belongs. */
static struct merge *merge_place(const struct bpe *bpe, uint64_t pair)
{
    uint64_t at = pair_place(bpe, pair);
    while (bpe->table[at].id >= 0 && bpe->table[at].pair != pair)
        at = (at + 1) & (uint64_t)(bpe->places - 1);
    return &bpe->table[at];
}

static void merges_grow(struct bpe *bpe)
{
    struct merge *old = bpe->table;
    int places = bpe->places;
    bpe->places = places ? 2 * places : 64;
    bpe->table = mem_array((size_t)bpe->places, sizeof *bpe->table);
    for (int i = 0; i < bpe->places; i++)
        bpe->table[i].id = -1;
    for (int i = 0; i < places; i++)
        if (old[i].id >= 0)
            *merge_place(bpe, old[i].pair) = old[i];
    free(old);
    bpe->ranked = mem_grow(bpe->ranked, (size_t)bpe->places, sizeof *bpe->ranked);
}

bool bpe_merge(struct bpe *bpe, int a, int b, int id)
{
    if (2 * (bpe->merges + 1) > bpe->places)
        merges_grow(bpe);
    struct merge *place = merge_place(bpe, pair_of(a, b));
    if (place->id >= 0)
        return false;
    bpe->ranked[bpe->merges] = pair_of(a, b);
    *place = (struct merge){.pair = pair_of(a, b), .rank = bpe->merges++, .id = id};
    return true;
}

int bpe_vocab(const struct bpe *bpe)
{
    return bpe->vocab;
}

int bpe_merges(const struct bpe *bpe)
{
    return bpe->merges;
}

void bpe_merge_at(const struct bpe *bpe, int rank, int *ret_a, int *ret_b)
{
    *ret_a = (int)(bpe->ranked[rank] >> 32);
    *ret_b = (int)(uint32_t)bpe->ranked[rank];
}

bool bpe_has(const struct bpe *bpe, int id)
{
    return id >= 0 && id < bpe->vocab && bpe->token[id].used;
}

const uint8_t *bpe_bytes(const struct bpe *bpe, int id, size_t *ret_len)
{
    *ret_len = bpe->token[id].len;
    return *ret_len ? bpe->data.data + bpe->token[id].at : NULL;
}

int bpe_find(const struct bpe *bpe, const void *data, size_t len)
{
    uint64_t at = hash64(data, len, 0) & bpe->find_mask;
    for (; bpe->find[at] >= 0; at = (at + 1) & bpe->find_mask) {
        const struct token *token = &bpe->token[bpe->find[at]];
        if (token->len == len && !memcmp(bpe->data.data + token->at, data, len))
            return bpe->find[at];
    }
    return -1;
}

int bpe_byte(const struct bpe *bpe, uint8_t byte)
{
    return bpe->byte_id[byte];
}

/* Rank and result of a pair; rank INT_MAX: they do not merge. */
static struct merge merge_of(const struct bpe *bpe, int32_t a, int32_t b)
{
    struct merge found = bpe->places ? *merge_place(bpe, pair_of(a, b)) : (struct merge){.id = -1};
    if (found.id < 0)
        found.rank = INT_MAX;
    return found;
}

/* Scans for the lowest rank until nothing merges: least work for the few symbols that words have.
 */
static int word_short(const struct bpe *bpe, int count, int32_t *ids)
{
    struct merge next[WORD_SHORT]; // next[i]: of symbols i and i + 1
    for (int i = 0; i + 1 < count; i++)
        next[i] = merge_of(bpe, ids[i], ids[i + 1]);
    while (count > 1) {
        int best = 0;
        for (int i = 1; i + 1 < count; i++)
            if (next[i].rank < next[best].rank)
                best = i;
        if (next[best].rank == INT_MAX)
            break;
        ids[best] = next[best].id;
        count--;
        memmove(&ids[best + 1], &ids[best + 2], (size_t)(count - best - 1) * sizeof *ids);
        memmove(&next[best], &next[best + 1], (size_t)(count - best - 1) * sizeof *next);
        if (best > 0)
            next[best - 1] = merge_of(bpe, ids[best - 1], ids[best]);
        if (best + 1 < count)
            next[best] = merge_of(bpe, ids[best], ids[best + 1]);
    }
    return count;
}

/* A long word: symbols in a doubly linked list, possible merges in a heap by (rank, position). */
struct symbol {
    int32_t id; // -1: merged into the one before
    int previous, next;
};
struct candidate {
    int rank, at;
    int32_t left, right; // as they were: another pair there now makes it stale
    int32_t id;
};
struct heap {
    struct candidate *item;
    int count, capacity;
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct heap *heap, struct candidate item)
{
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? 2 * heap->capacity : 256;
        heap->item = mem_grow(heap->item, (size_t)heap->capacity, sizeof *heap->item);
    }
    int at = heap->count++;
    for (; at && before(&item, &heap->item[(at - 1) / 2]); at = (at - 1) / 2)
        heap->item[at] = heap->item[(at - 1) / 2];
    heap->item[at] = item;
}

static struct candidate heap_pop(struct heap *heap)
{
    struct candidate top = heap->item[0], last = heap->item[--heap->count];
    int at = 0;
    for (int child; (child = 2 * at + 1) < heap->count; at = child) {
        child += child + 1 < heap->count && before(&heap->item[child + 1], &heap->item[child]);
        if (!before(&heap->item[child], &last))
            break;
        heap->item[at] = heap->item[child];
    }
    heap->item[at] = last;
    return top;
}

static void heap_consider(const struct bpe *bpe, struct heap *heap, const struct symbol *symbol,
                          int at)
{
    if (at < 0 || symbol[at].next < 0)
        return;
    int32_t left = symbol[at].id, right = symbol[symbol[at].next].id;
    struct merge merge = merge_of(bpe, left, right);
    if (merge.id >= 0)
        heap_push(heap, (struct candidate){merge.rank, at, left, right, merge.id});
}

static int word_long(const struct bpe *bpe, int count, int32_t *ids)
{
    SCOPED_MEM struct symbol *symbol = mem_array((size_t)count, sizeof *symbol);
    struct heap heap = {0};
    for (int i = 0; i < count; i++)
        symbol[i] = (struct symbol){ids[i], i - 1, i + 1 < count ? i + 1 : -1};
    for (int i = 0; i < count; i++)
        heap_consider(bpe, &heap, symbol, i);
    while (heap.count) {
        struct candidate top = heap_pop(&heap);
        int next = symbol[top.at].next;
        if (symbol[top.at].id != top.left || next < 0 || symbol[next].id != top.right)
            continue;
        symbol[top.at].id = top.id;
        symbol[top.at].next = symbol[next].next;
        symbol[next].id = -1;
        if (symbol[next].next >= 0)
            symbol[symbol[next].next].previous = top.at;
        heap_consider(bpe, &heap, symbol, symbol[top.at].previous);
        heap_consider(bpe, &heap, symbol, top.at);
    }
    free(heap.item);
    int left = 0;
    for (int i = 0; i >= 0; i = symbol[i].next)
        ids[left++] = symbol[i].id;
    return left;
}

int bpe_word(const struct bpe *bpe, int32_t *ids, size_t count)
{
    return count <= WORD_SHORT ? word_short(bpe, (int)count, ids) : word_long(bpe, (int)count, ids);
}

void bpe_free(struct bpe *bpe)
{
    free(bpe->token);
    bytes_done(&bpe->data);
    free(bpe->table);
    free(bpe->ranked);
    free(bpe->find);
    free(bpe);
}

uint32_t bpe_spell(uint8_t byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte >= 0x7f && byte <= 0xa0)
        return 0x121u + (byte - 0x7fu);
    return byte == 0xad ? 0x143u : byte;
}

int bpe_unspell(uint32_t code)
{
    if (code >= 0x100 && code <= 0x120)
        return (int)code - 0x100;
    if (code >= 0x121 && code <= 0x142)
        return (int)code - 0x121 + 0x7f;
    if (code == 0x143)
        return 0xad;
    return code < 0x100 && bpe_spell((uint8_t)code) == code ? (int)code : -1;
}

bool bpe_unspell_text(const char *text, size_t len, struct bytes *ret)
{
    SCOPED_VALUE(bytes) out = {0};
    uint32_t code;
    for (size_t at = 0; at < len;) {
        at += (size_t)unicode_next(text + at, len - at, &code);
        int byte = bpe_unspell(code);
        if (byte < 0)
            return false;
        bytes_u8(&out, (uint8_t)byte);
    }
    bytes_put(ret, out.data, out.len);
    return true;
}
