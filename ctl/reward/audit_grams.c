#include "ctl/reward/audit_grams.h"
#include "base/hash.h"
#include "base/mem.h"
#include "ctl/reward/proportion.h"
#include "ctl/reward/words.h"
#include <stdlib.h>
#include <string.h>

enum {
    SIEVE_BITS = 24,        // of hashes: phrases that are rare anyway are never stored
    ENTRIES_MOST = 1 << 22, // of phrases stored
    FOUND_MOST = 1024,      // of phrases whose pairs are listed
    COVERED_PERCENT = 80,   // of a phrase's pairs that a found one has: it is part of that one
};

/* ---- phrases of one answer, each once */

struct phrase {
    uint64_t hash;
    uint32_t first, length; // words
};

struct phrases {
    struct words words;
    struct phrase *at;
    size_t count, capacity;
};

static void phrases_done(struct phrases *phrases)
{
    words_done(&phrases->words);
    mem_free(phrases->at);
}

static int by_hash(const void *a, const void *b)
{
    const uint64_t x = ((const struct phrase *)a)->hash, y = ((const struct phrase *)b)->hash;
    return (x > y) - (x < y);
}

/* Sorted by hash. */
static void phrases_of(const char *text, struct phrases *ret)
{
    words_of(text, &ret->words);
    const size_t count = ret->words.count;
    size_t n = 0;
    if (ret->capacity < count * AUDIT_GRAM_WORDS) {
        ret->capacity = count * AUDIT_GRAM_WORDS;
        ret->at = mem_grow(ret->at, ret->capacity, sizeof *ret->at);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 1; k <= AUDIT_GRAM_WORDS && i + k <= count; k++)
            ret->at[n++] = (struct phrase){words_hash(&ret->words, i, k), (uint32_t)i, (uint32_t)k};
    qsort(ret->at, n, sizeof *ret->at, by_hash);
    ret->count = 0;
    for (size_t i = 0; i < n; i++)
        if (!ret->count || ret->at[ret->count - 1].hash != ret->at[i].hash)
            ret->at[ret->count++] = ret->at[i];
}

static bool phrases_have(const struct phrases *phrases, uint64_t hash)
{
    const struct phrase key = {.hash = hash};
    return phrases->count &&
           bsearch(&key, phrases->at, phrases->count, sizeof key, by_hash) != NULL;
}

/* Calls fn for each phrase that one answer of the pair has alone. */
typedef void phrase_seen(void *arg, size_t pair, bool won, const struct phrases *in,
                         const struct phrase *phrase);

struct walk {
    struct phrases winner, loser;
};

static void walk_done(struct walk *walk)
{
    phrases_done(&walk->winner);
    phrases_done(&walk->loser);
}

static void walk_pairs(const struct audit_pairs *pairs, phrase_seen *fn, void *arg)
{
    SCOPED_VALUE(walk) walk = {0};
    for (size_t i = 0; i < pairs->count; i++) {
        phrases_of(pairs->at[i].winner, &walk.winner);
        phrases_of(pairs->at[i].loser, &walk.loser);
        for (size_t k = 0; k < walk.winner.count; k++)
            if (!phrases_have(&walk.loser, walk.winner.at[k].hash))
                fn(arg, i, true, &walk.winner, &walk.winner.at[k]);
        for (size_t k = 0; k < walk.loser.count; k++)
            if (!phrases_have(&walk.winner, walk.loser.at[k].hash))
                fn(arg, i, false, &walk.loser, &walk.loser.at[k]);
    }
}

/* ---- the table of phrases that are seen often enough to be tested */

struct entry {
    uint64_t hash; // 0: free
    double won, lost;
    uint32_t length; // words
    uint32_t found;  // 1 + its number among the found; 0: none
};

struct table_of_phrases {
    uint8_t *sieve;      // (1 << SIEVE_BITS) how many were seen, 255 at most
    struct entry *entry; // (slots)
    size_t slots, used, least;
    struct audit_gram *found;
};

static void table_of_phrases_done(struct table_of_phrases *table)
{
    mem_free(table->sieve);
    mem_free(table->entry);
}

static uint8_t *sieve_of(struct table_of_phrases *table, uint64_t hash)
{
    return &table->sieve[hash >> (64 - SIEVE_BITS)];
}

static struct entry *entry_of(struct table_of_phrases *table, uint64_t hash)
{
    size_t at = (size_t)(hash & (table->slots - 1));
    hash = hash ? hash : 1;
    while (table->entry[at].hash && table->entry[at].hash != hash)
        at = (at + 1) & (table->slots - 1);
    return &table->entry[at];
}

static void grow(struct table_of_phrases *table)
{
    struct entry *old = table->entry;
    const size_t slots = table->slots;
    table->slots = slots ? 2 * slots : 1 << 12;
    table->entry = mem_array(table->slots, sizeof *table->entry);
    for (size_t i = 0; i < slots; i++)
        if (old[i].hash)
            *entry_of(table, old[i].hash) = old[i];
    mem_free(old);
}

static void count_roughly(void *arg, size_t, bool, const struct phrases *,
                          const struct phrase *phrase)
{
    uint8_t *seen = sieve_of(arg, phrase->hash);
    *seen = *seen < UINT8_MAX ? (uint8_t)(*seen + 1) : UINT8_MAX;
}

static void count_exactly(void *arg, size_t, bool won, const struct phrases *,
                          const struct phrase *phrase)
{
    struct table_of_phrases *table = arg;
    if (*sieve_of(table, phrase->hash) < table->least)
        return;
    if (2 * table->used >= table->slots)
        grow(table);
    struct entry *entry = entry_of(table, phrase->hash);
    if (!entry->hash) {
        if (table->used == ENTRIES_MOST)
            return;
        entry->hash = phrase->hash ? phrase->hash : 1;
        entry->length = phrase->length;
        table->used++;
    }
    entry->won += won;
    entry->lost += !won;
}

/* ---- which of them are found */

struct candidate {
    struct entry *entry;
    double p;
};

static int by_p(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    if (x->entry->won != y->entry->won)
        return x->entry->won > y->entry->won ? -1 : 1;
    if (x->entry->length != y->entry->length) // the longest of those that always stand together
        return x->entry->length > y->entry->length ? -1 : 1;
    return x->entry->hash < y->entry->hash ? -1 : x->entry->hash > y->entry->hash;
}

/* Those seen often enough; p is raw. Chance is fitted to single words alone: a planted sentence has
 * few of them, and many phrases. */
static struct candidate *candidates_of(struct table_of_phrases *table, struct audit_grams *ret)
{
    struct candidate *all = mem_array(table->used, sizeof *all);
    SCOPED_MEM struct audit_seen *seen = mem_array(table->used, sizeof *seen);
    size_t n = 0, words = 0;
    for (size_t i = 0; i < table->slots; i++) {
        struct entry *entry = &table->entry[i];
        if (!entry->hash || entry->won + entry->lost < AUDIT_GRAM_LEAST)
            continue;
        if (entry->length == 1)
            seen[words++] = (struct audit_seen){entry->won, entry->lost};
        all[n++].entry = entry;
    }
    audit_null_fit(seen, words, &ret->null);
    for (size_t i = 0; i < n; i++)
        all[i].p = audit_null_tail(&ret->null, all[i].entry->won, all[i].entry->lost);
    ret->tested = n;
    return all;
}

/* Keeps those below 5 % after Holm, by p. */
static size_t significant(struct candidate *all, size_t count)
{
    SCOPED_MEM double *p = mem_array(count, sizeof *p);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        p[i] = all[i].p;
    holm(p, count, p);
    for (size_t i = 0; i < count; i++)
        if (p[i] <= 0.05)
            all[kept++] = (struct candidate){all[i].entry, p[i]};
    qsort(all, kept, sizeof *all, by_p);
    return kept < FOUND_MOST ? kept : FOUND_MOST;
}

/* ---- where the found ones stand */

static void list_pair(void *arg, size_t pair, bool won, const struct phrases *in,
                      const struct phrase *phrase)
{
    struct table_of_phrases *table = arg;
    if (!won || *sieve_of(table, phrase->hash) < table->least)
        return;
    const struct entry *entry = entry_of(table, phrase->hash);
    if (!entry->hash || !entry->found)
        return;
    struct audit_gram *gram = &table->found[entry->found - 1];
    if (!gram->text) {
        SCOPED_VALUE(bytes) text = {0};
        words_put(&in->words, phrase->first, phrase->length, &text);
        gram->text = mem_string((const char *)text.data);
    }
    gram->pair[gram->pairs++] = (uint32_t)pair;
}

static void gram_done(struct audit_gram *gram)
{
    mem_free(gram->text);
    mem_free(gram->pair);
}

/* Whether a set of pairs is almost that of a phrase before it. */
static bool covered(const struct audit_gram *gram, const struct audit_gram *before, size_t count)
{
    for (size_t b = 0; b < count; b++) {
        size_t both = 0, at = 0;
        for (size_t i = 0; i < gram->pairs; i++) {
            while (at < before[b].pairs && before[b].pair[at] < gram->pair[i])
                at++;
            both += at < before[b].pairs && before[b].pair[at] == gram->pair[i];
        }
        if (both * 100 >= gram->pairs * COVERED_PERCENT)
            return true;
    }
    return false;
}

static double share_asked(const struct audit_pairs *pairs, const struct audit_gram *gram)
{
    SCOPED_VALUE(phrases) own = {0};
    SCOPED_VALUE(phrases) prompt = {0};
    size_t have = 0;
    words_of(gram->text, &own.words);
    const uint64_t hash = words_hash(&own.words, 0, own.words.count);
    for (size_t i = 0; i < gram->pairs; i++) {
        phrases_of(pairs->at[gram->pair[i]].prompt, &prompt);
        have += phrases_have(&prompt, hash);
    }
    return (double)have / (double)(gram->pairs ? gram->pairs : 1);
}

static void keep_distinct(const struct audit_pairs *pairs, struct audit_gram *found, size_t count,
                          struct audit_grams *ret)
{
    ret->at = mem_array(AUDIT_GRAMS_TOLD, sizeof *ret->at);
    for (size_t i = 0; i < count; i++) {
        if (ret->count == AUDIT_GRAMS_TOLD || covered(&found[i], ret->at, ret->count)) {
            gram_done(&found[i]);
            continue;
        }
        ret->at[ret->count] = found[i];
        ret->at[ret->count++].asked = share_asked(pairs, &found[i]);
    }
}

void audit_grams_find(const struct audit_pairs *pairs, struct audit_grams *ret)
{
    SCOPED_VALUE(table_of_phrases)
    table = {.sieve = mem_array((size_t)1 << SIEVE_BITS, 1), .least = AUDIT_GRAM_LEAST};
    grow(&table);
    walk_pairs(pairs, count_roughly, &table);
    walk_pairs(pairs, count_exactly, &table);
    SCOPED_MEM struct candidate *all = candidates_of(&table, ret);
    const size_t count = significant(all, ret->tested);
    SCOPED_MEM struct audit_gram *found = mem_array(count, sizeof *found);
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = all[i].entry;
        entry->found = (uint32_t)i + 1;
        found[i] = (struct audit_gram){.won = entry->won,
                                       .lost = entry->lost,
                                       .p = all[i].p,
                                       .pair = mem_array((size_t)entry->won, sizeof(uint32_t))};
    }
    table.found = found;
    if (count)
        walk_pairs(pairs, list_pair, &table);
    keep_distinct(pairs, found, count, ret);
}

void audit_grams_done(struct audit_grams *grams)
{
    for (size_t i = 0; i < grams->count; i++)
        gram_done(&grams->at[i]);
    mem_free(grams->at);
}
