/* Tokenizers as Hugging Face's `tokenizers` writes them: a directory's tokenizer.json and
 * tokenizer_config.json.
 *
 *     SCOPED(tokenizer) tokenizer = NULL;
 *     TRY(tokenizer_load("sft", &tokenizer));
 *     TRY(tokenizer_check(tokenizer, &config));     -- does it belong to this model?
 *     TRY(tokenizer_encode_row(tokenizer, text, len, false, &ids, &count));   -- text from data
 *     TRY(tokenizer_decode(tokenizer, ids, count, true, &out));    -- appends bytes
 *
 * Text from data never becomes a special token, whatever it spells: only bytes that a template
 * wrote do. Added tokens that are not special are found in any text.
 *
 * docs/models.md lists the models, normalizers, pre-tokenizers and decoders that are read; another
 * one is refused by name. Truncation and padding are not read. Ids equal those of `tokenizers` for
 * UTF-8 text. A character that the vocabulary lacks is an error without an unknown token;
 * `tokenizers` leaves it out. Bytes that are not UTF-8 are symbols of one byte each, so of a
 * vocabulary of bytes without a normalizer any bytes come back from decode.
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

/* Copies those files of a tokenizer that a directory has into another, as they are. */
err_t tokenizer_copy(const char *from, const char *to);

struct text_span {
    size_t at, len;
};

/* A text of which a template wrote some bytes: the text of a special token that lies in one of
 * these spans becomes that token. */
struct tokenizer_text {
    const char *data;
    size_t len;
    const struct text_span *special; // (specials) in order, apart from one another
    size_t specials;
    bool drops; // leaves out characters that the vocabulary lacks; false: an error
};

/* As many ids as there are; *ret_ids is the caller's. The post_processor adds nothing. INVALID: a
 * character that the vocabulary lacks. On error nothing is returned. */
err_t tokenizer_encode(const struct tokenizer *tokenizer, const struct tokenizer_text *text,
                       int32_t **ret_ids, int *ret_count);

/* A text of a dataset; special: all of it counts as a template's (data.special_tokens). */
err_t tokenizer_encode_row(const struct tokenizer *tokenizer, const char *text, size_t len,
                           bool special, int32_t **ret_ids, int *ret_count);

/* The post_processor's tokens before and behind a text, as a count each; borrowed. */
int tokenizer_before(const struct tokenizer *tokenizer, const int32_t **ret);
int tokenizer_after(const struct tokenizer *tokenizer, const int32_t **ret);

/* Appends the tokens' text; special tokens are left out if skip_special. Of a vocabulary of bytes
 * it is their bytes, whatever they are, else UTF-8. An id without a token has none, as in
 * `tokenizers`. RANGE: an id below 0; nothing appended. */
err_t tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                       bool skip_special, struct bytes *ret);

/* The same for tokens with others around them: what a text loses at its beginning, as a space,
 * stays, and so do the bytes of a character that is cut. */
err_t tokenizer_decode_part(const struct tokenizer *tokenizer, const int32_t *ids, size_t count,
                            bool skip_special, struct bytes *ret);

int tokenizer_vocab(const struct tokenizer *tokenizer); // largest id + 1
int tokenizer_eos(const struct tokenizer *tokenizer);   // -1: none, likewise below
int tokenizer_bos(const struct tokenizer *tokenizer);
int tokenizer_pad(const struct tokenizer *tokenizer);
/* "<eos>", or a token as tokenizer.json spells it */
int tokenizer_id(const struct tokenizer *tokenizer, const char *token);

/* The bytes of a token: an added one's text, else what the vocabulary has. NULL: no such token. */
const void *tokenizer_token(const struct tokenizer *tokenizer, int id, size_t *ret_len);

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
