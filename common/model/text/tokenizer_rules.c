/* The steps of tokenizer.json around the model: normalizer, pre_tokenizer, decoder and
 * post_processor. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"
#include <string.h>

enum { STEPS_MAX = 32, NESTING_MAX = 4 };

/* A step, and where it stands. */
struct place {
    const char *name, *path;
    const json_t *step;
    int depth;
};

static bool is_type(const struct place *p, const char *type)
{
    const char *found = json_string_value(json_object_get(p->step, "type"));
    return found && !strcmp(found, type);
}

static err_t refuse_step(const struct place *p, const char *allowed)
{
    return tokenizer_refuse(p->name, p->path, p->step, allowed);
}

static err_t refuse_member(const struct place *p, const char *key, const char *allowed)
{
    SCOPED_MEM char *path = mem_printf("%s.%s", p->path, key);
    return tokenizer_refuse(p->name, path, json_object_get(p->step, key), allowed);
}

static err_t get_flag(const struct place *p, const char *key, bool *ret)
{
    SCOPED_MEM char *where = mem_printf("%s: %s", p->name, p->path);
    return json_get_bool_or(p->step, where, key, ret);
}

static err_t get_text(const struct place *p, const char *key, const char **ret)
{
    const json_t *value = json_object_get(p->step, key);
    if (!json_is_string(value) || strlen(json_string_value(value)) > TOKENIZER_TOKEN_BYTES_MAX)
        return refuse_member(p, key, "a text of at most 4096 bytes");
    *ret = json_string_value(value);
    return OK;
}

typedef err_t read_step(struct tokenizer *t, const struct place *p);

/* Each step of the Sequence, whose steps are in the member `list`. */
static err_t each_step(struct tokenizer *t, const struct place *p, const char *list,
                       read_step *one_step)
{
    const json_t *steps = json_object_get(p->step, list);
    if (!json_is_array(steps) || json_array_size(steps) > STEPS_MAX || p->depth == NESTING_MAX)
        return refuse_member(p, list, "an array of at most 32 steps, in 4 Sequences at most");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        SCOPED_MEM char *path = mem_printf("%s.%s[%zu]", p->path, list, i);
        const struct place one = {p->name, path, json_array_get(steps, i), p->depth + 1};
        TRY(one_step(t, &one));
    }
    return OK;
}

/* {"String": text} or {"Regex": text}. */
static err_t read_pattern(const struct place *p, struct pattern *ret)
{
    const json_t *pattern = json_object_get(p->step, "pattern");
    const char *text = json_string_value(json_object_get(pattern, "String"));
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    if (text && *text && !regex) {
        *ret =
            (struct pattern){.kind = PATTERN_TEXT, .text = mem_string(text), .len = strlen(text)};
        return OK;
    }
    if (!regex || text)
        return refuse_member(p, "pattern", "{\"String\": text} or {\"Regex\": text}");
    const int known = pretoken_find(regex);
    ret->text = mem_string(regex);
    ret->kind = known >= 0 ? PATTERN_KNOWN : PATTERN_REGEX;
    if (known >= 0)
        ret->known = (enum pretoken)known;
    else
        TRY(err_wrap(regex_new(regex, &ret->regex), "%s: %s.pattern.Regex '%.500s'", p->name,
                     p->path, regex));
    return OK;
}

/* ---- normalizers */

static err_t read_replace(const struct place *p, struct normal_step *ret)
{
    const char *content = NULL;
    TRY(get_text(p, "content", &content));
    TRY(read_pattern(p, &ret->pattern));
    ret->text = mem_string(content);
    return OK;
}

static err_t read_precompiled(const struct place *p, struct normal_step *ret)
{
    const char *map = json_string_value(json_object_get(p->step, "precompiled_charsmap"));
    if (!map)
        return refuse_member(p, "precompiled_charsmap", "a map in base64");
    return err_wrap(charsmap_new(map, &ret->map), "%s: %s.precompiled_charsmap", p->name, p->path);
}

static err_t read_prepend(const struct place *p, struct normal_step *ret)
{
    const char *text = NULL;
    TRY(get_text(p, "prepend", &text));
    ret->text = mem_string(text);
    return OK;
}

static err_t read_strip(const struct place *p, struct normal_step *ret)
{
    TRY(get_flag(p, "strip_left", &ret->left));
    return get_flag(p, "strip_right", &ret->right);
}

static const struct {
    const char *type;
    struct normal_step step;
    err_t (*read)(const struct place *p, struct normal_step *ret);
} normalizers[] = {
    {"NFC", {.kind = NORMAL_FORM, .form = FORM_NFC}, NULL},
    {"NFD", {.kind = NORMAL_FORM, .form = FORM_NFD}, NULL},
    {"NFKC", {.kind = NORMAL_FORM, .form = FORM_NFKC}, NULL},
    {"NFKD", {.kind = NORMAL_FORM, .form = FORM_NFKD}, NULL},
    {"Lowercase", {.kind = NORMAL_LOWERCASE}, NULL},
    {"StripAccents", {.kind = NORMAL_STRIP_ACCENTS}, NULL},
    {"Strip", {.kind = NORMAL_STRIP}, read_strip},
    {"Prepend", {.kind = NORMAL_PREPEND}, read_prepend},
    {"Replace", {.kind = NORMAL_REPLACE}, read_replace},
    {"Precompiled", {.kind = NORMAL_PRECOMPILED}, read_precompiled},
};

static err_t read_normalizer(struct tokenizer *t, const struct place *p)
{
    if (is_type(p, "Sequence"))
        return each_step(t, p, "normalizers", read_normalizer);
    size_t i = 0;
    const size_t known = sizeof normalizers / sizeof *normalizers;
    while (i < known && !is_type(p, normalizers[i].type))
        i++;
    if (i == known || t->normal.steps == STEPS_MAX)
        return refuse_step(p,
                           "null, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, "
                           "Replace, Precompiled or a Sequence of at most 32");
    t->normal.step = mem_grow(t->normal.step, (size_t)t->normal.steps + 1, sizeof *t->normal.step);
    struct normal_step *step = &t->normal.step[t->normal.steps++];
    *step = normalizers[i].step;
    return normalizers[i].read ? normalizers[i].read(p, step) : OK;
}

/* ---- pre-tokenizers */

static err_t read_behavior(const struct place *p, enum cut_behavior *ret)
{
    static const char *const names[] = {[CUT_REMOVED] = "Removed",
                                        [CUT_ISOLATED] = "Isolated",
                                        [CUT_CONTIGUOUS] = "Contiguous",
                                        [CUT_WITH_PREVIOUS] = "MergedWithPrevious",
                                        [CUT_WITH_NEXT] = "MergedWithNext"};
    const char *found = json_string_value(json_object_get(p->step, "behavior"));
    for (size_t i = 0; found && i < sizeof names / sizeof *names; i++)
        if (!strcmp(found, names[i])) {
            *ret = (enum cut_behavior)i;
            return OK;
        }
    return refuse_member(p, "behavior",
                         "Removed, Isolated, Contiguous, MergedWithPrevious or MergedWithNext");
}

static err_t read_split(const struct place *p, struct pre_step *ret)
{
    TRY(read_behavior(p, &ret->cut.behavior));
    TRY(get_flag(p, "invert", &ret->cut.invert));
    return read_pattern(p, &ret->cut.pattern);
}

static err_t read_digits(const struct place *p, struct pre_step *ret)
{
    bool each = false;
    TRY(get_flag(p, "individual_digits", &each));
    ret->cut = (struct cut){.pattern = {.kind = PATTERN_PROPERTY, .property = UNICODE_IS_NUMERIC},
                            .behavior = each ? CUT_ISOLATED : CUT_CONTIGUOUS};
    return OK;
}

static err_t read_punctuation(const struct place *p, struct pre_step *ret)
{
    ret->cut =
        (struct cut){.pattern = {.kind = PATTERN_PROPERTY, .property = UNICODE_IS_PUNCTUATION},
                     .behavior = CUT_ISOLATED};
    return json_object_get(p->step, "behavior") ? read_behavior(p, &ret->cut.behavior) : OK;
}

static err_t read_whitespace_split(const struct place *p, struct pre_step *ret)
{
    (void)p;
    ret->cut = (struct cut){.pattern = {.kind = PATTERN_PROPERTY, .property = UNICODE_IS_SPACE},
                            .behavior = CUT_REMOVED};
    return OK;
}

/* Runs of word characters and runs of others, after the white space is gone. */
static err_t read_whitespace(const struct place *p, struct pre_step *ret)
{
    (void)p;
    ret->cut = (struct cut){.pattern = {.kind = PATTERN_PROPERTY, .property = UNICODE_IS_RUST_WORD},
                            .behavior = CUT_CONTIGUOUS};
    return OK;
}

static err_t read_byte_level(const struct place *p, struct pre_step *ret)
{
    ret->regex = ret->prefix = true;
    TRY(get_flag(p, "use_regex", &ret->regex));
    return get_flag(p, "add_prefix_space", &ret->prefix);
}

/* One character, as a space is written. */
static err_t read_character(const struct place *p, const char *key, char **ret)
{
    const char *text = json_string_value(json_object_get(p->step, key));
    uint32_t code;
    if (!text || !*text || (size_t)unicode_next(text, strlen(text), &code) != strlen(text))
        return refuse_member(p, key, "one character");
    *ret = mem_string(text);
    return OK;
}

static err_t read_scheme(const struct place *p, bool *ret_prefix, bool *ret_at_first)
{
    const json_t *scheme = json_object_get(p->step, "prepend_scheme");
    const char *name = scheme ? json_string_value(scheme) : "always";
    bool space = true;
    TRY(get_flag(p, "add_prefix_space", &space));
    if (!name || (strcmp(name, "always") && strcmp(name, "first") && strcmp(name, "never")))
        return refuse_member(p, "prepend_scheme", "\"always\", \"first\" or \"never\"");
    if (!space && scheme && strcmp(name, "never") != 0)
        return refuse_member(p, "prepend_scheme", "\"never\" where add_prefix_space is false");
    *ret_prefix = space && strcmp(name, "never") != 0;
    *ret_at_first = !strcmp(name, "first");
    return OK;
}

static err_t read_metaspace(const struct place *p, struct pre_step *ret)
{
    ret->splits = true;
    TRY(get_flag(p, "split", &ret->splits));
    TRY(read_scheme(p, &ret->prefix, &ret->at_first));
    return read_character(p, "replacement", &ret->space);
}

static const struct {
    const char *type;
    struct pre_step step;
    err_t (*read)(const struct place *p, struct pre_step *ret);
} pre_tokenizers[] = {
    {"ByteLevel", {.kind = PRE_BYTE_LEVEL}, read_byte_level},
    {"Split", {.kind = PRE_CUT}, read_split},
    {"Digits", {.kind = PRE_CUT}, read_digits},
    {"Punctuation", {.kind = PRE_CUT}, read_punctuation},
    {"WhitespaceSplit", {.kind = PRE_CUT}, read_whitespace_split},
    {"Whitespace", {.kind = PRE_CUT}, read_whitespace},
    {"Metaspace", {.kind = PRE_METASPACE}, read_metaspace},
};

static struct pre_step *add_pre(struct tokenizer *t, const struct pre_step *step)
{
    t->pre = mem_grow(t->pre, (size_t)t->pres + 1, sizeof *t->pre);
    t->pre[t->pres] = *step;
    return &t->pre[t->pres++];
}

static err_t read_pre(struct tokenizer *t, const struct place *p)
{
    if (is_type(p, "Sequence"))
        return each_step(t, p, "pretokenizers", read_pre);
    size_t i = 0;
    const size_t known = sizeof pre_tokenizers / sizeof *pre_tokenizers;
    while (i < known && !is_type(p, pre_tokenizers[i].type))
        i++;
    if (i == known || t->pres + 1 >= STEPS_MAX)
        return refuse_step(p, "null, ByteLevel, Split, Digits, Punctuation, Whitespace, "
                              "WhitespaceSplit, Metaspace or a Sequence of at most 30");
    if (t->byte_level)
        return refuse_step(p, "before ByteLevel, which must be the last step");
    t->byte_level = pre_tokenizers[i].step.kind == PRE_BYTE_LEVEL;
    if (is_type(p, "Whitespace"))
        TRY(read_whitespace_split(p, add_pre(t, &(struct pre_step){.kind = PRE_CUT})));
    return pre_tokenizers[i].read(p, add_pre(t, &pre_tokenizers[i].step));
}

/* ---- decoders */

static err_t read_strip_decoder(const struct place *p, struct decode_step *ret)
{
    SCOPED_MEM char *where = mem_printf("%s: %s", p->name, p->path);
    TRY(read_character(p, "content", &ret->text));
    TRY(json_get_int(p->step, where, "start", 0, TOKENIZER_TOKEN_BYTES_MAX, &ret->start));
    return json_get_int(p->step, where, "stop", 0, TOKENIZER_TOKEN_BYTES_MAX, &ret->stop);
}

static err_t read_replace_decoder(const struct place *p, struct decode_step *ret)
{
    const char *content = NULL;
    TRY(get_text(p, "content", &content));
    TRY(read_pattern(p, &ret->pattern));
    ret->text = mem_string(content);
    return OK;
}

static err_t read_metaspace_decoder(const struct place *p, struct decode_step *ret)
{
    bool at_first;
    TRY(read_scheme(p, &ret->first, &at_first));
    ret->pattern = (struct pattern){.kind = PATTERN_TEXT};
    TRY(read_character(p, "replacement", &ret->pattern.text));
    ret->pattern.len = strlen(ret->pattern.text);
    return OK;
}

static const struct {
    const char *type;
    struct decode_step step;
    err_t (*read)(const struct place *p, struct decode_step *ret);
} decoders[] = {
    {"ByteLevel", {.kind = DECODE_BYTE_LEVEL}, NULL},
    {"ByteFallback", {.kind = DECODE_BYTE_FALLBACK}, NULL},
    {"Fuse", {.kind = DECODE_FUSE}, NULL},
    {"Strip", {.kind = DECODE_STRIP}, read_strip_decoder},
    {"Replace", {.kind = DECODE_REPLACE}, read_replace_decoder},
    {"Metaspace", {.kind = DECODE_METASPACE}, read_metaspace_decoder},
};

/* ByteLevel joins bytes, so it goes with its pre-tokenizer, and only Fuse goes beside it. */
static err_t read_decoder(struct tokenizer *t, const struct place *p)
{
    if (is_type(p, "Sequence"))
        return each_step(t, p, "decoders", read_decoder);
    size_t i = 0;
    const size_t known = sizeof decoders / sizeof *decoders;
    while (i < known && !is_type(p, decoders[i].type))
        i++;
    if (i == known || t->decodes == STEPS_MAX)
        return refuse_step(p, "ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace or a "
                              "Sequence of at most 32");
    if (decoders[i].step.kind != DECODE_FUSE &&
        t->byte_level != (decoders[i].step.kind == DECODE_BYTE_LEVEL))
        return refuse_step(p, t->byte_level ? "ByteLevel, as the pre_tokenizer is"
                                            : "another than ByteLevel, as the pre_tokenizer is");
    t->decode = mem_grow(t->decode, (size_t)t->decodes + 1, sizeof *t->decode);
    struct decode_step *step = &t->decode[t->decodes++];
    *step = decoders[i].step;
    return decoders[i].read ? decoders[i].read(p, step) : OK;
}

err_t tokenizer_read_rules(struct tokenizer *t, const json_t *json, const char *name)
{
    const struct place normalizer = {name, "normalizer", json_object_get(json, "normalizer"), 0};
    const struct place pre = {name, "pre_tokenizer", json_object_get(json, "pre_tokenizer"), 0};
    const struct place decoder = {name, "decoder", json_object_get(json, "decoder"), 0};
    if (normalizer.step && !json_is_null(normalizer.step))
        TRY(read_normalizer(t, &normalizer));
    if (pre.step && !json_is_null(pre.step))
        TRY(read_pre(t, &pre));
    return read_decoder(t, &decoder);
}
