#include "model/text/normal.h"
#include "base/mem.h"
#include "model/text/unicode_table.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- the forms of Unicode */

static const utf8proc_option_t options_of[] = {
    [FORM_NFC] = UTF8PROC_COMPOSE,
    [FORM_NFD] = UTF8PROC_DECOMPOSE,
    [FORM_NFKC] = UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
    [FORM_NFKD] = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
};

/* Code points that begin something new and are their own form, alone and before others. */
static bool plain(enum normal_form form, uint32_t code)
{
    if (code < 0x80 || (code >= 0x4e00 && code < 0xa000))
        return true;
    if (form == FORM_NFC)
        return code < 0x300 || (code >= 0x400 && code < 0x483) || (code >= 0xac00 && code < 0xd7a4);
    return form == FORM_NFKC && code >= 0xac00 && code < 0xd7a4;
}

static err_t put_form(enum normal_form form, const char *text, size_t len, struct bytes *ret)
{
    uint8_t *out = NULL;
    if (!len)
        return OK;
    const utf8proc_ssize_t count = utf8proc_map((const uint8_t *)text, (utf8proc_ssize_t)len, &out,
                                                UTF8PROC_STABLE | options_of[form]);
    if (count < 0)
        return err_new(ERR_EXHAUSTED, "normalizing a text of %zu bytes: %s", len,
                       utf8proc_errmsg(count));
    bytes_put(ret, out, (size_t)count);
    free(out);
    return OK;
}

/* Stretches between code points that the form leaves alone, and that nothing reaches across. */
static err_t put_forms(enum normal_form form, const char *text, size_t len, struct bytes *ret)
{
    const bool compatible = form == FORM_NFKC || form == FORM_NFKD;
    uint32_t code;
    size_t begin = 0, next;
    bool all_plain = true;
    for (size_t at = 0; at < len; at = next) {
        next = at + (size_t)unicode_next(text + at, len - at, &code);
        if (plain(form, code))
            continue;
        all_plain = false;
        if (code != UNICODE_INVALID && !unicode_is_inert(code, compatible))
            continue;
        TRY(put_form(form, text + begin, at - begin, ret));
        bytes_put(ret, text + at, next - at);
        begin = next;
    }
    if (all_plain)
        return bytes_put(ret, text, len), OK;
    return put_form(form, text + begin, len - begin, ret);
}

/* ---- the others */

static void put_code(struct bytes *out, uint32_t code)
{
    char text[4];
    bytes_put(out, text, (size_t)unicode_put(code, text));
}

static void put_lower(struct bytes *out, uint32_t code)
{
    for (int i = 0; code >= 0x80 && i < unicode_lower_count; i++)
        if (unicode_lower[i].code == code) {
            put_code(out, unicode_lower[i].lower[0]);
            if (unicode_lower[i].lower[1])
                put_code(out, unicode_lower[i].lower[1]);
            return;
        }
    put_code(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
}

static void lowercase(const char *text, size_t len, struct bytes *ret)
{
    uint32_t code;
    for (size_t at = 0, next; at < len; at = next) {
        next = at + (size_t)unicode_next(text + at, len - at, &code);
        if (code == UNICODE_INVALID)
            bytes_put(ret, text + at, next - at);
        else
            put_lower(ret, code);
    }
}

static void strip_accents(const char *text, size_t len, struct bytes *ret)
{
    uint32_t code;
    for (size_t at = 0, next; at < len; at = next) {
        next = at + (size_t)unicode_next(text + at, len - at, &code);
        if (!unicode_is(UNICODE_IS_ACCENT, code))
            bytes_put(ret, text + at, next - at);
    }
}

static void strip(const struct normal_step *step, const char *text, size_t len, struct bytes *ret)
{
    uint32_t code;
    size_t begin = 0, last;
    while (step->left && begin < len) {
        const size_t bytes = (size_t)unicode_next(text + begin, len - begin, &code);
        if (!unicode_is(UNICODE_IS_SPACE, code))
            break;
        begin += bytes;
    }
    while (step->right && len > begin) {
        last = unicode_last(text, len, &code);
        if (!unicode_is(UNICODE_IS_SPACE, code))
            break;
        len = last;
    }
    bytes_put(ret, text + begin, len - begin);
}

err_t normal_replace(const struct pattern *pattern, const char *with, const char *text, size_t len,
                     uint64_t *steps, struct bytes *ret)
{
    const struct search search = {text, len, steps};
    size_t last = 0, from = 0, begin, end;
    uint32_t code;
    bool any = false;
    int found = 0;
    while (from <= len && (found = cuts_find(pattern, &search, from, &begin, &end)) == 1) {
        if (begin == end && any && end == last) {
            from += from < len ? (size_t)unicode_next(text + from, len - from, &code) : 1;
            continue;
        }
        any = true;
        bytes_put(ret, text + last, begin - last);
        bytes_text(ret, with);
        last = from = end;
    }
    if (found < 0)
        return err_new(ERR_INVALID, "a Replace's pattern needs too many steps");
    bytes_put(ret, text + last, len - last);
    return OK;
}

static err_t run_step(const struct normal_step *step, const char *text, size_t len, uint64_t *steps,
                      struct bytes *ret)
{
    switch (step->kind) {
    case NORMAL_FORM:
        return put_forms(step->form, text, len, ret);
    case NORMAL_LOWERCASE:
        return lowercase(text, len, ret), OK;
    case NORMAL_STRIP:
        return strip(step, text, len, ret), OK;
    case NORMAL_STRIP_ACCENTS:
        return strip_accents(text, len, ret), OK;
    case NORMAL_PREPEND:
        if (len)
            bytes_text(ret, step->text);
        return bytes_put(ret, text, len), OK;
    case NORMAL_REPLACE:
        return normal_replace(&step->pattern, step->text, text, len, steps, ret);
    case NORMAL_PRECOMPILED:
        return charsmap_run(step->map, text, len, ret), OK;
    }
    return OK;
}

err_t normal_run(const struct normal *normal, const char *text, size_t len, uint64_t *steps,
                 struct bytes *ret)
{
    struct bytes before = {0};
    err_t failed = OK;
    for (int i = 0; i < normal->steps && !err_failed(failed); i++) {
        struct bytes after = {0};
        failed = run_step(&normal->step[i], text, len, steps, &after);
        bytes_done(&before);
        before = after;
        text = (const char *)before.data;
        len = before.len;
    }
    if (!err_failed(failed))
        bytes_put(ret, text, len);
    bytes_done(&before);
    return failed;
}

void normal_done(struct normal *normal)
{
    for (int i = 0; i < normal->steps; i++) {
        mem_free(normal->step[i].text);
        cuts_done(&normal->step[i].pattern);
        charsmap_free(normal->step[i].map);
    }
    mem_free(normal->step);
}
