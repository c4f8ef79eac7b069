/* sentencepiece's precompiled map of characters (tokenizer.json's normalizer Precompiled): byte
 * strings in a double array, and what stands for each.
 *
 *     TRY(charsmap_new(base64, &map));
 *     charsmap_run(map, text, len, &out);      -- appends
 *
 * Any thread once made. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"

struct charsmap;

/* INVALID: not base64, or sizes that contradict one another. */
err_t charsmap_new(const char *base64, struct charsmap **ret);

/* As `tokenizers` does: what a reader takes for one character is looked up as a whole where it is
 * short, else code point by code point. */
void charsmap_run(const struct charsmap *map, const char *text, size_t len, struct bytes *ret);

/* Appends what makes it another than others. */
void charsmap_digest(const struct charsmap *map, struct bytes *ret);

void charsmap_free(struct charsmap *map);
DEFINE_SCOPED(charsmap)
