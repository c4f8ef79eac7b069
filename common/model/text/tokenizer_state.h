/* Inside text only: the fields of a tokenizer. tokenizer_files.c opens the files,
 * tokenizer_json.c reads their text into the fields, tokenizer.c uses them. */
#pragma once
#include "model/text/bpe.h"
#include "model/text/pretoken.h"
#include "model/text/tokenizer.h"

/* A token that is found in the text before anything is cut. */
struct added {
    char *content; // as the text has it: after normalization if normalized
    size_t len;
    int id;
    bool special, normalized;
};

struct tokenizer {
    struct bpe *bpe;
    int vocab; // largest id + 1, added tokens included
    enum pretoken pattern;
    bool digits; // each digit is cut out before the pattern is applied
    bool prefix_space, nfc, ignore_merges;
    int addeds;
    struct added *added; // by (normalized, first byte, length descending)
    /* Added tokens of [normalized] that begin with byte b: first[b] .. first[b + 1] - 1 */
    int first[2][257];
    int32_t *added_of; // (vocab) index into added; -1
    int eos, bos, pad;
    struct bytes json, config; // the files' text, as read or made
};

/* Everything but json and config from the parsed files (config may be NULL). */
err_t tokenizer_read(struct tokenizer *tokenizer, const char *name);

/* NFC of text (bytes that are not UTF-8 stay), appended. */
err_t tokenizer_nfc(const char *text, size_t len, struct bytes *ret);
