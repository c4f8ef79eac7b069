#include "ctl/reward/words.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include <limits.h>
#include <string.h>

enum { ALONE_FROM = 0x2e80 };

static bool ascii_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Bytes of the character at text if it belongs to a word, else 0; *ret_all: bytes of it anyway. */
static size_t word_part(const char *text, size_t left, bool *ret_alone, size_t *ret_all)
{
    uint32_t point;
    *ret_alone = false;
    *ret_all = 1;
    if (!(*text & 0x80))
        return ascii_word(*text) ? 1 : 0;
    const size_t len = utf8_point(text, left, &point);
    if (!len || point < 0xa1 || (point >= 0x2000 && point < 0x2070)) // spaces, punctuation
        return 0;
    *ret_all = len;
    *ret_alone = point >= ALONE_FROM;
    return point >= 0x3000 && point < 0x3004 ? 0 : len;
}

static uint64_t hash_word(const char *text, size_t len)
{
    char small[64];
    SCOPED_MEM char *large = len > sizeof small ? mem_array(len, 1) : NULL;
    char *to = large ? large : small;
    for (size_t i = 0; i < len; i++)
        to[i] = lower(text[i]);
    return hash64(to, len, 0);
}

static void put_word(struct words *ret, size_t at, size_t len)
{
    if (ret->count == ret->capacity) {
        ret->capacity = ret->capacity ? 2 * ret->capacity : 32;
        ret->at = mem_grow(ret->at, ret->capacity, sizeof *ret->at);
    }
    ret->at[ret->count++] =
        (struct word){(uint32_t)at, (uint32_t)len, hash_word(ret->text + at, len)};
}

void words_of(const char *text, struct words *ret)
{
    const size_t len = strlen(text);
    size_t begin = 0, at = 0;
    ret->text = text;
    ret->count = 0;
    while (at < len) {
        bool alone;
        size_t all;
        const size_t part = word_part(text + at, len - at, &alone, &all);
        if ((!part || alone) && at > begin)
            put_word(ret, begin, at - begin);
        if (part && alone)
            put_word(ret, at, part);
        at += part ? part : all;
        if (!part || alone)
            begin = at;
    }
    if (at > begin)
        put_word(ret, begin, at - begin);
}

void words_done(struct words *words)
{
    mem_free(words->at);
    *words = (struct words){0};
}

int words_count(const char *text)
{
    SCOPED_VALUE(words) words = {0};
    words_of(text, &words);
    return words.count < INT_MAX ? (int)words.count : INT_MAX;
}

uint64_t words_hash(const struct words *words, size_t first, size_t length)
{
    uint64_t hash = length;
    for (size_t i = first; i < first + length; i++)
        hash = hash64(&words->at[i].hash, sizeof hash, hash);
    return hash;
}

void words_put(const struct words *words, size_t first, size_t length, struct bytes *ret)
{
    for (size_t i = first; i < first + length; i++) {
        const struct word *word = &words->at[i];
        if (i > first)
            bytes_u8(ret, ' ');
        for (uint32_t k = 0; k < word->len; k++)
            bytes_u8(ret, (uint8_t)lower(words->text[word->at + k]));
    }
}
