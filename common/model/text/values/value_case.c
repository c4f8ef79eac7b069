/* Upper and lower case, as Python's str has them: with those rules of Unicode's SpecialCasing.txt
 * that hold in every language. */
#include "model/text/unicode.h"
#include "model/text/values/value_ops.h"
#include <utf8proc.h>

/* Code points that become several, in upper case and at a word's beginning. Those with an iota
 * below are two. */
static const struct {
    uint32_t code;
    const char *upper, *title;
} several[] = {
    {0x00DF, "SS", "Ss"},
    {0x0149, "\u02BCN", "\u02BCN"},
    {0x01F0, "J\u030C", "J\u030C"},
    {0x0390, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x03B0, "\u03A5\u0308\u0301", "\u03A5\u0308\u0301"},
    {0x0587, "\u0535\u0552", "\u0535\u0582"},
    {0x1E96, "H\u0331", "H\u0331"},
    {0x1E97, "T\u0308", "T\u0308"},
    {0x1E98, "W\u030A", "W\u030A"},
    {0x1E99, "Y\u030A", "Y\u030A"},
    {0x1E9A, "A\u02BE", "A\u02BE"},
    {0x1F50, "\u03A5\u0313", "\u03A5\u0313"},
    {0x1F52, "\u03A5\u0313\u0300", "\u03A5\u0313\u0300"},
    {0x1F54, "\u03A5\u0313\u0301", "\u03A5\u0313\u0301"},
    {0x1F56, "\u03A5\u0313\u0342", "\u03A5\u0313\u0342"},
    {0x1FB2, "\u1FBA\u0399", "\u1FBA\u0345"},
    {0x1FB3, "\u0391\u0399", "\u1FBC"},
    {0x1FB4, "\u0386\u0399", "\u0386\u0345"},
    {0x1FB6, "\u0391\u0342", "\u0391\u0342"},
    {0x1FB7, "\u0391\u0342\u0399", "\u0391\u0342\u0345"},
    {0x1FBC, "\u0391\u0399", "\u1FBC"},
    {0x1FC2, "\u1FCA\u0399", "\u1FCA\u0345"},
    {0x1FC3, "\u0397\u0399", "\u1FCC"},
    {0x1FC4, "\u0389\u0399", "\u0389\u0345"},
    {0x1FC6, "\u0397\u0342", "\u0397\u0342"},
    {0x1FC7, "\u0397\u0342\u0399", "\u0397\u0342\u0345"},
    {0x1FCC, "\u0397\u0399", "\u1FCC"},
    {0x1FD2, "\u0399\u0308\u0300", "\u0399\u0308\u0300"},
    {0x1FD3, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x1FD6, "\u0399\u0342", "\u0399\u0342"},
    {0x1FD7, "\u0399\u0308\u0342", "\u0399\u0308\u0342"},
    {0x1FE2, "\u03A5\u0308\u0300", "\u03A5\u0308\u0300"},
    {0x1FE3, "\u03A5\u0308\u0301", "\u03A5\u0308\u0301"},
    {0x1FE4, "\u03A1\u0313", "\u03A1\u0313"},
    {0x1FE6, "\u03A5\u0342", "\u03A5\u0342"},
    {0x1FE7, "\u03A5\u0308\u0342", "\u03A5\u0308\u0342"},
    {0x1FF2, "\u1FFA\u0399", "\u1FFA\u0345"},
    {0x1FF3, "\u03A9\u0399", "\u1FFC"},
    {0x1FF4, "\u038F\u0399", "\u038F\u0345"},
    {0x1FF6, "\u03A9\u0342", "\u03A9\u0342"},
    {0x1FF7, "\u03A9\u0342\u0399", "\u03A9\u0342\u0345"},
    {0x1FFC, "\u03A9\u0399", "\u1FFC"},
    {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"},
    {0xFB02, "FL", "Fl"},
    {0xFB03, "FFI", "Ffi"},
    {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"},
    {0xFB06, "ST", "St"},
    {0xFB13, "\u0544\u0546", "\u0544\u0576"},
    {0xFB14, "\u0544\u0535", "\u0544\u0565"},
    {0xFB15, "\u0544\u053B", "\u0544\u056B"},
    {0xFB16, "\u054E\u0546", "\u054E\u0576"},
    {0xFB17, "\u0544\u053D", "\u0544\u056D"},
};

/* U+1F80 to U+1FAF: a letter with an iota below, in groups of sixteen: eight small ones, eight
 * capitals. */
static bool with_iota(uint32_t code, uint32_t *ret_letter)
{
    static const uint32_t letters[] = {0x1F08, 0x1F28, 0x1F68};
    *ret_letter = code >= 0x1F80 && code < 0x1FB0 ? letters[(code - 0x1F80) / 16] + code % 8 : 0;
    return *ret_letter;
}

static void put_upper(struct builder *out, uint32_t code, bool title, uint8_t from)
{
    uint32_t letter;
    if (code < 128) {
        builder_code(out, code >= 'a' && code <= 'z' ? code - 32 : code, from);
        return;
    }
    if (with_iota(code, &letter) && !title) {
        builder_code(out, letter, from);
        builder_code(out, 0x399, from);
        return;
    }
    for (size_t i = 0; i < sizeof several / sizeof *several; i++) {
        if (several[i].code == code) {
            const char *text = title ? several[i].title : several[i].upper;
            builder_add(out, text, strlen(text), from);
            return;
        }
    }
    builder_code(
        out, (uint32_t)(title ? utf8proc_totitle : utf8proc_toupper)((utf8proc_int32_t)code), from);
}

static bool is_cased(uint32_t code)
{
    const enum unicode_category category = unicode_category(code);
    return category <= UNICODE_LT ||
           utf8proc_toupper((utf8proc_int32_t)code) != (utf8proc_int32_t)code ||
           utf8proc_tolower((utf8proc_int32_t)code) != (utf8proc_int32_t)code;
}

static bool is_case_ignorable(uint32_t code)
{
    const enum unicode_category category = unicode_category(code);
    return category == UNICODE_MN || category == UNICODE_ME || category == UNICODE_CF ||
           category == UNICODE_LM || category == UNICODE_SK || code == '\'' || code == '.' ||
           code == ':' || code == 0xB7 || code == 0x2018 || code == 0x2019 || code == 0x2024 ||
           code == 0x2027;
}

/* A capital sigma at a word's end has a small one of its own. */
static bool ends_word(const struct text *text, size_t from, size_t at, size_t end)
{
    uint32_t code = 0;
    bool before = false, behind = false;
    for (size_t i = at; i > from && !before;) {
        i = unicode_last(text->data, i, &code);
        if (!is_case_ignorable(code)) {
            before = is_cased(code);
            break;
        }
    }
    for (size_t i = end; i < text->len;) {
        i += (size_t)unicode_next(text->data + i, text->len - i, &code);
        if (!is_case_ignorable(code)) {
            behind = is_cased(code);
            break;
        }
    }
    return before && !behind;
}

/* from: where the text begins that is looked at. */
static void put_lower(struct builder *out, const struct text *text, size_t from_byte, size_t at,
                      size_t end, uint32_t code)
{
    const uint8_t from = text->from[at];
    if (code < 128)
        builder_code(out, code >= 'A' && code <= 'Z' ? code + 32 : code, from);
    else if (code == 0x130)
        builder_add(out, "i\u0307", 3, from);
    else if (code == 0x3A3)
        builder_code(out, ends_word(text, from_byte, at, end) ? 0x3C2 : 0x3C3, from);
    else
        builder_code(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code), from);
}

/* title(): the first of a run of cased letters. The filter of that name: the first of a word, which
 * spaces, dashes and opening brackets separate. */
static bool begins_word(enum text_case kind, uint32_t before, bool first)
{
    if (kind == CASE_TITLE)
        return first || !is_cased(before);
    return first || text_is_space(before) ||
           (before < 128 && before && strchr("-({[<", (int)before));
}

static void put_swapped(struct builder *out, const struct text *text, size_t at, size_t end,
                        uint32_t code)
{
    const enum unicode_category category = unicode_category(code);
    if (category == UNICODE_LU)
        put_lower(out, text, 0, at, end, code);
    else if (category == UNICODE_LL)
        put_upper(out, code, false, text->from[at]);
    else
        builder_code(out, code, text->from[at]);
}

err_t text_cased(struct run *r, const struct text *text, enum text_case kind,
                 const struct text **ret)
{
    struct builder out = {.room = &r->room};
    uint32_t before = 0;
    size_t word = 0; // of CASE_WORDS, each of which is put in lower case by itself
    TRY(run_work(r, 4 * text->len));
    for (size_t at = 0, end; at < text->len; at = end) {
        uint32_t code;
        end = at + (size_t)unicode_next(text->data + at, text->len - at, &code);
        const bool title = kind == CASE_CAPITAL ? !at
                           : kind == CASE_TITLE || kind == CASE_WORDS
                               ? begins_word(kind, before, !at)
                               : false;
        if (kind == CASE_SWAPPED)
            put_swapped(&out, text, at, end, code);
        else if (kind == CASE_UPPER || title)
            put_upper(&out, code, title && kind != CASE_WORDS, text->from[at]);
        else
            put_lower(&out, text, word, at, end, code);
        before = code;
        word = kind == CASE_WORDS && title ? end : word;
    }
    TRY(builder_text(&out, ret));
    *ret = text_marked(&r->room, *ret, text->markup);
    return OK;
}

bool text_all(const struct text *text, enum text_class class)
{
    bool some = false;
    for (size_t at = 0; at < text->len;) {
        uint32_t code;
        at += (size_t)unicode_next(text->data + at, text->len - at, &code);
        const enum unicode_category category = unicode_category(code);
        const bool letter = category <= UNICODE_LO;
        bool is = false;
        switch (class) {
        case CLASS_UPPER:
        case CLASS_LOWER:
            if (category == UNICODE_LT ||
                category == (class == CLASS_UPPER ? UNICODE_LL : UNICODE_LU))
                return false;
            some = some || category == (class == CLASS_UPPER ? UNICODE_LU : UNICODE_LL);
            continue;
        case CLASS_ALPHA:
            is = letter;
            break;
        case CLASS_ALNUM:
            is = letter || (category >= UNICODE_ND && category <= UNICODE_NO);
            break;
        case CLASS_DECIMAL:
            is = category == UNICODE_ND;
            break;
        case CLASS_DIGIT: /* superscripts and circled digits, too */
            is = category == UNICODE_ND ||
                 (category == UNICODE_NO &&
                  (code == 0xB2 || code == 0xB3 || code == 0xB9 ||
                   (code >= 0x2070 && code <= 0x2089) || (code >= 0x2460 && code <= 0x2468)));
            break;
        case CLASS_NUMERIC:
            is = category >= UNICODE_ND && category <= UNICODE_NO;
            break;
        case CLASS_SPACE:
            is = text_is_space(code);
        }
        if (!is)
            return false;
        some = true;
    }
    return some;
}
