/* Filters of any value: default, numbers, tojson. */
#include "model/text/template/template_pieces.h"
#include "model/text/template/template_tables.h"
#include "model/text/values/value_format.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static err_t fallback(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    (void)r;
    const bool lacks =
        self->kind == VALUE_UNDEFINED || (value_truth(&arg[1]) && !value_truth(self));
    *ret = !lacks ? *self : arg[0].kind == VALUE_MISSING ? value_text(&text_empty) : arg[0];
    return OK;
}

static err_t attr(struct run *r, const struct value *self, const struct value *arg,
                  struct value *ret)
{
    const struct text *name;
    TRY(want_text(&arg[0], "an attribute's name", &name));
    return value_attribute(r, self, name, ret);
}

/* ---- numbers out of texts, as int() and float() read them */

enum { NUMBER_BYTES = 400 };

/* A number's text, without white space around it and underscores between digits. False: it is
 * none. */
static bool plain_number(const struct text *text, char ret[NUMBER_BYTES])
{
    const size_t begin = text_space_ahead(text->data, text->len);
    const size_t end = begin + text_space_behind(text->data + begin, text->len - begin);
    size_t n = 0;
    if (end - begin >= NUMBER_BYTES)
        return false;
    for (size_t i = begin; i < end; i++) {
        const char c = text->data[i];
        const bool between = i > begin && i + 1 < end &&
                             isalnum((unsigned char)text->data[i - 1]) &&
                             isalnum((unsigned char)text->data[i + 1]);
        if (c == '_' ? !between : !isalnum((unsigned char)c) && !strchr("+-.", c))
            return false;
        if (c != '_')
            ret[n++] = c;
    }
    ret[n] = 0;
    return n;
}

static bool read_real(const struct text *text, double *ret)
{
    char plain[NUMBER_BYTES], *end;
    if (!plain_number(text, plain) || strpbrk(plain, "xX(pP"))
        return false;
    *ret = strtod(plain, &end);
    return !*end;
}

/* false: no whole number is written so */
static bool read_int(const struct text *text, int64_t base, int64_t *ret, bool *beyond)
{
    char plain[NUMBER_BYTES], *end;
    if (!plain_number(text, plain) || base < 0 || base == 1 || base > 36)
        return false;
    char *digits = plain + (plain[0] == '-' || plain[0] == '+');
    const int kind = digits[0] == '0' ? digits[1] | 32 : 0;
    const int prefix = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (!base && !prefix && digits[0] == '0' && digits[strspn(digits, "0")])
        return false;
    if (prefix && (!base || base == prefix)) {
        memmove(digits, digits + 2, strlen(digits + 2) + 1);
        base = prefix;
    } else if (prefix == 16 && base == 16) {
        return false;
    }
    if (!isalnum((unsigned char)digits[0]) ||
        (digits[0] == '0' && (digits[1] | 32) == 'x' && base <= 33))
        return false;
    errno = 0;
    *ret = strtoll(plain, &end, base ? (int)base : 10);
    *beyond = errno == ERANGE;
    return !*end;
}

static err_t whole(double real, int64_t *ret)
{
    if (!(fabs(real) < 0x1p63))
        return err_new(ERR_INVALID, "int of a number beyond 64 bits");
    *ret = (int64_t)real;
    return OK;
}

static err_t to_int(struct run *r, const struct value *self, const struct value *arg,
                    struct value *ret)
{
    int64_t number = 0, base = 10;
    double real = NAN;
    bool beyond = false;
    if (arg[1].kind != VALUE_MISSING)
        TRY(want_int(&arg[1], "int's base", &base));
    TRY(run_work(r, 0));
    *ret = arg[0].kind == VALUE_MISSING ? value_int(0) : arg[0];
    if (self->kind == VALUE_TEXT) {
        if (read_int(self->text, base, &number, &beyond)) {
            *ret = value_int(number);
            return beyond ? err_new(ERR_INVALID, "int of a number beyond 64 bits") : OK;
        }
        if (!read_real(self->text, &real) || !isfinite(real))
            return OK;
    } else if (value_is_number(self)) {
        if (value_is_int(self, &number)) {
            *ret = value_int(number);
            return OK;
        }
        real = self->real;
        if (isinf(real))
            return err_new(ERR_INVALID, "int of an infinite number");
        if (isnan(real))
            return OK;
    } else {
        return self->kind == VALUE_UNDEFINED ? undefined_error(self) : OK;
    }
    TRY(whole(real, &number));
    *ret = value_int(number);
    return OK;
}

static err_t to_float(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    double real;
    (void)r;
    *ret = arg[0].kind == VALUE_MISSING ? value_float(0) : arg[0];
    if (self->kind == VALUE_UNDEFINED)
        return undefined_error(self);
    if (value_is_number(self))
        *ret = value_float(value_real(self));
    else if (self->kind == VALUE_TEXT && read_real(self->text, &real))
        *ret = value_float(real);
    return OK;
}

static err_t absolute(struct run *r, const struct value *self, const struct value *arg,
                      struct value *ret)
{
    int64_t number;
    (void)r;
    (void)arg;
    if (self->kind == VALUE_UNDEFINED)
        return undefined_error(self);
    if (!value_is_number(self))
        return err_new(ERR_INVALID, "abs of %s", value_kind_name(self));
    if (self->kind == VALUE_FLOAT)
        *ret = value_float(fabs(self->real));
    else if (value_is_int(self, &number) && number < 0)
        return value_negate(self, ret);
    else
        *ret = value_int(number);
    return OK;
}

/* ---- round */

/* The decimal number of so many places that is nearest; halves go to the even one. */
static double nearest(double real, int64_t places)
{
    char digits[NUMBER_BYTES + FORMAT_PRECISION];
    if (places > FORMAT_PRECISION || !isfinite(real))
        return real;
    if (places >= 0) {
        snprintf(digits, sizeof digits, "%.*f", (int)places, real);
        return strtod(digits, NULL);
    }
    if (places < -308)
        return copysign(0, real);
    const long double ten = powl(10, (long double)-places);
    return (double)(rintl((long double)real / ten) * ten);
}

static err_t nearest_int(int64_t number, int64_t places, struct value *ret)
{
    int64_t ten = 1;
    *ret = value_int(number);
    if (places >= 0)
        return OK;
    if (places < -18) {
        *ret = value_int(0);
        return OK;
    }
    for (; places < 0; places++)
        ten *= 10;
    int64_t rest = number % ten, low = number - rest;
    rest += rest < 0 ? ten : 0;
    low -= number % ten < 0 ? ten : 0;
    const bool up = rest > ten - rest || (rest == ten - rest && (low / ten) % 2);
    *ret = value_int(low + (up ? ten : 0));
    return OK;
}

static err_t rounded(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    const struct text *method = text_string(&r->room, "common");
    int64_t places = 0, number;
    if (self->kind == VALUE_UNDEFINED)
        return undefined_error(self);
    if (arg[1].kind != VALUE_MISSING)
        TRY(want_text(&arg[1], "round's method", &method));
    if (arg[0].kind != VALUE_MISSING)
        TRY(want_int(&arg[0], "round's precision", &places));
    if (!value_is_number(self))
        return err_new(ERR_INVALID, "round of %s", value_kind_name(self));
    const bool up = text_is(method, "ceil");
    if (up || text_is(method, "floor")) {
        if (places > 18 || places < -18)
            return err_new(ERR_INVALID, "round's precision is beyond 18 places");
        const double ten = pow(10, (double)places), scaled = value_real(self) * ten;
        const double edge = up ? ceil(scaled) : floor(scaled);
        if (!isfinite(edge))
            return err_new(ERR_INVALID, "round of a number that is not finite");
        *ret = value_float(edge / ten);
        return OK;
    }
    if (!text_is(method, "common"))
        return err_new(ERR_INVALID, "round's method is common, ceil or floor");
    if (value_is_int(self, &number))
        return nearest_int(number, places, ret);
    *ret = value_float(nearest(self->real, places));
    return OK;
}

/* ---- tojson, as transformers defines it */

static err_t json_indent(struct run *r, const struct value *indent, struct json_style *style)
{
    struct value spaces = value_text(&text_space), text;
    style->indented = given(indent);
    style->indent = &text_empty;
    if (!given(indent))
        return OK;
    if (indent->kind == VALUE_TEXT) {
        style->indent = indent->text;
        return OK;
    }
    TRY(value_binary(r, OP_MUL, &spaces, indent, &text));
    style->indent = text.text;
    return OK;
}

static err_t json_separators(struct run *r, const struct value *separators,
                             struct json_style *style)
{
    struct list items;
    style->between = text_string(&r->room, style->indented ? "," : ", ");
    style->colon = text_string(&r->room, ": ");
    if (!given(separators))
        return OK;
    TRY(value_items(r, separators, &items));
    if (items.count != 2)
        return err_new(ERR_INVALID, "tojson: separators are two strings");
    TRY(want_text(&items.at[0], "tojson's separator of items", &style->between));
    return want_text(&items.at[1], "tojson's separator of keys", &style->colon);
}

static err_t to_json(struct run *r, const struct value *self, const struct value *arg,
                     struct value *ret)
{
    struct json_style style = {.ascii = value_truth(&arg[0]), .sorted = value_truth(&arg[3])};
    struct builder out = {.room = &r->room};
    const struct text *text;
    TRY(json_indent(r, &arg[1], &style));
    TRY(json_separators(r, &arg[2], &style));
    TRY(value_put_json(r, &out, self, &style));
    TRY(builder_text(&out, &text));
    *ret = value_text(text);
    return OK;
}

static const struct builtin rows[] = {
    {"default", "default_value boolean", 0, .call = fallback},
    {"d", "default_value boolean", 0, .call = fallback},
    {"attr", "name", 1, .call = attr},
    {"int", "default base", 0, .call = to_int},
    {"float", "default", 0, .call = to_float},
    {"abs", "", 0, .call = absolute},
    {"round", "precision method", 0, .call = rounded},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, .call = to_json},
};

struct builtins builtins_value_filters(void)
{
    return BUILTINS(rows);
}
