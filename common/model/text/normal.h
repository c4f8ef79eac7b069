/* tokenizer.json's normalizers: a text before it is cut.
 *
 *     struct normal_step step[] = {{.kind = NORMAL_FORM, .form = FORM_NFC}};
 *     TRY(normal_run(&(struct normal){.step = step, .steps = 1}, text, len, &left, &out));
 *
 * Bytes that are not UTF-8 stay, and no form goes across them. Any thread. */
#pragma once
#include "base/bytes.h"
#include "model/text/charsmap.h"
#include "model/text/cuts.h"

enum normal_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };

struct normal_step {
    enum {
        NORMAL_FORM,
        NORMAL_LOWERCASE,
        NORMAL_STRIP,
        NORMAL_STRIP_ACCENTS,
        NORMAL_PREPEND, // text, before what is not empty
        NORMAL_REPLACE, // each match of pattern by text
        NORMAL_PRECOMPILED,
    } kind;
    enum normal_form form;
    bool left, right; // STRIP
    char *text;       // PREPEND, REPLACE
    struct pattern pattern;
    struct charsmap *map;
};

struct normal {
    struct normal_step *step; // owned
    int steps;
};

/* Appends. steps: REGEX_STEPS, shared by all patterns of a text. EXHAUSTED: no memory; INVALID: the
 * steps are used up. */
err_t normal_run(const struct normal *normal, const char *text, size_t len, uint64_t *steps,
                 struct bytes *ret);

/* The text with each match replaced, appended: the normalizer and the decoder Replace. */
err_t normal_replace(const struct pattern *pattern, const char *with, const char *text, size_t len,
                     uint64_t *steps, struct bytes *ret);
void normal_done(struct normal *normal);
