/* tokenizer.json and tokenizer_config.json, hostile until checked. */
#include "base/json.h"
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include "model/text/unicode.h"
#include <inttypes.h>
#include <string.h>

enum { MERGES_MAX = 1 << 22, ADDED_MAX = 1 << 16, PATTERN_SHOWN = 60 };

static err_t refuse(const char *name, const char *key, const json_t *found, const char *allowed)
{
    SCOPED_MEM char *text = found ? json_to_text(found) : mem_string("missing");
    return err_new(ERR_INVALID, "%s: %s is %.*s; it must be %s", name, key, PATTERN_SHOWN,
                   text ? text : "unreadable", allowed);
}

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

static err_t read_vocab(struct tokenizer *t, const json_t *vocab, const char *name)
{
    if (!json_is_object(vocab) || !json_object_size(vocab) ||
        json_object_size(vocab) > TOKENIZER_VOCAB_MAX)
        return err_new(ERR_INVALID, "%s: model.vocab must be an object of 1 to %d tokens", name,
                       TOKENIZER_VOCAB_MAX);
    const char *key;
    const json_t *value;
    json_int_t largest = 0;
    json_object_foreach ((json_t *)vocab, key, value) {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) >= TOKENIZER_VOCAB_MAX)
            return err_new(ERR_INVALID,
                           "%s: model.vocab: the id of '%.40s' must be a whole number below %d",
                           name, key, TOKENIZER_VOCAB_MAX);
        if (!*key || strlen(key) > TOKENIZER_TOKEN_BYTES_MAX)
            return err_new(ERR_INVALID, "%s: model.vocab: token '%.40s' must have 1 to %d bytes",
                           name, key, TOKENIZER_TOKEN_BYTES_MAX);
        largest = json_integer_value(value) > largest ? json_integer_value(value) : largest;
    }
    t->bpe = bpe_new((int)largest + 1);
    SCOPED_VALUE(bytes) raw = {0};
    json_object_foreach ((json_t *)vocab, key, value) {
        int id = (int)json_integer_value(value);
        if (bpe_has(t->bpe, id))
            return err_new(ERR_INVALID,
                           "%s: model.vocab: id %d is given twice, the second time to '%.40s'",
                           name, id, key);
        bytes_clear(&raw);
        if (bpe_unspell_text(key, strlen(key), &raw))
            bpe_token(t->bpe, id, raw.data, raw.len, true);
        else
            bpe_token(t->bpe, id, key, strlen(key), false);
    }
    bpe_index(t->bpe);
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
    return id ? (int)json_integer_value(id) : -1;
}

static err_t read_merge(struct tokenizer *t, const json_t *vocab, const json_t *merge, size_t rank,
                        const char *name)
{
    const char *half[2];
    size_t len[2];
    if (!merge_halves(merge, half, len)) {
        SCOPED_MEM char *key = mem_printf("model.merges[%zu]", rank);
        return refuse(name, key, merge, "\"a b\" or [\"a\", \"b\"]");
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
    if (!bpe_merge(t->bpe, a, b, id))
        return err_new(ERR_INVALID, "%s: model.merges[%zu] repeats an earlier one", name, rank);
    return OK;
}

static err_t check_unknown(const struct tokenizer *t, const json_t *unk, const char *name)
{
    for (int byte = 0; byte < 256 && !is_off(unk); byte++)
        if (bpe_byte(t->bpe, (uint8_t)byte) < 0)
            return refuse(name, "model.unk_token", unk,
                          "null where the vocabulary lacks single bytes");
    return OK;
}

static err_t read_model(struct tokenizer *t, const json_t *model, const char *name)
{
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "byte_fallback"};
    if (!is_text(json_object_get(model, "type"), "BPE"))
        return refuse(name, "model.type", json_object_get(model, "type"), "\"BPE\"");
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(json_object_get(model, off[i]))) {
            SCOPED_MEM char *key = mem_printf("model.%s", off[i]);
            return refuse(name, key, json_object_get(model, off[i]),
                          "null or false: no other is supported");
        }
    TRY(read_flag(model, name, "ignore_merges", &t->ignore_merges));
    const json_t *vocab = json_object_get(model, "vocab"),
                 *merges = json_object_get(model, "merges"), *merge;
    TRY(read_vocab(t, vocab, name));
    if (!json_is_array(merges) || json_array_size(merges) > MERGES_MAX)
        return err_new(ERR_INVALID, "%s: model.merges must be an array of at most %d", name,
                       MERGES_MAX);
    size_t rank;
    json_array_foreach (merges, rank, merge)
        TRY(read_merge(t, vocab, merge, rank, name));
    return check_unknown(t, json_object_get(model, "unk_token"), name);
}

/* ---- how text is cut */

static err_t read_split(struct tokenizer *t, const json_t *split, const char *name)
{
    const json_t *pattern = json_object_get(split, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    int known = regex ? pretoken_find(regex) : -1;
    if (known < 0)
        return refuse(name, "pre_tokenizer: Split's pattern", pattern,
                      "GPT-2's, Qwen2's or Llama-3's regex");
    if (!is_text(json_object_get(split, "behavior"), "Isolated") ||
        !is_off(json_object_get(split, "invert")))
        return refuse(name, "pre_tokenizer: Split's behavior", json_object_get(split, "behavior"),
                      "\"Isolated\", not inverted");
    t->pattern = (enum pretoken)known;
    return OK;
}

static err_t read_byte_level(struct tokenizer *t, const json_t *step, const char *name)
{
    bool regex = true;
    t->prefix_space = true;
    TRY(read_flag(step, name, "use_regex", &regex));
    TRY(read_flag(step, name, "add_prefix_space", &t->prefix_space));
    if (regex)
        t->pattern = PRETOKEN_GPT2;
    return OK;
}

/* ByteLevel alone, or after one Split, or after Digits. */
static err_t read_pre_tokenizer(struct tokenizer *t, const json_t *pre, const char *name)
{
    static const char allowed[] = "ByteLevel, or a Sequence of Split or Digits and ByteLevel";
    if (is_text(json_object_get(pre, "type"), "ByteLevel"))
        return read_byte_level(t, pre, name);
    const json_t *steps = json_object_get(pre, "pretokenizers");
    const json_t *cut = json_array_get(steps, 0), *last = json_array_get(steps, 1);
    if (!is_text(json_object_get(pre, "type"), "Sequence") || json_array_size(steps) != 2 ||
        !is_text(json_object_get(last, "type"), "ByteLevel"))
        return refuse(name, "pre_tokenizer", pre, allowed);
    bool split = is_text(json_object_get(cut, "type"), "Split");
    TRY(read_byte_level(t, last, name));
    if (t->prefix_space)
        return refuse(name, "pre_tokenizer: add_prefix_space", json_true(), "false in a Sequence");
    if (split && t->pattern != PRETOKEN_WHOLE)
        return refuse(name, "pre_tokenizer: ByteLevel's use_regex", json_true(),
                      "false after a Split");
    if (split)
        return read_split(t, cut, name);
    if (!is_text(json_object_get(cut, "type"), "Digits") ||
        !json_is_true(json_object_get(cut, "individual_digits")))
        return refuse(name, "pre_tokenizer", cut, "Split, or Digits with individual_digits true");
    t->digits = true;
    return OK;
}

static err_t read_pipeline(struct tokenizer *t, const json_t *json, const char *name)
{
    const json_t *normalizer = json_object_get(json, "normalizer"),
                 *decoder = json_object_get(json, "decoder");
    t->nfc = is_text(json_object_get(normalizer, "type"), "NFC");
    const json_t *inner = json_object_get(normalizer, "normalizers");
    if (is_text(json_object_get(normalizer, "type"), "Sequence") && json_is_array(inner))
        t->nfc = json_array_size(inner) == 1 &&
                 is_text(json_object_get(json_array_get(inner, 0), "type"), "NFC");
    bool none = is_off(normalizer) || (json_is_array(inner) && !json_array_size(inner));
    if (!t->nfc && !none)
        return refuse(name, "normalizer", normalizer, "null or NFC");
    if (!is_text(json_object_get(decoder, "type"), "ByteLevel"))
        return refuse(name, "decoder", decoder, "ByteLevel");
    return read_pre_tokenizer(t, json_object_get(json, "pre_tokenizer"), name);
}

/* ---- added tokens */

static err_t read_added(struct tokenizer *t, const json_t *token, size_t i, const char *name,
                        struct added *ret)
{
    SCOPED_MEM char *place = mem_printf("%s: added_tokens[%zu]", name, i);
    const char *content;
    int64_t id;
    bool flag[3] = {false, false, false};
    static const char *const unsupported[] = {"single_word", "lstrip", "rstrip"};
    if (!json_is_object(token))
        return refuse(name, "an added token", token, "an object");
    TRY(json_get_text(token, place, "content", &content));
    TRY(json_get_int(token, place, "id", 0, TOKENIZER_VOCAB_MAX - 1, &id));
    for (int k = 0; k < 3; k++) {
        TRY(read_flag(token, place, unsupported[k], &flag[k]));
        if (flag[k])
            return refuse(place, unsupported[k], json_true(), "false: no other is supported");
    }
    TRY(read_flag(token, place, "special", &ret->special));
    ret->normalized = !ret->special;
    TRY(read_flag(token, place, "normalized", &ret->normalized));
    if (!*content || strlen(content) > TOKENIZER_TOKEN_BYTES_MAX)
        return refuse(place, "content", json_object_get(token, "content"), "of 1 to 4096 bytes");
    SCOPED_VALUE(bytes) text = {0};
    if (ret->normalized && t->nfc)
        TRY(tokenizer_nfc(content, strlen(content), &text));
    else
        bytes_text(&text, content);
    ret->len = text.len;
    ret->content = (char *)STEAL(text.data);
    ret->id = (int)id;
    return OK;
}

/* An added token may repeat one of the model's, under the same id, but may not rename another. */
static err_t check_added(const struct tokenizer *t, const json_t *vocab, const struct added *token,
                         const char *content, const char *name)
{
    const json_t *known = json_object_get(vocab, content);
    if (known ? json_integer_value(known) != token->id : bpe_has(t->bpe, token->id))
        return err_new(ERR_INVALID,
                       "%s: added token '%.40s' has id %d, which model.vocab contradicts", name,
                       content, token->id);
    return OK;
}

static int added_order(const void *a, const void *b)
{
    const struct added *x = a, *y = b;
    if (x->normalized != y->normalized)
        return x->normalized - y->normalized;
    if (x->content[0] != y->content[0])
        return (uint8_t)x->content[0] < (uint8_t)y->content[0] ? -1 : 1;
    if (x->len != y->len)
        return x->len > y->len ? -1 : 1;
    return memcmp(x->content, y->content, x->len);
}

static err_t index_added(struct tokenizer *t, const char *name)
{
    qsort(t->added, (size_t)t->addeds, sizeof *t->added, added_order);
    t->vocab = bpe_vocab(t->bpe);
    for (int i = 0; i < t->addeds; i++) {
        t->vocab = t->added[i].id >= t->vocab ? t->added[i].id + 1 : t->vocab;
        if (i && !added_order(&t->added[i - 1], &t->added[i]))
            return err_new(ERR_INVALID, "%s: added token '%.40s' is given twice", name,
                           t->added[i].content);
    }
    for (int kind = 0, at = 0; kind < 2; kind++)
        for (int byte = 0; byte <= 256; byte++) {
            t->first[kind][byte] = at;
            while (at < t->addeds && t->added[at].normalized == kind &&
                   (uint8_t)t->added[at].content[0] == byte)
                at++;
        }
    t->added_of = mem_array((size_t)t->vocab, sizeof *t->added_of);
    memset(t->added_of, -1, (size_t)t->vocab * sizeof *t->added_of);
    for (int i = 0; i < t->addeds; i++) {
        int id = t->added[i].id;
        if (t->added_of[id] >= 0)
            return err_new(ERR_INVALID, "%s: added_tokens: id %d is given twice, to '%.40s'", name,
                           id, t->added[i].content);
        t->added_of[id] = i;
    }
    return OK;
}

static err_t read_all_added(struct tokenizer *t, const json_t *json, const char *name)
{
    const json_t *list = json_object_get(json, "added_tokens"), *token;
    const json_t *vocab = json_object_get(json_object_get(json, "model"), "vocab");
    if (list && !json_is_null(list) && (!json_is_array(list) || json_array_size(list) > ADDED_MAX))
        return err_new(ERR_INVALID, "%s: added_tokens must be an array of at most %d", name,
                       ADDED_MAX);
    t->added = mem_array(json_array_size(list), sizeof *t->added);
    size_t i;
    json_array_foreach (list, i, token) {
        TRY(read_added(t, token, i, name, &t->added[i]));
        t->addeds++;
        TRY(check_added(t, vocab, &t->added[i],
                        json_string_value(json_object_get(token, "content")), name));
    }
    return index_added(t, name);
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
        return refuse(name, key, value, "a token's text or null");
    int id = tokenizer_id(t, json_string_value(value));
    if (id < 0)
        return refuse(name, key, value, "a token of tokenizer.json");
    *ret = id;
    return OK;
}

err_t tokenizer_read(struct tokenizer *t, const char *name)
{
    SCOPED_JSON json_t *json = NULL, *config = NULL;
    TRY(json_parse((const char *)t->json.data, t->json.len, name, &json));
    if (!json_is_object(json) || !json_is_object(json_object_get(json, "model")))
        return err_new(ERR_INVALID, "%s: it must be an object with a member 'model'", name);
    TRY(read_pipeline(t, json, name));
    TRY(read_model(t, json_object_get(json, "model"), name));
    TRY(read_all_added(t, json, name));
    SCOPED_MEM char *config_name = mem_printf("%s: its config", name);
    TRY(json_parse((const char *)t->config.data, t->config.len, config_name, &config));
    if (!json_is_object(config))
        return refuse(config_name, "the text", config, "an object");
    TRY(read_named(t, config, "eos_token", config_name, &t->eos));
    TRY(read_named(t, config, "bos_token", config_name, &t->bos));
    return read_named(t, config, "pad_token", config_name, &t->pad);
}
