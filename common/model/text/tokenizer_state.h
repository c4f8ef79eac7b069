/* Inside text only: the fields of a tokenizer. tokenizer_files.c opens the files; tokenizer_json.c
 * reads the model, tokenizer_added.c added tokens and tokenizer_rules.c the steps around it;
 * tokenizer_encode.c, tokenizer_words.c and tokenizer_decode.c use them. */
#pragma once
#include "base/json.h"
#include "model/text/bpe.h"
#include "model/text/normal.h"
#include "model/text/tokenizer.h"
#include "model/text/trie.h"
#include "model/text/unigram.h"

/* A token that is found in the text before anything is cut. */
struct added {
    char *content; // as the file has it
    char *match;   // as the text has it: after normalization if normalized
    int id;
    bool special, normalized;
    bool single_word;    // not within a word
    bool lstrip, rstrip; // takes the white space before and behind
};

enum added_stage {
    ADDED_RAW,        // not normalized: found in the text as it is
    ADDED_NORMALIZED, // found in what normalizers made
    ADDED_TEMPLATE,   // special and normalized, in a template's text between data: found as it is
    ADDED_STAGES,
};

/* A step of the pre-tokenizer. */
struct pre_step {
    enum { PRE_CUT, PRE_BYTE_LEVEL, PRE_METASPACE } kind;
    struct cut cut;
    bool regex;    // BYTE_LEVEL: cuts by GPT-2's pattern
    bool splits;   // METASPACE
    bool prefix;   // BYTE_LEVEL, METASPACE: a space before each text that has none
    bool at_first; // METASPACE: before the first only
    char *space;   // METASPACE: what stands for a space
};

/* A step of the decoder, over pieces of text. */
struct decode_step {
    enum {
        DECODE_BYTE_LEVEL,
        DECODE_BYTE_FALLBACK,
        DECODE_FUSE,
        DECODE_REPLACE,
        DECODE_STRIP,
        DECODE_METASPACE,
    } kind;
    struct pattern pattern; // REPLACE; METASPACE: what stands for a space
    char *text;             // REPLACE: what stands for a match; STRIP: the character
    int64_t start, stop;    // STRIP: so many at most
    bool first;             // METASPACE: the first piece has its spaces removed
};

struct tokenizer {
    struct bpe *bpe;         // the vocabulary, and merges
    struct unigram *unigram; // NULL: the model is BPE
    int vocab;               // largest id + 1, added tokens included
    bool byte_level;         // tokens are bytes, spelled as GPT-2 does
    bool ignore_merges, fuse_unk;
    bool falls_back;       // a character without a token becomes tokens of bytes
    int32_t fallback[256]; // ids of <0x00>..; -1
    int unk;               // -1: none
    struct normal normal;
    struct pre_step *pre;
    int pres;
    struct decode_step *decode;
    int decodes;
    int addeds;
    struct added *added;
    struct trie *find[ADDED_STAGES]; // indices into added
    int32_t *added_of;               // (vocab) index into added; -1
    int32_t *before, *after;         // the post_processor's, around a text
    int befores, afters;
    int eos, bos, pad;
    struct bytes json, config; // the files' text, as read or made
};

/* Everything but json and config from the parsed files (config may be NULL). */
err_t tokenizer_read(struct tokenizer *tokenizer, const char *name);

/* The parts of that, in this order: steps; model.vocab; added tokens; model.merges. */
err_t tokenizer_read_rules(struct tokenizer *tokenizer, const json_t *json, const char *name);
err_t tokenizer_read_added(struct tokenizer *tokenizer, const json_t *json, const char *name);
err_t tokenizer_read_post(struct tokenizer *tokenizer, const json_t *json, const char *name);

/* INVALID: file, path, value, what is allowed. */
err_t tokenizer_refuse(const char *name, const char *path, const json_t *found,
                       const char *allowed);
bool tokenizer_has(const struct tokenizer *tokenizer, int id); // a token has it
bool tokenizer_is_special(const struct tokenizer *tokenizer, int id);

/* Tokens as they come. */
struct id_list {
    int32_t *ids;
    int count, room;
    bool drops; // tokenizer_text's
};

err_t tokenizer_put_ids(struct id_list *list, const int32_t *ids, int count);
/* A word's tokens (len > 0). */
err_t tokenizer_word(const struct tokenizer *tokenizer, struct id_list *list, const char *word,
                     size_t len);
