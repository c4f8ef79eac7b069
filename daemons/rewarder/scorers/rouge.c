/* ROUGE-L F1 (Lin 2004) as Google's rouge_score computes it without stemming: lower case, words are
 * [a-z0-9]+, the longest common subsequence of words over each length. The golden file in
 * tests/golden/rouge.json is its output. */
#include "base/hash.h"
#include "base/mem.h"
#include "rewarder/scorer.h"
#include <string.h>

/* The reference's limit: its bit masks take 16 MiB at most. Completions need none: the work is
 * words of the completion * words of the reference / 64. */
enum { WORDS_MAX = 8192 };

struct rouge {
    char *column;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct rouge, text, column, "", "column of the row to compare with", .min = 1,
              .max = 256, .required = true),
};

struct words {
    char *text; // lower case; the words lie in it
    struct text_slice *word;
    size_t count;
};

static void words_done(struct words *words)
{
    free(words->text);
    free(words->word);
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The character at text[i] in lower case where that is ASCII, else a separator; *ret_len bytes of
 * text are used. Two characters outside ASCII have a lower case that begins with an ASCII letter:
 * U+212A (kelvin) and U+0130 (dotted I; its dot separates). */
static char lower_at(const char *text, size_t left, size_t *ret_len)
{
    *ret_len = 1;
    if (left >= 3 && memcmp(text, "\xe2\x84\xaa", 3) == 0) {
        *ret_len = 3;
        return 'k';
    }
    if (left >= 2 && memcmp(text, "\xc4\xb0", 2) == 0)
        return 'i'; // its second byte is no word: the separator
    return *text >= 'A' && *text <= 'Z' ? (char)(*text + ('a' - 'A')) : *text;
}

static void split(const char *text, size_t len, struct words *ret)
{
    size_t used = 0, words = 0;
    ret->text = mem_array(len + 1, 1);
    for (size_t i = 0, step; i < len; i += step) {
        const char c = lower_at(text + i, len - i, &step);
        words += is_word(c) && (used == 0 || !is_word(ret->text[used - 1]));
        ret->text[used++] = is_word(c) ? c : ' ';
    }
    ret->word = mem_array(words, sizeof *ret->word);
    for (size_t i = 0; i < used; i++) {
        if (!is_word(ret->text[i]))
            continue;
        const size_t begin = i;
        while (i < used && is_word(ret->text[i]))
            i++;
        ret->word[ret->count++] = (struct text_slice){ret->text + begin, i - begin};
    }
}

/* The distinct words of the reference, each with the set of places where it stands, as bits. */
struct places {
    size_t slots, row;       // hash slots, a power of two; uint64_t per set
    struct text_slice *word; // (slots) data NULL: free
    uint64_t *set;           // (slots, row)
};

static size_t slot_of(const struct places *places, struct text_slice word)
{
    size_t slot = hash64(word.data, word.len, 0) & (places->slots - 1);
    while (places->word[slot].data && !scorer_same(places->word[slot], word))
        slot = (slot + 1) & (places->slots - 1);
    return slot;
}

static void places_init(const struct words *reference, struct places *ret)
{
    *ret = (struct places){.slots = 4, .row = (reference->count + 63) / 64};
    while (ret->slots < 2 * reference->count)
        ret->slots *= 2;
    ret->word = mem_array(ret->slots, sizeof *ret->word);
    ret->set = mem_array(ret->slots * ret->row, sizeof *ret->set);
    for (size_t i = 0; i < reference->count; i++) {
        const size_t slot = slot_of(ret, reference->word[i]);
        ret->word[slot] = reference->word[i];
        ret->set[slot * ret->row + i / 64] |= 1ull << (i % 64);
    }
}

static void places_done(struct places *places)
{
    free(places->word);
    free(places->set);
}

/* Length of the longest common subsequence, 64 places at a time (Hyyrö 2004, "Bit-parallel
 * LCS-length computation revisited"): a bit of v falls where the best length grows by one. */
static size_t common(const struct words *reference, const struct words *words)
{
    SCOPED_VALUE(places) places = {0};
    places_init(reference, &places);
    SCOPED_MEM uint64_t *v = mem_array(places.row, sizeof *v);
    memset(v, 0xff, places.row * sizeof *v);
    for (size_t i = 0; i < words->count; i++) {
        const size_t slot = slot_of(&places, words->word[i]);
        if (!places.word[slot].data)
            continue;
        const uint64_t *set = places.set + slot * places.row;
        uint64_t carry = 0;
        for (size_t j = 0; j < places.row; j++) {
            const uint64_t u = v[j] & set[j];
            uint64_t sum;
            const bool over = __builtin_add_overflow(v[j], u, &sum);
            carry = over | __builtin_add_overflow(sum, carry, &sum);
            v[j] = sum | (v[j] & ~set[j]);
        }
    }
    size_t length = 0;
    for (size_t i = 0; i < reference->count; i++)
        length += (v[i / 64] >> (i % 64) & 1) == 0;
    return length;
}

static err_t rouge_score(const void *state, const struct scorer_sample *sample, double *ret)
{
    const struct rouge *rouge = state;
    SCOPED_VALUE(words) reference = {0}, words = {0};
    struct text_slice want;
    TRY(scorer_column(sample->row, rouge->column, &want));
    split(want.data, want.len, &reference);
    if (reference.count > WORDS_MAX)
        return err_new(ERR_INVALID, "the row's column '%s' has %zu words; at most %d are allowed",
                       rouge->column, reference.count, WORDS_MAX);
    split(sample->text, sample->text_len, &words);
    *ret = 0;
    if (!reference.count || !words.count)
        return OK;
    const double length = (double)common(&reference, &words);
    const double precision = length / (double)words.count;
    const double recall = length / (double)reference.count;
    if (length > 0)
        *ret = 2 * precision * recall / (precision + recall);
    return OK;
}

static void rouge_start(void *state, struct stage_call *call)
{
    scorer_each(call, rouge_score, state);
}

const struct stage_class scorer_rouge = {
    .name = "rouge",
    .help = "ROUGE-L F1 of the completion against the row's column.",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct rouge, keys),
    .thread = STAGE_IN_POOL,
    .fills = STAGE_SCORES,
    .start = rouge_start,
};
