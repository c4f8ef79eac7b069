#include "ctl/reward/audit_copies.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ctl/reward/proportion.h"
#include "ctl/reward/words.h"
#include <stdlib.h>
#include <string.h>

enum {
    BANDS = 16, // of two minima: a copy at 60 % is met with 1 - (1 - 0.36)^16 > 0.999
    ROWS = 2,
    SHARE_PERCENT = 60,
    SHINGLE_WORDS = 2
};

/* An answer: 2 * pair for the winner, 2 * pair + 1 for the loser. */
static const char *answer_of(const struct audit_pairs *pairs, size_t i)
{
    return i % 2 ? pairs->at[i / 2].loser : pairs->at[i / 2].winner;
}

/* ---- shingles */

struct shingles {
    struct words words;
    uint64_t *at; // (count) ascending, each once
    size_t count, capacity;
};

static void shingles_done(struct shingles *shingles)
{
    words_done(&shingles->words);
    mem_free(shingles->at);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void shingles_of(const char *text, struct shingles *ret)
{
    words_of(text, &ret->words);
    const size_t words = ret->words.count, length = words < SHINGLE_WORDS ? words : SHINGLE_WORDS;
    const size_t count = words ? words - length + 1 : 0;
    size_t n = 0;
    if (ret->capacity < count) {
        ret->capacity = count;
        ret->at = mem_grow(ret->at, count, sizeof *ret->at);
    }
    for (size_t i = 0; i < count; i++)
        ret->at[i] = words_hash(&ret->words, i, length);
    qsort(ret->at, count, sizeof *ret->at, by_number);
    for (size_t i = 0; i < count; i++)
        if (!n || ret->at[n - 1] != ret->at[i])
            ret->at[n++] = ret->at[i];
    ret->count = n;
}

static bool alike(const struct shingles *a, const struct shingles *b)
{
    size_t both = 0;
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        both += a->at[i] == b->at[k];
        const bool next = a->at[i] <= b->at[k];
        k += b->at[k] <= a->at[i];
        i += next;
    }
    return both && both * 100 >= (a->count + b->count - both) * SHARE_PERCENT;
}

/* ---- answers that agree in a band of minima, as one set each */

struct meeting {
    uint64_t band; // hash of a band's minima
    uint32_t answer;
};

static int by_band(const void *a, const void *b)
{
    const struct meeting *x = a, *y = b;
    if (x->band != y->band)
        return x->band < y->band ? -1 : 1;
    return (x->answer > y->answer) - (x->answer < y->answer);
}

static uint32_t root_of(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

static uint64_t band_hash(const struct shingles *shingles, uint64_t band)
{
    uint64_t least[ROWS];
    for (uint64_t row = 0; row < ROWS; row++) {
        least[row] = UINT64_MAX;
        for (size_t i = 0; i < shingles->count; i++) {
            const uint64_t hash =
                hash64(&shingles->at[i], sizeof *shingles->at, 1 + band * ROWS + row);
            least[row] = hash < least[row] ? hash : least[row];
        }
    }
    return hash64(least, sizeof least, band);
}

/* Answers of one band are held against the first of them that they are met with. */
static void join_band(const struct audit_pairs *pairs, const struct meeting *met, size_t count,
                      uint32_t *parent)
{
    SCOPED_VALUE(shingles) first = {0};
    SCOPED_VALUE(shingles) other = {0};
    for (size_t i = 0, begin = 0; i < count; i++) {
        if (i == begin || met[i].band != met[begin].band) {
            begin = i;
            first.count = SIZE_MAX; // not read yet
            continue;
        }
        if (root_of(parent, met[i].answer) == root_of(parent, met[begin].answer))
            continue;
        if (first.count == SIZE_MAX)
            shingles_of(answer_of(pairs, met[begin].answer), &first);
        shingles_of(answer_of(pairs, met[i].answer), &other);
        if (alike(&first, &other))
            join(parent, met[begin].answer, met[i].answer);
    }
}

static void find_sets(const struct audit_pairs *pairs, uint32_t *parent)
{
    const size_t answers = 2 * pairs->count;
    SCOPED_MEM struct meeting *met = mem_array(answers, sizeof *met);
    SCOPED_VALUE(shingles) shingles = {0};
    for (uint64_t band = 0; band < BANDS; band++) {
        size_t n = 0;
        for (size_t i = 0; i < answers; i++) {
            shingles_of(answer_of(pairs, i), &shingles);
            if (shingles.count)
                met[n++] = (struct meeting){band_hash(&shingles, band), (uint32_t)i};
        }
        qsort(met, n, sizeof *met, by_band);
        join_band(pairs, met, n, parent);
    }
}

/* ---- the sets as templates */

static size_t different_prompts(const struct audit_pairs *pairs, const uint32_t *answer,
                                size_t count)
{
    SCOPED_MEM uint64_t *hash = mem_array(count, sizeof *hash);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const char *prompt = pairs->at[answer[i] / 2].prompt;
        hash[i] = hash64(prompt, strlen(prompt), 0);
    }
    qsort(hash, count, sizeof *hash, by_number);
    for (size_t i = 0; i < count; i++)
        n += !i || hash[i] != hash[i - 1];
    return n;
}

/* answer: of one set, ascending. A pair whose answers both have the template tells nothing. */
static struct audit_template template_of(const struct audit_pairs *pairs, const uint32_t *answer,
                                         size_t count)
{
    struct audit_template t = {.text = answer_of(pairs, answer[0]),
                               .prompts = different_prompts(pairs, answer, count),
                               .pair = mem_array(count, sizeof *t.pair)};
    for (size_t i = 0; i < count; i++) {
        const bool both = (i && answer[i - 1] / 2 == answer[i] / 2) ||
                          (i + 1 < count && answer[i + 1] / 2 == answer[i] / 2);
        const bool won = answer[i] % 2 == 0;
        t.won += !both && won;
        t.lost += !both && !won;
        if (!both && won)
            t.pair[t.pairs++] = answer[i] / 2;
    }
    return t;
}

struct in_set {
    uint32_t root, answer;
};

static int by_root(const void *a, const void *b)
{
    const struct in_set *x = a, *y = b;
    if (x->root != y->root)
        return x->root < y->root ? -1 : 1;
    return (x->answer > y->answer) - (x->answer < y->answer);
}

static int by_p(const void *a, const void *b)
{
    const struct audit_template *x = a, *y = b;
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    return (x->pair[0] > y->pair[0]) - (x->pair[0] < y->pair[0]);
}

/* Keeps the templates at p <= 0.05 after Holm. */
static void keep_significant(struct audit_copies *ret)
{
    SCOPED_MEM double *p = mem_array(ret->tested, sizeof *p);
    for (size_t i = 0; i < ret->tested; i++)
        p[i] = ret->at[i].p;
    holm(p, ret->tested, p);
    for (size_t i = 0; i < ret->tested; i++) {
        ret->at[i].p = p[i];
        if (p[i] <= 0.05)
            ret->at[ret->count++] = ret->at[i];
        else
            mem_free(ret->at[i].pair);
    }
    qsort(ret->at, ret->count, sizeof *ret->at, by_p);
    while (ret->count > AUDIT_COPIES_TOLD)
        mem_free(ret->at[--ret->count].pair);
}

void audit_copies_find(const struct audit_pairs *pairs, const struct audit_null *null,
                       struct audit_copies *ret)
{
    const size_t answers = 2 * pairs->count;
    SCOPED_MEM uint32_t *parent = mem_array(answers, sizeof *parent);
    SCOPED_MEM struct in_set *in = mem_array(answers, sizeof *in);
    SCOPED_MEM uint32_t *answer = mem_array(answers, sizeof *answer);
    for (size_t i = 0; i < answers; i++)
        parent[i] = (uint32_t)i;
    find_sets(pairs, parent);
    for (size_t i = 0; i < answers; i++)
        in[i] = (struct in_set){root_of(parent, (uint32_t)i), (uint32_t)i};
    qsort(in, answers, sizeof *in, by_root);
    for (size_t i = 0; i < answers; i++)
        answer[i] = in[i].answer;
    ret->at = mem_array(answers / AUDIT_COPIES_LEAST + 1, sizeof *ret->at);
    for (size_t i = 0, end; i < answers; i = end) {
        for (end = i; end < answers && in[end].root == in[i].root; end++)
            ;
        if (end - i < 2)
            continue;
        struct audit_template t = template_of(pairs, answer + i, end - i);
        ret->answers += t.prompts > 1 ? end - i : 0;
        t.p = audit_null_tail(null, t.won, t.lost);
        if (t.won + t.lost >= AUDIT_COPIES_LEAST && t.prompts > 1)
            ret->at[ret->tested++] = t;
        else
            mem_free(t.pair);
    }
    keep_significant(ret);
}

void audit_copies_done(struct audit_copies *copies)
{
    for (size_t i = 0; i < copies->count; i++)
        mem_free(copies->at[i].pair);
    mem_free(copies->at);
}
