/* Texts into tokens, in the stages of `tokenizers`: added tokens of the text as it is,
 * normalization, added tokens again, the pre-tokenizer's pieces, words. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include <limits.h>
#include <string.h>

struct encoding {
    const struct tokenizer *t;
    const struct tokenizer_text *text;
    bool trusted; // all of the text is a template's
    struct id_list list;
    uint64_t steps;
};

/* ---- the pre-tokenizer: a piece of the text on its way through the steps from `step` on */

struct piece {
    struct encoding *e;
    int step;
    const char *text;
    size_t len;
    bool first; // at the beginning of the text
};

static err_t cut_on(const struct piece *p);

static err_t cut_part(void *arg, size_t begin, size_t end)
{
    const struct piece *all = arg;
    const struct piece part = {all->e, all->step + 1, all->text + begin, end - begin,
                               all->first && !begin};
    return cut_on(&part);
}

static err_t cut_by(const struct cut *cut, struct piece *p)
{
    return cuts_run(cut, &(struct search){p->text, p->len, &p->e->steps}, cut_part, p);
}

static err_t byte_level(const struct pre_step *step, struct piece *p)
{
    static const struct cut gpt2 = {.pattern = {.kind = PATTERN_KNOWN, .known = PRETOKEN_GPT2},
                                    .behavior = CUT_ISOLATED};
    SCOPED_VALUE(bytes) spaced = {0};
    if (step->prefix && p->text[0] != ' ') {
        bytes_u8(&spaced, ' ');
        bytes_put(&spaced, p->text, p->len);
        p->text = (const char *)spaced.data;
        p->len = spaced.len;
    }
    return step->regex ? cut_by(&gpt2, p) : cut_part(p, 0, p->len);
}

static err_t metaspace(const struct pre_step *step, struct piece *p)
{
    const size_t len = strlen(step->space);
    const struct cut before = {.pattern = {.kind = PATTERN_TEXT, .text = step->space, .len = len},
                               .behavior = CUT_WITH_NEXT};
    SCOPED_VALUE(bytes) out = {0};
    const bool has = p->text[0] == ' ' || (p->len >= len && !memcmp(p->text, step->space, len));
    if (step->prefix && !has && (p->first || !step->at_first))
        bytes_put(&out, step->space, len);
    for (size_t at = 0, end; at < p->len; at = end) {
        const char *space = memchr(p->text + at, ' ', p->len - at);
        end = space ? (size_t)(space - p->text) + 1 : p->len;
        bytes_put(&out, p->text + at, end - at - !!space);
        if (space)
            bytes_put(&out, step->space, len);
    }
    p->text = (const char *)out.data;
    p->len = out.len;
    return step->splits ? cut_by(&before, p) : cut_part(p, 0, p->len);
}

static err_t cut_on(const struct piece *given)
{
    const struct tokenizer *t = given->e->t;
    struct piece p = *given;
    if (!p.len)
        return OK;
    if (p.step == t->pres)
        return tokenizer_word(t, &p.e->list, p.text, p.len);
    const struct pre_step *step = &t->pre[p.step];
    switch (step->kind) {
    case PRE_CUT:
        return cut_by(&step->cut, &p);
    case PRE_BYTE_LEVEL:
        return byte_level(step, &p);
    case PRE_METASPACE:
        return metaspace(step, &p);
    }
    return OK;
}

/* ---- added tokens */

/* The longest added token at text[at], or -1. */
static int longest(const struct trie *trie, const char *text, size_t len, size_t at,
                   size_t *ret_end)
{
    int found = -1;
    for (int node = 0; trie && at < len; at++) {
        if ((node = trie_step(trie, node, (uint8_t)text[at])) < 0)
            break;
        if (trie_value(trie, node) >= 0) {
            found = trie_value(trie, node);
            *ret_end = at + 1;
        }
    }
    return found;
}

/* Whether a template wrote these bytes: the last span that begins before them decides, as spans are
 * in order and apart. */
static bool of_template(const struct encoding *e, size_t begin, size_t end)
{
    size_t low = 0, high = e->text->specials;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (e->text->special[middle].at <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low && end - e->text->special[low - 1].at <= e->text->special[low - 1].len;
}

static bool within_word(const char *text, size_t len, size_t begin, size_t end)
{
    uint32_t code;
    if (begin && (unicode_last(text, begin, &code), unicode_is(UNICODE_IS_RUST_WORD, code)))
        return true;
    return end < len &&
           (unicode_next(text + end, len - end, &code), unicode_is(UNICODE_IS_RUST_WORD, code));
}

static size_t spaces_before(const char *text, size_t begin, size_t least)
{
    uint32_t code;
    for (size_t at; begin > least; begin = at) {
        at = unicode_last(text, begin, &code);
        if (!unicode_is(UNICODE_IS_SPACE, code))
            break;
    }
    return begin;
}

static size_t spaces_behind(const char *text, size_t len, size_t end)
{
    uint32_t code;
    for (size_t bytes; end < len; end += bytes) {
        bytes = (size_t)unicode_next(text + end, len - end, &code);
        if (!unicode_is(UNICODE_IS_SPACE, code))
            break;
    }
    return end;
}

/* The added token at `at`; its end. */
static int added_at(const struct encoding *e, enum added_stage stage, const char *text, size_t len,
                    size_t at, size_t *ret_end)
{
    size_t end = 0;
    int found = longest(e->t->find[stage], text, len, at, ret_end);
    if (stage != ADDED_RAW || e->trusted || !e->text->specials)
        return found;
    const int other = longest(e->t->find[ADDED_TEMPLATE], text, len, at, &end);
    if (other >= 0 && (found < 0 || end > *ret_end))
        found = other, *ret_end = end;
    return found;
}

static err_t encode_piece(struct encoding *e, enum added_stage next, const char *text, size_t len,
                          bool first);

/* Takes added tokens out of the text, hands what lies between them to the next stage. A match that
 * may not be is passed over whole. */
static err_t encode_added(struct encoding *e, enum added_stage stage, const char *text, size_t len,
                          bool first)
{
    size_t begin = 0, end = 0;
    for (size_t at = 0; at < len;) {
        const int index = added_at(e, stage, text, len, at, &end);
        if (index < 0) {
            at++;
            continue;
        }
        const struct added *added = &e->t->added[index];
        size_t from = at;
        at = end;
        if (added->special && !e->trusted && (stage != ADDED_RAW || !of_template(e, from, end)))
            continue;
        if (added->single_word && within_word(text, len, from, end))
            continue;
        if (added->lstrip) // but for the spaces that the token before took
            from = from > begin ? spaces_before(text, from, begin) : begin;
        end = added->rstrip ? spaces_behind(text, len, end) : end;
        if (from > begin)
            TRY(encode_piece(e, stage + 1, text + begin, from - begin, first && !begin));
        if (end > from)
            TRY(tokenizer_put_ids(&e->list, &(int32_t){added->id}, 1));
        begin = end;
    }
    return begin < len ? encode_piece(e, stage + 1, text + begin, len - begin, first && !begin)
                       : OK;
}

/* Whether a Strip takes away where the text begins: what is left is not its first piece. */
static bool loses_beginning(const struct normal *normal, const char *text, size_t len)
{
    bool strips = false;
    for (int i = 0; i < normal->steps; i++)
        strips = strips || (normal->step[i].kind == NORMAL_STRIP && normal->step[i].left);
    return strips && spaces_behind(text, len, 0);
}

/* A piece that the stage before `next` left. */
static err_t encode_piece(struct encoding *e, enum added_stage next, const char *text, size_t len,
                          bool first)
{
    if (next != ADDED_NORMALIZED)
        return cut_on(&(struct piece){e, 0, text, len, first});
    if (!e->t->normal.steps)
        return encode_added(e, next, text, len, first);
    SCOPED_VALUE(bytes) normal = {0};
    TRY(normal_run(&e->t->normal, text, len, &e->steps, &normal));
    return encode_added(e, next, (const char *)normal.data, normal.len,
                        first && !loses_beginning(&e->t->normal, text, len));
}

static err_t encode(struct encoding *e)
{
    const struct tokenizer_text *text = e->text;
    if (text->len > INT_MAX / 4)
        return err_new(ERR_RANGE, "a text of %zu bytes; at most %d can be encoded", text->len,
                       INT_MAX / 4);
    e->steps = REGEX_STEPS(text->len);
    e->trusted = of_template(e, 0, text->len);
    return encode_added(e, ADDED_RAW, text->data, text->len, true);
}

err_t tokenizer_encode(const struct tokenizer *t, const struct tokenizer_text *text,
                       int32_t **ret_ids, int *ret_count)
{
    struct encoding e = {.t = t, .text = text, .list = {.drops = text->drops}};
    err_t failed = encode(&e);
    if (err_failed(failed)) {
        mem_free(e.list.ids);
        return failed;
    }
    *ret_ids = e.list.ids ? e.list.ids : mem_array(1, sizeof **ret_ids);
    *ret_count = e.list.count;
    return OK;
}

err_t tokenizer_encode_row(const struct tokenizer *t, const char *text, size_t len, bool special,
                           int32_t **ret_ids, int *ret_count)
{
    const struct text_span all = {0, len};
    const struct tokenizer_text row = {text, len, &all, special, false};
    return tokenizer_encode(t, &row, ret_ids, ret_count);
}
