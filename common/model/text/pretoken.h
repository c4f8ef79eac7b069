/* Cuts text into the words that BPE merges within, by the regular expressions that published
 * tokenizers use.
 *
 *     for (size_t at = 0; at < len; at += word)
 *         word = pretoken_next(PRETOKEN_GPT2, text + at, len - at);
 *
 * Each rule is written out by hand and tested against `tokenizers`' regex engine. Bytes that are
 * not UTF-8 are symbols of one byte. To add a pattern: a row in pretoken.c, its matcher, a case in
 * the golden script. Any thread. */
#pragma once
#include <stddef.h>

enum pretoken {
    PRETOKEN_WHOLE, // no cut
    PRETOKEN_GPT2,
    PRETOKEN_QWEN2,
    PRETOKEN_LLAMA3,
};

/* Bytes of the first word of text: 1..len (len > 0). */
size_t pretoken_next(enum pretoken pattern, const char *text, size_t len);

/* The pattern written so; -1: none we know. */
int pretoken_find(const char *regex);
