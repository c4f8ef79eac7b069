#include "model/text/tokenizer_trainer.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/text/bpe.h"
#include "model/text/bpe_train.h"
#include "model/text/pretoken.h"
#include "model/text/unicode.h"
#include <string.h>

/* A byte is spelled with at most two: longer tokens could not be read back. */
enum { TOKEN_BYTES = TOKENIZER_TOKEN_BYTES_MAX / 2 };

/* A counted byte string: a word of the texts, or a token's spelling. */
struct entry {
    size_t at;
    uint32_t len;
    int32_t id;
    uint64_t count;
};

/* Byte strings with a number each: open addressing over entries, which stay in order of arrival. */
struct strings {
    struct bytes data;
    struct entry *entry;
    uint32_t *table; // index + 1; 0: empty
    size_t count, capacity, places;
};

struct tokenizer_trainer {
    struct tokenizer_training config;
    char **special;
    struct strings words;
};

static void strings_done(struct strings *s)
{
    bytes_done(&s->data);
    mem_free(s->entry);
    mem_free(s->table);
    *s = (struct strings){0};
}

static uint32_t *strings_place(const struct strings *s, const void *data, size_t len)
{
    size_t at = hash64(data, len, 0) & (s->places - 1);
    for (; s->table[at]; at = (at + 1) & (s->places - 1)) {
        const struct entry *entry = &s->entry[s->table[at] - 1];
        if (entry->len == len && !memcmp(s->data.data + entry->at, data, len))
            break;
    }
    return &s->table[at];
}

static void strings_grow(struct strings *s)
{
    mem_free(s->table);
    s->places = s->places ? 2 * s->places : 1024;
    s->table = mem_array(s->places, sizeof *s->table);
    for (size_t i = 0; i < s->count; i++)
        *strings_place(s, s->data.data + s->entry[i].at, s->entry[i].len) = (uint32_t)i + 1;
}

/* The string's entry, a new one (count 0) if it was not there. */
static struct entry *strings_entry(struct strings *s, const void *data, size_t len)
{
    if (2 * s->count >= s->places)
        strings_grow(s);
    uint32_t *place = strings_place(s, data, len);
    if (*place)
        return &s->entry[*place - 1];
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->entry = mem_grow(s->entry, s->capacity, sizeof *s->entry);
    }
    s->entry[s->count] =
        (struct entry){.at = s->data.len, .len = (uint32_t)len, .id = (int32_t)s->count};
    bytes_put(&s->data, data, len);
    *place = (uint32_t)++s->count;
    return &s->entry[s->count - 1];
}

/* ---- options and texts */

static err_t check_special(const char *text, size_t i)
{
    uint32_t code = 0;
    const size_t len = text ? strlen(text) : 0;
    bool valid = len > 0 && len <= TOKENIZER_TOKEN_BYTES_MAX;
    for (size_t at = 0; valid && at < len; at += (size_t)unicode_next(text + at, len - at, &code))
        valid = unicode_next(text + at, len - at, &code) && code != UNICODE_INVALID;
    if (!valid)
        return err_new(ERR_INVALID, "special token %zu must be UTF-8 text of 1 to %d bytes", i,
                       TOKENIZER_TOKEN_BYTES_MAX);
    return OK;
}

static err_t check_training(const struct tokenizer_training *c)
{
    if (c->vocab_size < 1 || c->vocab_size > TOKENIZER_VOCAB_MAX)
        return err_new(ERR_INVALID, "vocab_size is %d; it must be from 1 to %d", c->vocab_size,
                       TOKENIZER_VOCAB_MAX);
    if (c->min_frequency < 0)
        return err_new(ERR_INVALID, "min_frequency is %d; it must be 0 or more", c->min_frequency);
    if (c->max_token_length < 0 || c->max_token_length == 1)
        return err_new(ERR_INVALID, "max_token_length is %d; it must be 0 (no limit) or at least 2",
                       c->max_token_length);
    const int fixed = c->specials + (c->byte_alphabet ? 256 : 0);
    if (c->specials < 0 || fixed > c->vocab_size)
        return err_new(ERR_INVALID, "vocab_size is %d; %d special tokens%s need %d", c->vocab_size,
                       c->specials, c->byte_alphabet ? " and 256 bytes" : "", fixed);
    for (int i = 0; i < c->specials; i++) {
        TRY(check_special(c->special[i], (size_t)i));
        for (int j = 0; j < i; j++)
            if (!strcmp(c->special[i], c->special[j]))
                return err_new(ERR_INVALID, "special token '%s' is named twice", c->special[i]);
    }
    return OK;
}

err_t tokenizer_trainer_new(const struct tokenizer_training *config, struct tokenizer_trainer **ret)
{
    TRY(check_training(config));
    struct tokenizer_trainer *trainer = mem_new(sizeof *trainer);
    trainer->config = *config;
    trainer->special = mem_array((size_t)config->specials, sizeof *trainer->special);
    for (int i = 0; i < config->specials; i++)
        trainer->special[i] = mem_string(config->special[i]);
    *ret = trainer;
    return OK;
}

void tokenizer_trainer_feed(struct tokenizer_trainer *trainer, const char *text, size_t len)
{
    for (size_t at = 0, word; at < len; at += word) {
        word = pretoken_next(PRETOKEN_GPT2, text + at, len - at);
        strings_entry(&trainer->words, text + at, word)->count++;
    }
}

/* ---- the vocabulary */

/* The token that joins two; entry i of the spellings is token i. */
static int join(void *arg, int a, int b, int *ret_tokens)
{
    struct strings *spelled = arg;
    const struct entry left = spelled->entry[a], right = spelled->entry[b];
    SCOPED_VALUE(bytes) both = {0};
    bytes_put(&both, spelled->data.data + left.at, left.len);
    bytes_put(&both, spelled->data.data + right.at, right.len);
    const int id = strings_entry(spelled, both.data, both.len)->id;
    *ret_tokens = (int)spelled->count;
    return id;
}

/* Special tokens, then bytes by the code points that spell them. ret_byte (256): -1 for those
 * without a token. */
static void add_alphabet(const struct tokenizer_trainer *trainer, struct strings *spelled,
                         int32_t ret_byte[256])
{
    bool seen[256] = {0};
    for (size_t i = 0; i < trainer->words.data.len; i++)
        seen[trainer->words.data.data[i]] = true;
    for (int i = 0; i < trainer->config.specials; i++)
        strings_entry(spelled, trainer->special[i], strlen(trainer->special[i]));
    for (uint32_t code = 0; code < 0x144; code++) {
        const int byte = bpe_unspell(code);
        char utf8[4];
        if (byte >= 0 && (seen[byte] || trainer->config.byte_alphabet))
            ret_byte[byte] = strings_entry(spelled, utf8, (size_t)unicode_put(code, utf8))->id;
    }
}

static int by_bytes(const void *a, const void *b, void *data)
{
    const struct entry *x = a, *y = b;
    const uint8_t *text = data;
    const int order = memcmp(text + x->at, text + y->at, x->len < y->len ? x->len : y->len);
    return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

/* Sorted, so that nothing depends on the order of the texts. */
static void add_words(const struct tokenizer_trainer *trainer, const int32_t byte[256],
                      struct bpe_train *train)
{
    const struct strings *words = &trainer->words;
    SCOPED_MEM struct entry *sorted = mem_copy(words->entry, words->count * sizeof *sorted);
    qsort_r(sorted, words->count, sizeof *sorted, by_bytes, words->data.data);
    SCOPED_MEM int32_t *ids = NULL;
    for (size_t i = 0; i < words->count; i++) {
        ids = mem_grow(ids, sorted[i].len, sizeof *ids);
        for (uint32_t j = 0; j < sorted[i].len; j++)
            ids[j] = byte[words->data.data[sorted[i].at + j]];
        bpe_train_word(train, ids, sorted[i].len, sorted[i].count);
    }
}

/* ---- as Hugging Face writes it */

static json_t *token_text(const struct strings *spelled, int id)
{
    return json_stringn((const char *)spelled->data.data + spelled->entry[id].at,
                        spelled->entry[id].len);
}

static json_t *model_json(const struct strings *spelled, const struct bpe_train *train)
{
    json_t *vocab = json_object(), *merges = json_array();
    for (int id = 0; id < (int)spelled->count; id++)
        json_object_setn_new(vocab, (const char *)spelled->data.data + spelled->entry[id].at,
                             spelled->entry[id].len, json_integer(id));
    for (int rank = 0; rank < train->merges; rank++)
        json_array_append_new(
            merges, json_pack("[o,o]", token_text(spelled, (int)(train->merge[rank] >> 32)),
                              token_text(spelled, (int)(uint32_t)train->merge[rank])));
    return json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                     "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                     "byte_fallback", 0, "ignore_merges", 0, "vocab", vocab, "merges", merges);
}

static json_t *byte_level_json(int add_prefix_space)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                     add_prefix_space, "trim_offsets", 1, "use_regex", 1);
}

static char *tokenizer_text(const struct tokenizer_trainer *trainer, const struct strings *spelled,
                            const struct bpe_train *train)
{
    json_t *added = json_array();
    for (int i = 0; i < trainer->config.specials; i++)
        json_array_append_new(added,
                              json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", i, "content",
                                        trainer->special[i], "single_word", 0, "lstrip", 0,
                                        "rstrip", 0, "normalized", 0, "special", 1));
    SCOPED_JSON json_t *all = json_pack(
        "{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding",
        "added_tokens", added, "normalizer", "pre_tokenizer", byte_level_json(0), "post_processor",
        "decoder", byte_level_json(1), "model", model_json(spelled, train));
    return json_dumps(all, JSON_INDENT(2));
}

static char *config_text(const struct tokenizer_trainer *trainer)
{
    static const char *const named[][2] = {
        {"<eos>", "eos_token"}, {"<pad>", "pad_token"}, {"<bos>", "bos_token"}};
    SCOPED_JSON json_t *config =
        json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                  "clean_up_tokenization_spaces", 0);
    for (int i = 0; i < trainer->config.specials; i++)
        for (size_t k = 0; k < sizeof named / sizeof *named; k++)
            if (!strcmp(trainer->special[i], named[k][0]))
                json_object_set_new(config, named[k][1], json_string(named[k][0]));
    if (trainer->config.model_max_length > 0)
        json_object_set_new(config, "model_max_length",
                            json_integer(trainer->config.model_max_length));
    return json_dumps(config, JSON_INDENT(2));
}

err_t tokenizer_trainer_finish(struct tokenizer_trainer *trainer, struct tokenizer **ret)
{
    SCOPED_VALUE(strings) spelled = {0};
    const struct tokenizer_training *c = &trainer->config;
    int32_t byte[256];
    memset(byte, -1, sizeof byte);
    add_alphabet(trainer, &spelled, byte);
    if (spelled.count > (size_t)c->vocab_size)
        return err_new(ERR_INVALID,
                       "vocab_size is %d; the special tokens and the bytes seen are %zu",
                       c->vocab_size, spelled.count);
    const int longest = c->max_token_length && c->max_token_length < TOKEN_BYTES
                            ? c->max_token_length
                            : TOKEN_BYTES;
    SCOPED_VALUE(bpe_train)
    train = {
        .name = join, .arg = &spelled, .tokens = (int)spelled.count, .max_units = (size_t)longest};
    add_words(trainer, byte, &train);
    bpe_train_run(&train, c->vocab_size, c->min_frequency > 1 ? (uint64_t)c->min_frequency : 1);
    SCOPED_MEM char *json = tokenizer_text(trainer, &spelled, &train);
    SCOPED_MEM char *config = config_text(trainer);
    return tokenizer_parse(json, strlen(json), config, strlen(config), "trained tokenizer", ret);
}

void tokenizer_trainer_free(struct tokenizer_trainer *trainer)
{
    if (!trainer)
        return;
    for (int i = 0; i < trainer->config.specials; i++)
        mem_free(trainer->special[i]);
    mem_free(trainer->special);
    strings_done(&trainer->words);
    mem_free(trainer);
}
