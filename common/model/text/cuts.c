#include "model/text/cuts.h"
#include "base/mem.h"
#include <string.h>

static int find_text(const struct pattern *p, const struct search *s, size_t from,
                     size_t *ret_begin, size_t *ret_end)
{
    const char *found = p->len ? memmem(s->text + from, s->len - from, p->text, p->len) : NULL;
    if (!found)
        return 0;
    *ret_begin = (size_t)(found - s->text);
    *ret_end = *ret_begin + p->len;
    return 1;
}

static int find_property(const struct pattern *p, const struct search *s, size_t from,
                         size_t *ret_begin, size_t *ret_end)
{
    uint32_t code;
    for (size_t at = from, next; at < s->len; at = next) {
        next = at + (size_t)unicode_next(s->text + at, s->len - at, &code);
        if (unicode_is(p->property, code) == (p->kind == PATTERN_PROPERTY)) {
            *ret_begin = at;
            *ret_end = next;
            return 1;
        }
    }
    return 0;
}

int cuts_find(const struct pattern *p, const struct search *s, size_t from, size_t *ret_begin,
              size_t *ret_end)
{
    switch (p->kind) {
    case PATTERN_TEXT:
        return find_text(p, s, from, ret_begin, ret_end);
    case PATTERN_REGEX:
        return regex_find(p->regex, &(struct regex_text){s->text, s->len, s->steps}, from,
                          ret_begin, ret_end);
    case PATTERN_KNOWN:
        if (from >= s->len)
            return 0;
        *ret_begin = from;
        *ret_end = from + pretoken_next(p->known, s->text + from, s->len - from);
        return 1;
    case PATTERN_PROPERTY:
    case PATTERN_NOT_PROPERTY:
        return find_property(p, s, from, ret_begin, ret_end);
    }
    return 0;
}

/* Matches and what lies between them come in turn; what is not yet known to be whole is kept. */
struct cutting {
    const struct cut *cut;
    cut_piece *piece;
    void *arg;
    size_t begin, end; // kept; nothing if end is 0
    bool matched;      // the last one was a match
    bool joins;        // WITH_NEXT: kept is a match that the next may join
};

static err_t give(struct cutting *c)
{
    const size_t begin = c->begin, end = c->end;
    c->begin = c->end;
    return end > begin ? c->piece(c->arg, begin, end) : OK;
}

static err_t take(struct cutting *c, size_t begin, size_t end, bool match)
{
    const bool matched = c->matched;
    match = match != c->cut->invert;
    c->matched = match;
    bool joins = false;
    switch (c->cut->behavior) {
    case CUT_REMOVED:
        return match ? OK : c->piece(c->arg, begin, end);
    case CUT_ISOLATED:
        return c->piece(c->arg, begin, end);
    case CUT_CONTIGUOUS:
        joins = match == matched;
        break;
    case CUT_WITH_PREVIOUS:
        joins = match && !matched;
        break;
    case CUT_WITH_NEXT:
        joins = !match && matched;
        break;
    }
    if (!joins)
        TRY(give(c));
    c->begin = joins ? c->begin : begin;
    c->end = end;
    return OK;
}

/* An empty match right behind a match is none; the search goes on a code point later. */
err_t cuts_run(const struct cut *cut, const struct search *s, cut_piece *piece, void *arg)
{
    struct cutting c = {.cut = cut, .piece = piece, .arg = arg};
    size_t last = 0, from = 0, begin, end;
    bool any = false;
    uint32_t code;
    int found = 0;
    while (from <= s->len && (found = cuts_find(&cut->pattern, s, from, &begin, &end)) == 1) {
        if (begin == end && any && end == last) {
            from += from < s->len ? (size_t)unicode_next(s->text + from, s->len - from, &code) : 1;
            continue;
        }
        any = true;
        if (begin > last)
            TRY(take(&c, last, begin, false));
        if (end > begin || cut->behavior == CUT_CONTIGUOUS || cut->behavior == CUT_WITH_PREVIOUS ||
            cut->behavior == CUT_WITH_NEXT)
            TRY(take(&c, begin, end, true));
        last = from = end;
    }
    if (found < 0)
        return err_new(ERR_INVALID, "the pre_tokenizer's pattern needs too many steps");
    if (last < s->len)
        TRY(take(&c, last, s->len, false));
    return give(&c);
}

void cuts_done(struct pattern *p)
{
    mem_free(p->text);
    regex_free(p->regex);
}
