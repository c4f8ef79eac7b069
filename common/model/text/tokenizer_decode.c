/* Tokens into text. Of a vocabulary of bytes that is their bytes one after the other; otherwise the
 * decoder's steps work on one piece of text for each token. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include <string.h>

bool tokenizer_has(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->vocab && (t->added_of[id] >= 0 || bpe_has(t->bpe, id));
}

bool tokenizer_is_special(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->vocab && t->added_of[id] >= 0 && t->added[t->added_of[id]].special;
}

/* A token as its file spells it, normalized where it is found so; of a vocabulary of bytes, what it
 * spells. */
static const char *text_of(const struct tokenizer *t, int id, size_t *ret_len)
{
    const int added = t->added_of[id];
    if (added < 0)
        return (const char *)bpe_bytes(t->bpe, id, ret_len);
    *ret_len = strlen(t->added[added].match);
    return t->added[added].match;
}

/* ---- pieces */

struct pieces {
    struct bytes text;
    size_t *end; // (count)
    size_t count, capacity;
};

static void pieces_done(struct pieces *p)
{
    bytes_done(&p->text);
    mem_free(p->end);
    *p = (struct pieces){0};
}

/* Ends the piece that was put to the text. */
static void end_piece(struct pieces *p)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 64;
        p->end = mem_grow(p->end, p->capacity, sizeof *p->end);
    }
    p->end[p->count++] = p->text.len;
}

static void put_piece(struct pieces *p, const char *text, size_t len)
{
    bytes_put(&p->text, text, len);
    end_piece(p);
}

static const char *piece(const struct pieces *p, size_t i, size_t *ret_len)
{
    const size_t begin = i ? p->end[i - 1] : 0;
    *ret_len = p->end[i] - begin;
    return (const char *)p->text.data + begin;
}

/* ---- steps */

static int hex(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* The byte that "<0xHH>" stands for; -1: another piece. */
static int byte_of(const char *text, size_t len)
{
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    const int high = hex(text[3]), low = hex(text[4]);
    return high >= 0 && low >= 0 ? high * 16 + low : text[3] == '+' ? low : -1;
}

/* A run of bytes: its text if it is UTF-8, else U+FFFD for each. Of a part, what is cut may go on
 * outside it, and bytes stay. */
static void put_run(struct pieces *to, bool whole, struct bytes *run)
{
    uint32_t code = 0;
    bool valid = true; // or not to be asked
    const char *text = (const char *)run->data;
    for (size_t at = 0; whole && at < run->len && valid;
         at += (size_t)unicode_next(text + at, run->len - at, &code))
        valid = unicode_next(text + at, run->len - at, &code) && code != UNICODE_INVALID;
    if (valid && run->len)
        put_piece(to, text, run->len);
    for (size_t i = 0; i < run->len && !valid; i++)
        put_piece(to, "\xef\xbf\xbd", 3);
    bytes_clear(run);
}

static void byte_fallback(bool whole, const struct pieces *from, struct pieces *to)
{
    SCOPED_VALUE(bytes) run = {0};
    for (size_t i = 0, len; i < from->count; i++) {
        const char *text = piece(from, i, &len);
        const int byte = byte_of(text, len);
        if (byte >= 0) {
            bytes_u8(&run, (uint8_t)byte);
            continue;
        }
        put_run(to, whole, &run);
        put_piece(to, text, len);
    }
    put_run(to, whole, &run);
}

/* At most start of the character at the beginning, at most stop at the end. */
static void put_stripped(const struct decode_step *step, const char *text, size_t len,
                         struct pieces *to)
{
    const size_t one = strlen(step->text);
    for (int64_t i = 0; i < step->start && len >= one && !memcmp(text, step->text, one); i++)
        text += one, len -= one;
    for (int64_t i = 0; i < step->stop && len >= one; i++) {
        if (memcmp(text + len - one, step->text, one) != 0)
            break;
        len -= one;
    }
    put_piece(to, text, len);
}

static err_t run_step(const struct decode_step *step, bool whole, const struct pieces *from,
                      struct pieces *to)
{
    if (step->kind == DECODE_BYTE_FALLBACK)
        return byte_fallback(whole, from, to), OK;
    if (step->kind == DECODE_FUSE)
        return put_piece(to, (const char *)from->text.data, from->text.len), OK;
    uint64_t steps = REGEX_STEPS(from->text.len);
    for (size_t i = 0, len; i < from->count; i++) {
        const char *text = piece(from, i, &len);
        if (step->kind == DECODE_STRIP) {
            put_stripped(step, text, len, to);
            continue;
        }
        const bool drops = step->kind == DECODE_METASPACE && !i && step->first && whole;
        const char *with = step->kind == DECODE_REPLACE ? step->text : drops ? "" : " ";
        TRY(normal_replace(&step->pattern, with, text, len, &steps, &to->text));
        end_piece(to);
    }
    return OK;
}

/* Of a part, what only a whole text's beginning loses stays. */
static err_t run_steps(const struct tokenizer *t, bool whole, struct pieces *p)
{
    bool fused = false;
    for (int i = 0; i < t->decodes; i++) {
        const struct decode_step *step = &t->decode[i];
        if (step->kind == DECODE_STRIP && fused && !whole)
            continue;
        struct pieces next = {0};
        err_t failed = run_step(step, whole, p, &next);
        pieces_done(p);
        *p = next;
        fused = fused || step->kind == DECODE_FUSE;
        TRY(failed);
    }
    return OK;
}

/* ---- */

static void put_bytes(const struct tokenizer *t, int id, struct bytes *ret)
{
    size_t len;
    const char *text = text_of(t, id, &len);
    if (t->added_of[id] < 0 || !bpe_unspell_text(text, len, ret))
        bytes_put(ret, text, len);
}

static err_t decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip_special,
                    bool whole, struct bytes *ret)
{
    SCOPED_VALUE(pieces) pieces = {0};
    size_t len;
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0)
            return err_new(ERR_RANGE, "id %d is no token's", ids[i]);
    for (size_t i = 0; i < count; i++) {
        if (!tokenizer_has(t, ids[i]) || (skip_special && tokenizer_is_special(t, ids[i])))
            continue;
        if (t->byte_level) {
            put_bytes(t, ids[i], ret);
            continue;
        }
        const char *text = text_of(t, ids[i], &len);
        put_piece(&pieces, text, len);
    }
    TRY(run_steps(t, whole, &pieces));
    bytes_put(ret, pieces.text.data, pieces.text.len);
    return OK;
}

err_t tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count,
                       bool skip_special, struct bytes *ret)
{
    return decode(t, ids, count, skip_special, true, ret);
}

err_t tokenizer_decode_part(const struct tokenizer *t, const int32_t *ids, size_t count,
                            bool skip_special, struct bytes *ret)
{
    return decode(t, ids, count, skip_special, false, ret);
}

int tokenizer_vacant(const struct tokenizer *t, int V, struct token_range **ret)
{
    struct token_range *range = NULL;
    int ranges = 0;
    for (int id = 0; id < V; id++) {
        if (tokenizer_has(t, id))
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
