/* Filters of texts, as jinja2/filters.py has them. */
#include "model/text/template/template_pieces.h"
#include "model/text/template/template_tables.h"
#include "model/text/unicode.h"

static err_t cased(struct run *r, const struct value *self, enum text_case kind, struct value *ret)
{
    const struct text *text;
    TRY(soft_text(r, self, &text));
    TRY(text_cased(r, text, kind, &text));
    *ret = value_text(text);
    return OK;
}

static err_t upper(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)arg;
    return cased(r, self, CASE_UPPER, ret);
}

static err_t lower(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)arg;
    return cased(r, self, CASE_LOWER, ret);
}

static err_t capitalize(struct run *r, const struct value *self, const struct value *arg,
                        struct value *ret)
{
    (void)arg;
    return cased(r, self, CASE_CAPITAL, ret);
}

static err_t title(struct run *r, const struct value *self, const struct value *arg,
                   struct value *ret)
{
    (void)arg;
    TRY(cased(r, self, CASE_WORDS, ret));
    ret->text = text_marked(&r->room, ret->text, false);
    return OK;
}

static err_t trim(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    const struct text *text;
    TRY(soft_text(r, self, &text));
    return text_strip(r, text, &arg[0], true, true, ret);
}

static err_t replace(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    const struct text *text, *old, *new;
    int64_t count = -1;
    TRY(value_to_text(r, self, &text));
    TRY(value_to_text(r, &arg[0], &old));
    TRY(value_to_text(r, &arg[1], &new));
    if (given(&arg[2]))
        TRY(want_int(&arg[2], "replace's count", &count));
    return text_replace(r, text, old, new, count, ret);
}

static err_t string(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    const struct text *text;
    (void)arg;
    TRY(soft_text(r, self, &text));
    *ret = value_text(text);
    return OK;
}

static err_t marked(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    const struct text *text;
    (void)arg;
    TRY(soft_text(r, self, &text));
    *ret = value_text(text_marked(&r->room, text, true));
    return OK;
}

static err_t escaped(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    const struct text *text;
    (void)arg;
    TRY(soft_text(r, self, &text));
    TRY(run_work(r, text->len));
    *ret = value_text(value_escape(r, text));
    return OK;
}

static err_t escaped_again(struct run *r, const struct value *self, const struct value *arg,
                           struct value *ret)
{
    const struct text *text;
    TRY(value_to_text(r, self, &text));
    return escaped(r, &(struct value){.kind = VALUE_TEXT, .text = text}, arg, ret);
}

static err_t joined(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    struct builder out = {.room = &r->room};
    const struct text *between = &text_empty, *text;
    struct list items;
    if (arg[0].kind != VALUE_MISSING)
        TRY(value_to_text(r, &arg[0], &between));
    TRY(value_items(r, self, &items));
    for (size_t i = 0; i < items.count; i++) {
        struct value item;
        TRY(value_path(r, &items.at[i], &arg[1], &item));
        if (i)
            builder_put(&out, between);
        TRY(run_work(r, between->len));
        TRY(value_put(r, &out, &item));
    }
    TRY(builder_text(&out, &text));
    *ret = value_text(text);
    return OK;
}

/* The text before a line: so many spaces, or one that is given. */
static err_t indentation(struct run *r, const struct value *width, const struct text **ret)
{
    struct value spaces = value_text(text_string(&r->room, " ")), text;
    const struct value number = width->kind == VALUE_MISSING ? value_int(4) : *width;
    if (width->kind == VALUE_TEXT) {
        *ret = width->text;
        return OK;
    }
    TRY(value_binary(r, OP_MUL, &spaces, &number, &text));
    *ret = text.text;
    return OK;
}

/* The quirk of jinja2: a line break is added first, for splitlines to keep the last line. */
static err_t indent(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    const struct text *by, *text;
    struct list lines = {0};
    struct builder out = {.room = &r->room};
    const bool first = value_truth(&arg[1]), blank = value_truth(&arg[2]);
    TRY(want_text(self, "what is indented", &text));
    TRY(indentation(r, &arg[0], &by));
    struct builder ended = {.room = &r->room};
    const struct text *whole;
    builder_put(&ended, text);
    builder_string(&ended, "\n");
    TRY(builder_text(&ended, &whole));
    TRY(text_lines(r, whole, false, &lines));
    for (size_t i = 0; i < lines.count; i++) {
        const struct text *line = lines.at[i].text;
        TRY(run_work(r, line->len + by->len));
        if (i)
            builder_string(&out, "\n");
        if (i ? blank || line->len : first)
            builder_put(&out, by);
        builder_put(&out, line);
    }
    const struct text *made;
    TRY(builder_text(&out, &made));
    *ret = value_text(text_marked(&r->room, made, text->markup));
    return OK;
}

static err_t wordcount(struct run *r, const struct value *self, const struct value *arg,
                       struct value *ret)
{
    const struct text *text;
    int64_t words = 0;
    bool inside = false;
    (void)arg;
    TRY(soft_text(r, self, &text));
    TRY(run_work(r, text->len));
    for (size_t at = 0; at < text->len;) {
        uint32_t code;
        at += (size_t)unicode_next(text->data + at, text->len - at, &code);
        const enum unicode_category category = unicode_category(code);
        const bool word = code == '_' || category <= UNICODE_LO ||
                          (category >= UNICODE_ND && category <= UNICODE_NO);
        words += word && !inside;
        inside = word;
    }
    *ret = value_int(words);
    return OK;
}

static err_t formatted(struct run *r, const struct value *self, const struct call *call,
                       struct value *ret)
{
    const struct text *text;
    struct value args;
    TRY(soft_text(r, self, &text));
    if (call->count && call->nameds)
        return err_new(ERR_INVALID, "format: values with names and without go not together");
    if (call->nameds) {
        struct dict *dict = dict_new(r);
        for (int i = 0; i < call->nameds; i++)
            TRY(dict_set(r, dict, call->name[i], call->named[i]));
        args = value_dict(dict);
    } else {
        struct list *list = list_new(r, 0);
        for (int i = 0; i < call->count; i++)
            TRY(list_push(r, list, call->at[i]));
        args = (struct value){.kind = VALUE_TUPLE, .list = list};
    }
    return text_percent(r, text, &args, ret);
}

static err_t center(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    const struct text *text;
    int64_t width = 80;
    TRY(soft_text(r, self, &text));
    if (arg[0].kind != VALUE_MISSING)
        TRY(want_int(&arg[0], "center's width", &width));
    return text_justify(r, text, width, &text_space, '^', ret);
}

static err_t shortened(struct run *r, const struct value *self, const struct value *arg,
                       struct value *ret)
{
    const struct text *text, *end = text_string(&r->room, "...");
    int64_t length = 255, leeway = 5, points = 0;
    TRY(value_length(r, self, &points));
    if (arg[0].kind != VALUE_MISSING)
        TRY(want_int(&arg[0], "truncate's length", &length));
    if (arg[2].kind != VALUE_MISSING)
        TRY(want_text(&arg[2], "truncate's end", &end));
    if (given(&arg[3]))
        TRY(want_int(&arg[3], "truncate's leeway", &leeway));
    if (length < (int64_t)end->points || leeway < 0)
        return err_new(ERR_INVALID,
                       "truncate: the length is less than the end's, or leeway below 0");
    *ret = *self;
    if (leeway > RUN_TEXT_BYTES || points <= length + leeway)
        return OK;
    TRY(want_text(self, "what is truncated", &text));
    size_t at = text_offset(text, (size_t)(length - (int64_t)end->points));
    if (!value_truth(&arg[1])) {
        const char *space = memrchr(text->data, ' ', at);
        at = space ? (size_t)(space - text->data) : at;
    }
    const struct value head = value_text(text_part(&r->room, text, 0, at)), tail = value_text(end);
    return value_binary(r, OP_ADD, &head, &tail, ret);
}

static const struct builtin rows[] = {
    {"upper", "", 0, .call = upper},
    {"lower", "", 0, .call = lower},
    {"capitalize", "", 0, .call = capitalize},
    {"title", "", 0, .call = title},
    {"trim", "chars", 0, .call = trim},
    {"replace", "old new count", 2, .call = replace},
    {"string", "", 0, .call = string},
    {"safe", "", 0, .call = marked},
    {"escape", "", 0, .call = escaped},
    {"e", "", 0, .call = escaped},
    {"forceescape", "", 0, .call = escaped_again},
    {"join", "d attribute", 0, .call = joined},
    {"indent", "width first blank", 0, .call = indent},
    {"wordcount", "", 0, .call = wordcount},
    {"format", NULL, 0, .raw = formatted},
    {"center", "width", 0, .call = center},
    {"truncate", "length killwords end leeway", 0, .call = shortened},
    {"urlencode", "", 0, NULL, NULL},
    {"urlize", "", 0, NULL, NULL},
    {"wordwrap", "", 0, NULL, NULL},
    {"striptags", "", 0, NULL, NULL},
    {"xmlattr", "", 0, NULL, NULL},
    {"pprint", "", 0, NULL, NULL},
    {"filesizeformat", "", 0, NULL, NULL},
};

struct builtins builtins_text_filters(void)
{
    return BUILTINS(rows);
}
