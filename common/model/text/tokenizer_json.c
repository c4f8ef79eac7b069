/* tokenizer.json and tokenizer_config.json, hostile until checked. */
#include "base/json.h"
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include "model/text/unicode.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MERGES_MAX = 1 << 22 };

static bool is_text(const json_t *value, const char *wanted)
{
    return json_is_string(value) && !strcmp(json_string_value(value), wanted);
}

/* Absent, null, false, 0 or "": a feature that is off. */
static bool is_off(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) || is_text(value, "") ||
           (json_is_number(value) && json_number_value(value) == 0);
}

static err_t read_flag(const json_t *object, const char *name, const char *key, bool *ret)
{
    return json_get_bool_or(object, name, key, ret);
}

/* ---- the vocabulary */

static err_t check_token(const char *token, size_t len, const char *name)
{
    if (!len || len > TOKENIZER_TOKEN_BYTES_MAX)
        return err_new(ERR_INVALID, "%s: model.vocab: token '%.40s' must have 1 to %d bytes", name,
                       token, TOKENIZER_TOKEN_BYTES_MAX);
    return OK;
}

/* Every id is a number below the largest allowed; the largest of them. */
static err_t check_vocab(const json_t *vocab, const char *name, int *ret_largest)
{
    if (!json_is_object(vocab) || !json_object_size(vocab) ||
        json_object_size(vocab) > TOKENIZER_VOCAB_MAX)
        return err_new(ERR_INVALID, "%s: model.vocab must be an object of 1 to %d tokens", name,
                       TOKENIZER_VOCAB_MAX);
    const char *key;
    const json_t *value;
    int largest = 0;
    json_object_foreach ((json_t *)vocab, key, value) {
        const json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= TOKENIZER_VOCAB_MAX)
            return err_new(ERR_INVALID,
                           "%s: model.vocab: the id of '%.40s' must be a whole number below %d",
                           name, key, TOKENIZER_VOCAB_MAX);
        TRY(check_token(key, strlen(key), name));
        largest = id > largest ? (int)id : largest;
    }
    *ret_largest = largest;
    return OK;
}

/* A token of a vocabulary of bytes is found by the bytes that it spells. */
static void add_token(struct tokenizer *t, int id, const char *token, size_t len)
{
    SCOPED_VALUE(bytes) raw = {0};
    if (!t->byte_level)
        bpe_token(t->bpe, id, token, len, true);
    else if (bpe_unspell_text(token, len, &raw))
        bpe_token(t->bpe, id, raw.data, raw.len, true);
    else
        bpe_token(t->bpe, id, token, len, false);
}

static err_t read_vocab(struct tokenizer *t, const json_t *vocab, const char *name)
{
    int largest = 0;
    const char *key;
    const json_t *value;
    TRY(check_vocab(vocab, name, &largest));
    t->bpe = bpe_new(largest + 1);
    json_object_foreach ((json_t *)vocab, key, value) {
        int id = (int)json_integer_value(value);
        if (bpe_has(t->bpe, id))
            return err_new(ERR_INVALID,
                           "%s: model.vocab: id %d is given twice, the second time to '%.40s'",
                           name, id, key);
        add_token(t, id, key, strlen(key));
    }
    bpe_index(t->bpe);
    return OK;
}

/* Unigram's vocabulary is a list: [["<unk>", 0.0], ["▁the", -3.25], ...]. */
static err_t read_scores(struct tokenizer *t, const json_t *vocab, const char *name)
{
    const size_t count = json_array_size(vocab);
    if (!count || count > TOKENIZER_VOCAB_MAX)
        return err_new(ERR_INVALID, "%s: model.vocab must be an array of 1 to %d tokens", name,
                       TOKENIZER_VOCAB_MAX);
    t->bpe = bpe_new((int)count);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(vocab, i), *token = json_array_get(row, 0);
        if (json_array_size(row) != 2 || !json_is_string(token) ||
            !json_is_number(json_array_get(row, 1))) {
            SCOPED_MEM char *path = mem_printf("model.vocab[%zu]", i);
            return tokenizer_refuse(name, path, row, "[token, score]");
        }
        TRY(check_token(json_string_value(token), json_string_length(token), name));
        add_token(t, (int)i, json_string_value(token), json_string_length(token));
    }
    bpe_index(t->bpe);
    for (size_t i = 0; i < count; i++) {
        const json_t *token = json_array_get(json_array_get(vocab, i), 0);
        if (bpe_find(t->bpe, json_string_value(token), json_string_length(token)) != (int)i)
            return err_new(ERR_INVALID, "%s: model.vocab[%zu] repeats token '%.40s'", name, i,
                           json_string_value(token));
    }
    return OK;
}

/* The two halves of a merge: "a b" or ["a", "b"]. Borrowed; lengths because the first form has no
 * terminator. */
static bool merge_halves(const json_t *merge, const char *ret_half[2], size_t ret_len[2])
{
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        for (size_t i = 0; i < 2; i++) {
            if (!(ret_half[i] = json_string_value(json_array_get(merge, i))))
                return false;
            ret_len[i] = strlen(ret_half[i]);
        }
    } else {
        const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;
        if (!space || strchr(space + 1, ' '))
            return false;
        ret_half[0] = text, ret_len[0] = (size_t)(space - text);
        ret_half[1] = space + 1, ret_len[1] = strlen(space + 1);
    }
    return ret_len[0] && ret_len[1] && ret_len[0] + ret_len[1] <= TOKENIZER_TOKEN_BYTES_MAX;
}

static int vocab_id(const json_t *vocab, const char *token, size_t len)
{
    const json_t *id = json_object_getn(vocab, token, len);
    return id ? (int)json_integer_value(id) : -1; // check_vocab has seen it
}

static err_t read_merge(struct tokenizer *t, const json_t *vocab, const json_t *merge, size_t rank,
                        const char *name)
{
    const char *half[2];
    size_t len[2];
    if (!merge_halves(merge, half, len)) {
        SCOPED_MEM char *key = mem_printf("model.merges[%zu]", rank);
        return tokenizer_refuse(name, key, merge, "\"a b\" or [\"a\", \"b\"]");
    }
    char joined[TOKENIZER_TOKEN_BYTES_MAX];
    memcpy(joined, half[0], len[0]);
    memcpy(joined + len[0], half[1], len[1]);
    int a = vocab_id(vocab, half[0], len[0]), b = vocab_id(vocab, half[1], len[1]);
    int id = vocab_id(vocab, joined, len[0] + len[1]);
    if (a < 0 || b < 0 || id < 0)
        return err_new(ERR_INVALID, "%s: model.merges[%zu]: '%.*s' is not in model.vocab", name,
                       rank,
                       (int)(a < 0   ? len[0]
                             : b < 0 ? len[1]
                                     : len[0] + len[1]),
                       a < 0   ? half[0]
                       : b < 0 ? half[1]
                               : joined);
    if (tokenizer_is_special(t, id)) // no text is to become it
        return OK;
    if (!bpe_merge(t->bpe, a, b, id))
        return err_new(ERR_INVALID, "%s: model.merges[%zu] repeats an earlier one", name, rank);
    return OK;
}

/* ---- the model */

static bool whole_alphabet(const struct tokenizer *t)
{
    bool all = true;
    for (int byte = 0; byte < 256; byte++)
        all = all && bpe_byte(t->bpe, (uint8_t)byte) >= 0;
    return all;
}

/* Characters without a token: unknown, bytes, or an error. */
static err_t read_unknown(struct tokenizer *t, const json_t *model, const char *name)
{
    const json_t *unk = json_object_get(model, "unk_token");
    TRY(read_flag(model, name, "fuse_unk", &t->fuse_unk));
    TRY(read_flag(model, name, "byte_fallback", &t->falls_back));
    for (int byte = 0; byte < 256; byte++) {
        char token[8];
        snprintf(token, sizeof token, "<0x%02X>", byte);
        t->fallback[byte] = t->byte_level ? -1 : bpe_find(t->bpe, token, 6);
    }
    if (t->byte_level && !whole_alphabet(t)) {
        if (!is_off(unk))
            return tokenizer_refuse(name, "model.unk_token", unk,
                                    "null where the vocabulary lacks single bytes");
        if (t->falls_back)
            return tokenizer_refuse(name, "model.byte_fallback", json_true(),
                                    "false where the vocabulary lacks single bytes");
    }
    if (t->byte_level || is_off(unk))
        return OK;
    t->unk = json_is_string(unk) ? bpe_find(t->bpe, json_string_value(unk), json_string_length(unk))
                                 : -1;
    return t->unk >= 0 ? OK
                       : tokenizer_refuse(name, "model.unk_token", unk, "a token of model.vocab");
}

static err_t read_bpe(struct tokenizer *t, const json_t *model, const char *name)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(json_object_get(model, off[i]))) {
            SCOPED_MEM char *key = mem_printf("model.%s", off[i]);
            return tokenizer_refuse(name, key, json_object_get(model, off[i]),
                                    "null or false: no other is supported");
        }
    TRY(read_flag(model, name, "ignore_merges", &t->ignore_merges));
    TRY(read_vocab(t, json_object_get(model, "vocab"), name));
    return read_unknown(t, model, name);
}

static err_t read_merges(struct tokenizer *t, const json_t *model, const char *name)
{
    const json_t *merges = json_object_get(model, "merges"), *merge;
    size_t rank;
    if (!json_is_array(merges) || json_array_size(merges) > MERGES_MAX)
        return err_new(ERR_INVALID, "%s: model.merges must be an array of at most %d", name,
                       MERGES_MAX);
    json_array_foreach (merges, rank, merge)
        TRY(read_merge(t, json_object_get(model, "vocab"), merge, rank, name));
    return OK;
}

static err_t read_unigram(struct tokenizer *t, const json_t *model, const char *name)
{
    int64_t unk = -1;
    if (t->byte_level)
        return tokenizer_refuse(name, "model.type", json_object_get(model, "type"),
                                "\"BPE\" with the pre_tokenizer ByteLevel");
    TRY(read_scores(t, json_object_get(model, "vocab"), name));
    TRY(json_get_int_or(model, name, "unk_id", 0, bpe_vocab(t->bpe) - 1, &unk));
    TRY(read_unknown(t, model, name));
    t->unk = (int)unk;
    t->unigram = unigram_new();
    return OK;
}

/* The score that `tokenizers` reads: serde_json rounds the digits to a double and divides that,
 * which is not the nearest one where there are 16 or 17 digits. Sums that tie show it. */
static double score_of(const json_t *number)
{
    const double score = json_number_value(number);
    char text[48], power[16];
    int digits = 15;
    do
        snprintf(text, sizeof text, "%.*e", digits - 1, fabs(score));
    while (strtod(text, NULL) != fabs(score) && ++digits <= 17);
    char *exponent = strchr(text, 'e');
    if (digits == 15 || !exponent)
        return score;
    const int scale = digits - 1 - (int)strtol(exponent + 1, NULL, 10);
    text[1] = text[0]; // the digits without the point
    *exponent = 0;
    snprintf(power, sizeof power, "1e%d", scale < 0 ? -scale : scale);
    const double whole = (double)strtoull(text + 1, NULL, 10);
    const double read = scale < 0 ? whole * strtod(power, NULL) : whole / strtod(power, NULL);
    return isfinite(read) ? copysign(read, score) : score;
}

/* Special tokens count among the scores, but no text is cut into them. */
static void read_pieces(struct tokenizer *t, const json_t *model)
{
    const json_t *row;
    size_t i;
    json_array_foreach (json_object_get(model, "vocab"), i, row) {
        const json_t *token = json_array_get(row, 0);
        unigram_token(t->unigram, json_string_value(token), json_string_length(token), (int)i,
                      score_of(json_array_get(row, 1)), !tokenizer_is_special(t, (int)i));
    }
}

/* Files of 2020 name no type. */
static err_t read_model(struct tokenizer *t, const json_t *model, const char *name)
{
    const json_t *type = json_object_get(model, "type"), *vocab = json_object_get(model, "vocab");
    if (is_text(type, "Unigram") || (!type && json_is_array(vocab)))
        return read_unigram(t, model, name);
    if (is_text(type, "BPE") || (!type && json_object_get(model, "merges")))
        return read_bpe(t, model, name);
    return tokenizer_refuse(name, "model.type", type, "\"BPE\" or \"Unigram\"");
}

/* ---- names of eos, bos, pad */

/* The id of config[key]: null, a token's text, or {"content": text}. */
static err_t read_named(const struct tokenizer *t, const json_t *config, const char *key,
                        const char *name, int *ret)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value))
        value = json_object_get(value, "content");
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_string(value))
        return tokenizer_refuse(name, key, value, "a token's text or null");
    int id = tokenizer_id(t, json_string_value(value));
    if (id < 0)
        return tokenizer_refuse(name, key, value, "a token of tokenizer.json");
    *ret = id;
    return OK;
}

err_t tokenizer_read(struct tokenizer *t, const char *name)
{
    SCOPED_JSON json_t *json = NULL, *config = NULL;
    TRY(json_parse((const char *)t->json.data, t->json.len, name, &json));
    if (!json_is_object(json) || !json_is_object(json_object_get(json, "model")))
        return err_new(ERR_INVALID, "%s: it must be an object with a member 'model'", name);
    const json_t *model = json_object_get(json, "model");
    TRY(tokenizer_read_rules(t, json, name));
    TRY(read_model(t, model, name));
    TRY(tokenizer_read_added(t, json, name));
    if (t->unigram)
        read_pieces(t, model);
    else
        TRY(read_merges(t, model, name));
    TRY(tokenizer_read_post(t, json, name));
    SCOPED_MEM char *config_name = mem_printf("%s: its config", name);
    TRY(json_parse((const char *)t->config.data, t->config.len, config_name, &config));
    if (!json_is_object(config))
        return tokenizer_refuse(config_name, "the text", config, "an object");
    TRY(read_named(t, config, "eos_token", config_name, &t->eos));
    TRY(read_named(t, config, "bos_token", config_name, &t->bos));
    return read_named(t, config, "pad_token", config_name, &t->pad);
}
