#include "model/text/tokenizer.h"
#include "base/mem.h"
#include "model/files/config.h"
#include "model/text/tokenizer_state.h"
#include "model/text/unicode.h"
#include <limits.h>
#include <string.h>
#include <utf8proc.h>

enum { WORD_STACK = 256 };

/* ---- encode: added tokens as they stand, normalization, added tokens again, then words */

struct encoding {
    const struct tokenizer *t;
    int32_t *ids;
    int count, max;
};

static err_t put_ids(struct encoding *e, const int32_t *ids, int count)
{
    if (count > e->max - e->count)
        return err_new(ERR_RANGE, "the text has more than %d tokens", e->max);
    memcpy(e->ids + e->count, ids, (size_t)count * sizeof *ids);
    e->count += count;
    return OK;
}

static err_t encode_word(struct encoding *e, const char *word, size_t len)
{
    int whole = e->t->ignore_merges ? bpe_find(e->t->bpe, word, len) : -1;
    if (whole >= 0)
        return put_ids(e, &(int32_t){whole}, 1);
    for (size_t i = 0; i < len; i++)
        if (bpe_byte(e->t->bpe, (uint8_t)word[i]) < 0)
            return err_new(ERR_INVALID,
                           "the tokenizer's vocabulary has no token for byte 0x%02x ('%c')",
                           (uint8_t)word[i], word[i] > ' ' && word[i] < 0x7f ? word[i] : '?');
    int32_t stack[WORD_STACK];
    SCOPED_MEM int32_t *memory = len > WORD_STACK ? mem_array(len, sizeof *memory) : NULL;
    int32_t *ids = memory ? memory : stack;
    return put_ids(e, ids, bpe_word(e->t->bpe, word, len, ids));
}

static err_t encode_cut(struct encoding *e, const char *text, size_t len)
{
    for (size_t at = 0, word; at < len; at += word) {
        word = pretoken_next(e->t->pattern, text + at, len - at);
        TRY(encode_word(e, text + at, word));
    }
    return OK;
}

static err_t encode_words(struct encoding *e, const char *text, size_t len)
{
    SCOPED_VALUE(bytes) spaced = {0};
    if (e->t->prefix_space && text[0] != ' ') {
        bytes_u8(&spaced, ' ');
        bytes_put(&spaced, text, len);
        text = (const char *)spaced.data;
        len = spaced.len;
    }
    if (!e->t->digits)
        return encode_cut(e, text, len);
    for (size_t at = 0, piece; at < len; at += piece) {
        piece = pretoken_next(PRETOKEN_DIGITS, text + at, len - at);
        TRY(encode_cut(e, text + at, piece));
    }
    return OK;
}

/* The longest added token that text begins with, or NULL. */
static const struct added *added_at(const struct tokenizer *t, int kind, const char *text,
                                    size_t len)
{
    int byte = (uint8_t)text[0];
    for (int i = t->first[kind][byte]; i < t->first[kind][byte + 1]; i++)
        if (t->added[i].len <= len && !memcmp(t->added[i].content, text, t->added[i].len))
            return &t->added[i];
    return NULL;
}

static err_t encode_piece(struct encoding *e, int stage, const char *text, size_t len);

/* Takes added tokens out of the text, hands what lies between them to the next stage. */
static err_t encode_added(struct encoding *e, int stage, const char *text, size_t len)
{
    size_t begin = 0;
    for (size_t at = 0; at < len;) {
        const struct added *found = added_at(e->t, stage, text + at, len - at);
        if (!found) {
            at++;
            continue;
        }
        TRY(encode_piece(e, stage + 1, text + begin, at - begin));
        TRY(put_ids(e, &(int32_t){found->id}, 1));
        begin = at += found->len;
    }
    return encode_piece(e, stage + 1, text + begin, len - begin);
}

/* Stage 0: the raw text; 1: what is to be normalized; 2: what is to be cut into words. */
static err_t encode_piece(struct encoding *e, int stage, const char *text, size_t len)
{
    SCOPED_VALUE(bytes) normal = {0};
    if (!len)
        return OK;
    if (stage == 2)
        return encode_words(e, text, len);
    if (stage == 1 && e->t->nfc) {
        TRY(tokenizer_nfc(text, len, &normal));
        text = (const char *)normal.data;
        len = normal.len;
    }
    return encode_added(e, stage, text, len);
}

err_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, int max,
                       int32_t *ret_ids, int *ret_count)
{
    if (len > INT_MAX / 4)
        return err_new(ERR_RANGE, "a text of %zu bytes; at most %d can be encoded", len,
                       INT_MAX / 4);
    struct encoding e = {.t = t, .ids = ret_ids, .max = max};
    TRY(encode_piece(&e, 0, text, len));
    *ret_count = e.count;
    return OK;
}

/* Bytes that are ASCII up to the end are their own NFC. */
static bool ascii(const char *text, size_t len)
{
    uint8_t all = 0;
    for (size_t i = 0; i < len; i++)
        all |= (uint8_t)text[i];
    return all < 0x80;
}

err_t tokenizer_nfc(const char *text, size_t len, struct bytes *ret)
{
    size_t valid = 0;
    uint32_t code = 0;
    if (ascii(text, len))
        return bytes_put(ret, text, len), OK;
    for (size_t at = 0; at < len; at = valid) {
        for (valid = at; valid < len;
             valid += (size_t)unicode_next(text + valid, len - valid, &code))
            if (unicode_next(text + valid, len - valid, &code) == 1 && code == UNICODE_INVALID)
                break;
        uint8_t *normal = NULL;
        utf8proc_ssize_t count =
            valid == at ? 0
                        : utf8proc_map((const uint8_t *)text + at, (utf8proc_ssize_t)(valid - at),
                                       &normal, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (count < 0)
            return err_new(ERR_EXHAUSTED, "normalizing a text of %zu bytes: %s", len,
                           utf8proc_errmsg(count));
        bytes_put(ret, normal, (size_t)count);
        free(normal);
        if (valid < len)
            bytes_put(ret, text + valid++, 1);
    }
    return OK;
}

/* ---- decode, look-ups */

static bool has_token(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->vocab && (t->added_of[id] >= 0 || bpe_has(t->bpe, id));
}

err_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count,
                       bool skip_special, struct bytes *ret)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0)
            return err_new(ERR_RANGE, "id %d is no token's", ids[i]);
    for (size_t i = 0; i < count; i++) {
        if (!has_token(t, ids[i]))
            continue;
        int added = t->added_of[ids[i]];
        size_t len;
        if (added < 0) {
            const uint8_t *data = bpe_bytes(t->bpe, ids[i], &len);
            bytes_put(ret, data, len);
        } else if (!skip_special || !t->added[added].special) {
            bytes_put(ret, t->added[added].content, t->added[added].len);
        }
    }
    return OK;
}

int tokenizer_vacant(const struct tokenizer *t, int V, struct token_range **ret)
{
    struct token_range *range = NULL;
    int ranges = 0;
    for (int id = 0; id < V; id++) {
        if (has_token(t, id))
            continue;
        if (!ranges || range[ranges - 1].first + range[ranges - 1].count != id) {
            range = mem_grow(range, (size_t)ranges + 1, sizeof *range);
            range[ranges++] = (struct token_range){.first = id};
        }
        range[ranges - 1].count++;
    }
    *ret = range;
    return ranges;
}

int tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab;
}

int tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

int tokenizer_id(const struct tokenizer *t, const char *token)
{
    for (int i = 0; i < t->addeds; i++)
        if (!strcmp(t->added[i].content, token))
            return t->added[i].id;
    SCOPED_VALUE(bytes) raw = {0};
    return bpe_unspell_text(token, strlen(token), &raw) ? bpe_find(t->bpe, raw.data, raw.len) : -1;
}

struct digest tokenizer_digest(const struct tokenizer *t)
{
    SCOPED_VALUE(bytes) all = {0};
    const uint8_t options[] = {t->pattern, t->digits, t->prefix_space, t->nfc, t->ignore_merges};
    bytes_put(&all, options, sizeof options);
    for (int id = 0; id < bpe_vocab(t->bpe); id++) {
        size_t len;
        const uint8_t *data = bpe_bytes(t->bpe, id, &len);
        bytes_be32(&all, (uint32_t)len);
        bytes_put(&all, data, len);
    }
    for (int rank = 0, a, b; rank < bpe_merges(t->bpe); rank++) {
        bpe_merge_at(t->bpe, rank, &a, &b);
        bytes_be32(&all, (uint32_t)a);
        bytes_be32(&all, (uint32_t)b);
    }
    for (int i = 0; i < t->addeds; i++) {
        bytes_be32(&all, (uint32_t)t->added[i].id);
        bytes_be32(&all, (uint32_t)t->added[i].len);
        bytes_put(&all, t->added[i].content, t->added[i].len);
        bytes_u8(&all, t->added[i].special);
        bytes_u8(&all, t->added[i].normalized);
    }
    return hash128(all.data, all.len, 0);
}

static bool ends_here(const struct tokenizer *t, int id)
{
    return id == t->eos || (t->added_of[id] >= 0 && t->added[t->added_of[id]].special);
}

err_t tokenizer_check(const struct tokenizer *t, const struct model_config *config)
{
    bool good = !config->eos_count;
    if (t->vocab > config->V)
        return err_new(ERR_PRECONDITION,
                       "another vocabulary's tokenizer: it has %d tokens, the model %d", t->vocab,
                       config->V);
    for (int i = 0; i < config->eos_count; i++) {
        if (!has_token(t, config->eos[i]))
            return err_new(ERR_PRECONDITION,
                           "%s: 'eos_token_id' %d has no token: the tokenizer has %d",
                           config->eos_file, config->eos[i], t->vocab);
        good = good || ends_here(t, config->eos[i]);
    }
    if (good)
        return OK;
    return err_new(ERR_PRECONDITION,
                   "another vocabulary's tokenizer: its end token is %d, the model's is %d (%s); "
                   "one that ends a model must be it or special",
                   t->eos, config->eos[0], config->eos_file);
}

int tokenizer_end(const struct tokenizer *t, const struct model_config *config)
{
    int special = -1;
    for (int i = config->eos_count; i-- > 0;) {
        if (config->eos[i] == t->eos)
            return t->eos;
        if (ends_here(t, config->eos[i]))
            special = config->eos[i];
    }
    return special >= 0 || !config->eos_count ? special : config->eos[0];
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->bpe)
        bpe_free(t->bpe);
    for (int i = 0; i < t->addeds; i++)
        free(t->added[i].content);
    free(t->added);
    free(t->added_of);
    bytes_done(&t->json);
    bytes_done(&t->config);
    free(t);
}
