#include "base/mem.h"
#include "model/text/regex/regex.h"
#include "model/text/regex/regex_program.h"
#include <string.h>

/* Where matching may go on when it fails: at `op` from `at`; of a loop, also from each code point
 * back to `least`. */
struct choice {
    int op;
    size_t at, least;
};

struct run {
    const struct regex *regex;
    const struct regex_text *text;
    struct choice *choice, *grown; // grown: NULL while the caller's few are enough
    size_t choices, capacity;
};

bool regex_set_has(const struct regex *regex, const struct regex_set *set, uint32_t code)
{
    bool found = false;
    for (int i = set->first; i < set->first + set->items && !found; i++) {
        const struct regex_item *item = &regex->item[i];
        switch (item->kind) {
        case ITEM_RANGE:
            found = (code >= item->a && code <= item->b) != item->negated;
            break;
        case ITEM_CATEGORIES:
            found = (item->a >> unicode_category(code) & 1) != item->negated;
            break;
        case ITEM_PROPERTY:
            found = unicode_is((enum unicode_property)item->a, code) != item->negated;
            break;
        case ITEM_SET:
            found = regex_set_has(regex, &regex->set[item->a], code);
            break;
        }
    }
    return found != set->negated;
}

/* The bytes of the code point at `at` if it is one of the set, else 0. */
static size_t one(const struct run *run, int set, size_t at)
{
    const struct regex_set *s = &run->regex->set[set];
    if (at >= run->text->len)
        return 0;
    const uint8_t byte = (uint8_t)run->text->data[at];
    if (byte < 0x80)
        return s->ascii[byte >> 6] >> (byte & 63) & 1;
    uint32_t code;
    const size_t bytes = (size_t)unicode_next(run->text->data + at, run->text->len - at, &code);
    return regex_set_has(run->regex, s, code) ? bytes : 0;
}

static void put_choice(struct run *run, int op, size_t at, size_t least)
{
    if (run->choices == run->capacity) {
        run->capacity *= 2;
        struct choice *more = mem_grow(run->grown, run->capacity, sizeof *more);
        if (!run->grown)
            memcpy(more, run->choice, run->choices * sizeof *more);
        run->choice = run->grown = more;
    }
    run->choice[run->choices++] = (struct choice){op, at, least};
}

static bool begins_with(const uint8_t first[32], const struct regex_text *text, size_t at)
{
    const uint8_t byte = at < text->len ? (uint8_t)text->data[at] : 0;
    return at >= text->len || (first[byte >> 3] >> (byte & 7) & 1);
}

static bool line_break(const struct regex_text *text, size_t at)
{
    return text->data[at] == '\n';
}

/* ^, $, \A and \z. */
static bool holds(const struct regex_text *text, enum regex_code code, size_t at)
{
    switch (code) {
    case REGEX_LINE:
        return !at || (at < text->len && line_break(text, at - 1));
    case REGEX_EOL:
        return at == text->len || line_break(text, at);
    case REGEX_FIRST:
        return !at;
    default:
        return at == text->len;
    }
}

enum { FAILS = -1, SPENT = -2 };

static ptrdiff_t run_from(struct run *run, int op, size_t at);

/* Whether what follows matches at `at`, or so many code points before it; its end. */
static ptrdiff_t look(struct run *run, int op, size_t at)
{
    const struct regex_op *o = &run->regex->op[op];
    uint32_t code;
    for (int i = 0; i < o->behind; i++) {
        if (!at)
            return FAILS;
        at = unicode_last(run->text->data, at, &code);
    }
    return run_from(run, op + 1, at);
}

/* Takes the last choice; false: there is none since `base`. */
static bool take_choice(struct run *run, size_t base, int *op, size_t *at)
{
    if (run->choices == base)
        return false;
    struct choice *last = &run->choice[run->choices - 1];
    *op = last->op;
    *at = last->at;
    uint32_t code;
    if (last->at > last->least)
        last->at = unicode_last(run->text->data, last->at, &code);
    else
        run->choices--;
    return true;
}

/* As many code points as the loop takes; false: fewer than it needs. */
static bool loop(struct run *run, const struct regex_op *o, int op, size_t *at)
{
    uint32_t count = 0;
    size_t least = *at, bytes = 1;
    for (; count < o->max && (bytes = one(run, o->a, *at)); count++) {
        *at += bytes;
        if (count < o->min)
            least = *at;
    }
    *run->text->steps -= *run->text->steps < count ? *run->text->steps : count;
    if (count < o->min)
        return false;
    if (o->code == REGEX_LOOP && *at > least) {
        uint32_t code;
        put_choice(run, op + 1, unicode_last(run->text->data, *at, &code), least);
    }
    return true;
}

/* One instruction; false: it fails here. */
static bool step(struct run *run, int *op, size_t *at, ptrdiff_t *spent)
{
    const struct regex_op *o = &run->regex->op[*op];
    size_t bytes;
    ptrdiff_t end;
    switch (o->code) {
    case REGEX_SET:
        if (!(bytes = one(run, o->a, *at)))
            return false;
        *at += bytes;
        break;
    case REGEX_LOOP:
    case REGEX_HOLD:
        if (!loop(run, o, *op, at))
            return false;
        break;
    case REGEX_SPLIT:
        if (begins_with(o->first, run->text, *at))
            put_choice(run, o->b, *at, *at);
        *op = begins_with(o->first, run->text, *at) ? o->a : o->b;
        return true;
    case REGEX_JUMP:
        *op = o->a;
        return true;
    case REGEX_LOOK:
    case REGEX_ATOM:
        end = look(run, *op, *at);
        *spent = end == SPENT ? end : *spent;
        if ((end >= 0) == o->negated)
            return false;
        if (o->code == REGEX_ATOM)
            *at = (size_t)end;
        *op = o->a;
        return true;
    default:
        if (!holds(run->text, o->code, *at))
            return false;
    }
    ++*op;
    return true;
}

/* The end of the match of the instructions from op on, at `at`. */
static ptrdiff_t run_from(struct run *run, int op, size_t at)
{
    const size_t base = run->choices;
    ptrdiff_t result = 0;
    while (result >= 0 && run->regex->op[op].code != REGEX_END) {
        if (!*run->text->steps)
            result = SPENT;
        else if (--*run->text->steps,
                 !step(run, &op, &at, &result) && result >= 0 && !take_choice(run, base, &op, &at))
            result = FAILS;
    }
    run->choices = base;
    return result < 0 ? result : (ptrdiff_t)at;
}

int regex_find(const struct regex *regex, const struct regex_text *text, size_t from,
               size_t *ret_begin, size_t *ret_end)
{
    struct choice few[32];
    struct run run = {.regex = regex, .text = text, .choice = few, .capacity = 32};
    ptrdiff_t end = FAILS;
    uint32_t code;
    for (size_t at = from; at <= text->len;
         at += (size_t)unicode_next(text->data + at, text->len - at, &code)) {
        if (begins_with(regex->first, text, at))
            end = run_from(&run, 0, at);
        if (end >= 0)
            *ret_begin = at, *ret_end = (size_t)end;
        if (end != FAILS || at == text->len)
            break;
    }
    mem_free(run.grown);
    return end >= 0 ? 1 : end == SPENT ? -1 : 0;
}

void regex_free(struct regex *regex)
{
    if (!regex)
        return;
    mem_free(regex->op);
    mem_free(regex->set);
    mem_free(regex->item);
    mem_free(regex);
}
