/* Byte-level BPE as Hugging Face's `tokenizers` writes it: a directory's tokenizer.json and
 * tokenizer_config.json.
 *
 *     SCOPED(tokenizer) tokenizer = NULL;
 *     TRY(tokenizer_load("sft", &tokenizer));
 *     TRY(tokenizer_check(tokenizer, &config));     -- does it belong to this model?
 *     TRY(tokenizer_encode(tokenizer, text, len, max, ids, &count));
 *     TRY(tokenizer_decode(tokenizer, ids, count, true, &out));    -- appends bytes
 *
 * Supported are the model BPE, the decoder ByteLevel, the normalizers null and NFC, and added
 * tokens, special or not. The pre_tokenizer is ByteLevel, or a Sequence of ByteLevel after Digits
 * or after a Split by GPT-2's, Qwen2's or Llama-3's pattern. Anything else that would change an id
 * is refused by name. Truncation, padding and post-processors are not read: encode adds no special
 * token, callers append eos. An added token's text inside a text becomes that token, as in
 * `tokenizers`.
 *
 * Ids equal those of `tokenizers` for UTF-8 text, with two exceptions. A byte that the vocabulary
 * lacks is an error, where `tokenizers` drops it. NFC orders some 100 rare combining marks by newer
 * tables. Bytes that are not UTF-8 are symbols of one byte each, so without NFC any bytes come back
 * from decode.
 *
 * Any thread: a tokenizer does not change once made. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "tensor/tensor.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;
struct model_config;

enum { TOKENIZER_VOCAB_MAX = 1 << 20, TOKENIZER_TOKEN_BYTES_MAX = 4096 };

/* Names of a tokenizer's files in a model's directory, of which only the first must be there; NULL
 * past the last. */
const char *tokenizer_file(unsigned i);

/* Reads DIR/tokenizer.json and, where they exist, tokenizer_config.json and special_tokens_map.json
 * (the names of eos, bos and pad). NOT_FOUND; INVALID: one line with file, place, value and what is
 * allowed. */
err_t tokenizer_load(const char *directory, struct tokenizer **ret);

/* The same from memory. config: the text of tokenizer_config.json, or NULL. name: what errors call
 * the place. */
err_t tokenizer_parse(const char *json, size_t json_len, const char *config, size_t config_len,
                      const char *name, struct tokenizer **ret);

/* Writes both files into an existing directory, as they were read or made; each whole or not at
 * all. */
err_t tokenizer_save(const struct tokenizer *tokenizer, const char *directory);

/* ret_ids (max). RANGE: more than max tokens; INVALID: a byte that the vocabulary lacks. On error
 * ret_count is untouched. */
err_t tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len, int max,
                       int32_t *ret_ids, int *ret_count);

/* Appends the tokens' bytes; special tokens are left out if skip_special. An id without a token has
 * no bytes, as in `tokenizers`. RANGE: an id below 0; nothing appended. */
err_t tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                       bool skip_special, struct bytes *ret);

int tokenizer_vocab(const struct tokenizer *tokenizer); // largest id + 1
int tokenizer_eos(const struct tokenizer *tokenizer);   // -1: none, likewise below
int tokenizer_bos(const struct tokenizer *tokenizer);
int tokenizer_pad(const struct tokenizer *tokenizer);
/* "<eos>", or a token as tokenizer.json spells it */
int tokenizer_id(const struct tokenizer *tokenizer, const char *token);

/* The ids below V that have no token, as ranges in ascending order: a model may have more rows than
 * there are tokens, and added tokens may leave holes. Returns how many; *ret is the caller's, NULL
 * for none. */
int tokenizer_vacant(const struct tokenizer *tokenizer, int V, struct token_range **ret);

/* Names everything that decides an id: tokens, merges, splitting. Not the files' layout. */
struct digest tokenizer_digest(const struct tokenizer *tokenizer);

/* Whether it fits the model. PRECONDITION: it has more tokens than the model; an end token is none
 * of its tokens; or none of the end tokens is its own or another special one. The message names the
 * file and the numbers. A model may have more rows than there are tokens (tokenizer_vacant), and a
 * list of end tokens may have ordinary ones. */
err_t tokenizer_check(const struct tokenizer *tokenizer, const struct model_config *config);

/* The end token that is written after a text: of the model's, the tokenizer's own, else the first
 * special one, else the first. -1: the model has none. All of them end what is drawn. */
int tokenizer_end(const struct tokenizer *tokenizer, const struct model_config *config);

void tokenizer_free(struct tokenizer *tokenizer);
DEFINE_SCOPED(tokenizer)
