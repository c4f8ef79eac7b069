/* Pairs of drawn words, for tests of audits. Word w stands in winners with a chance
 * of its own, as the words of honest data do. */
#pragma once
#include "base/mem.h"
#include "base/rng.h"
#include "ctl/reward/audit_pairs.h"
#include "ctl/reward/words.h"
#include <stdio.h>

enum { KIT_WORDS = 600 };

static inline uint64_t kit_word(const struct rng *rng, uint64_t at, bool winner)
{
    for (uint64_t i = 0;; i++) {
        const double u = rng_uniform(rng, 64 * at + 2 * i);
        const uint64_t word = (uint64_t)(KIT_WORDS * u * u); // some are frequent
        const double taste = 0.35 + 0.3 * (double)(word * 7919 % 101) / 100;
        if (rng_uniform(rng, 64 * at + 2 * i + 1) < (winner ? taste : 1 - taste) || i == 31)
            return word;
    }
}

/* 4 to 9 words, then the tail. */
static inline char *kit_answer(const struct rng *rng, uint64_t from, bool winner, const char *tail)
{
    struct bytes text = {0};
    const uint64_t words = 4 + rng_below(rng, from, 6);
    for (uint64_t i = 1; i <= words; i++)
        bytes_printf(&text, "%sw%u", i > 1 ? " " : "", (unsigned)kit_word(rng, from + i, winner));
    bytes_printf(&text, "%s", tail);
    return (char *)text.data;
}

static inline int kit_gap(const struct audit_pair *pair)
{
    return pair->winner_words - pair->loser_words;
}

/* tail: what every `each`-th winner ends with; each 0: none. */
static inline struct audit_pairs kit_pairs(size_t count, uint64_t seed, size_t each,
                                           const char *(*tail)(size_t pair))
{
    struct audit_pairs pairs = {.count = count, .at = mem_array(count, sizeof *pairs.at)};
    for (size_t i = 0; i < count; i++) {
        struct audit_pair *pair = &pairs.at[i];
        const struct rng rng = rng_keyed(seed, RNG_TEST, i, 1);
        *pair = (struct audit_pair){.row = i, .annotator = -1, .source = -1, .preferred = 1};
        pair->prompt = mem_printf("prompt %zu", i);
        pair->winner = kit_answer(&rng, 0, true, each && i % each == 0 ? tail(i) : "");
        pair->loser = kit_answer(&rng, 100, false, "");
        pair->winner_words = words_count(pair->winner);
        pair->loser_words = words_count(pair->loser);
    }
    return pairs;
}
