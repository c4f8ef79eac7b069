/* A vocabulary of byte strings and the merges over it: a word's bytes in, token ids out.
 *
 *     SCOPED(bpe) bpe = bpe_new(vocab);
 *     bpe_token(bpe, 7, "th", 2, true);               -- every token, then
 *     bpe_index(bpe);
 *     bpe_merge(bpe, t, h, th);                       -- in order of rank
 *     int count = bpe_word(bpe, ids, len);            -- ids of a word's symbols
 *
 * Any thread once it is built. */
#pragma once
#include "base/bytes.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

struct bpe;

/* Ids are below vocab; none is a token yet. */
struct bpe *bpe_new(int vocab);

/* Names an unused id. reachable: words may be cut into it; false: it only decodes (a token that no
 * bytes spell). */
void bpe_token(struct bpe *bpe, int id, const void *data, size_t len, bool reachable);

/* After the last token: one-byte tokens become the alphabet, and bpe_find works. */
void bpe_index(struct bpe *bpe);

/* The next rank: a then b becomes id. False: the pair has a rank already. */
bool bpe_merge(struct bpe *bpe, int a, int b, int id);

int bpe_vocab(const struct bpe *bpe);
int bpe_merges(const struct bpe *bpe);
void bpe_merge_at(const struct bpe *bpe, int rank, int *ret_a, int *ret_b);
bool bpe_has(const struct bpe *bpe, int id);
const uint8_t *bpe_bytes(const struct bpe *bpe, int id, size_t *ret_len);
int bpe_find(const struct bpe *bpe, const void *data, size_t len); // -1: no token is written so
int bpe_byte(const struct bpe *bpe, uint8_t byte);                 // -1: not in the alphabet

/* Merges the symbols of a word where they stand: by lowest rank, leftmost first. Returns how many
 * are left. */
int bpe_word(const struct bpe *bpe, int32_t *ids, size_t count);

void bpe_free(struct bpe *bpe);
DEFINE_SCOPED(bpe)

/* GPT-2's spelling of bytes as characters (Radford 2019, encoder.py): printable ones stand for
 * themselves, the others for U+0100 and up. */
uint32_t bpe_spell(uint8_t byte);
int bpe_unspell(uint32_t code); // -1: no byte is spelled so
/* The bytes that text spells, appended; false, with nothing appended, if some character spells
 * none. */
bool bpe_unspell_text(const char *text, size_t len, struct bytes *ret);
