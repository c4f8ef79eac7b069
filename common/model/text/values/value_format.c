/* Numbers and texts with width, precision and sign: what "%5.2f" and "{:>5.2f}" have in common. */
#include "model/text/values/value_format.h"
#include "model/text/unicode.h"
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

int format_digits(const struct text *text, size_t *at, int most)
{
    int64_t number = 0;
    for (; *at < text->len && isdigit((unsigned char)text->data[*at]); ++*at)
        if (number <= most)
            number = number * 10 + text->data[*at] - '0';
    return number <= most ? (int)number : -1;
}

static void fill(struct builder *out, const struct format_spec *spec, int64_t count)
{
    for (; count > 0 && !out->over; count--)
        builder_code(out, spec->fill ? spec->fill : spec->zero ? '0' : ' ', 0);
}

/* head stays before what fills where the alignment is '='. */
static void pad(struct builder *out, const char *head, const struct text *body,
                const struct format_spec *spec, char align)
{
    const int64_t room = spec->width - (int64_t)strlen(head) - (int64_t)body->points;
    align = spec->align ? spec->align : align;
    fill(out, spec, align == '>' ? room : align == '^' ? room / 2 : 0);
    builder_string(out, head);
    fill(out, spec, align == '=' ? room : 0);
    builder_put(out, body);
    fill(out, spec, align == '<' ? room : align == '^' ? room - room / 2 : 0);
}

err_t format_padded(struct run *r, struct builder *out, const struct text *text,
                    const struct format_spec *spec)
{
    if (spec->precision >= 0 && (size_t)spec->precision < text->points)
        text = text_part(&r->room, text, 0, text_offset(text, (size_t)spec->precision));
    TRY(run_work(r, text->len + (size_t)spec->width));
    pad(out, "", text, spec, '<');
    return OK;
}

/* Thousands apart, in digits of at most 19 before a point. */
static void group(struct builder *out, const char *digits, const struct format_spec *spec)
{
    const size_t whole = strspn(digits, "0123456789");
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % 3 == 0)
            builder_add(out, &spec->group, 1, 0);
        builder_add(out, digits + i, 1, 0);
    }
    builder_string(out, digits + whole);
}

static const char *sign_of(bool negative, const struct format_spec *spec)
{
    return negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
}

static void whole(struct run *r, struct builder *out, int64_t number,
                  const struct format_spec *spec)
{
    const uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    const char type = spec->type | 32;
    const unsigned base = type == 'x' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    const char *digit = spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[80 + FORMAT_PRECISION] = {0}, head[8];
    size_t at = sizeof digits - 1;
    for (uint64_t left = size; left || at == sizeof digits - 1; left /= base)
        digits[--at] = digit[left % base];
    while ((int)(sizeof digits - 1 - at) < spec->precision)
        digits[--at] = '0';
    snprintf(head, sizeof head, "%s%s%.1s", sign_of(number < 0, spec),
             spec->alternate && base != 10 ? "0" : "",
             spec->alternate && base != 10 ? &spec->type : "");
    struct builder body = {.room = &r->room};
    if (spec->group)
        group(&body, digits + at, spec);
    else
        builder_string(&body, digits + at);
    const struct text text = {body.data, body.from, body.len, body.len, false};
    pad(out, head, &text, spec, spec->zero ? '=' : '>');
}

static void real(struct run *r, struct builder *out, double number, const struct format_spec *spec)
{
    char form[16], digits[FORMAT_PRECISION + 400];
    const char type = spec->type == '%' ? 'f' : spec->type ? spec->type : 'g';
    if (spec->type == '%')
        number *= 100;
    snprintf(form, sizeof form, "%%%s.*%c", spec->alternate ? "#" : "", type);
    snprintf(digits, sizeof digits, form, spec->precision < 0 ? 6 : spec->precision, fabs(number));
    struct builder body = {.room = &r->room};
    if (!spec->type && spec->precision < 0)
        put_float(&body, fabs(number));
    else if (spec->group)
        group(&body, digits, spec);
    else
        builder_string(&body, digits);
    builder_string(&body, spec->type == '%' ? "%" : "");
    const struct text text = {body.data, body.from, body.len, body.len, false};
    pad(out, sign_of(signbit(number) && !isnan(number), spec), &text, spec, spec->zero ? '=' : '>');
}

err_t format_number(struct run *r, struct builder *out, const struct value *v,
                    const struct format_spec *spec)
{
    int64_t number;
    TRY(run_work(r, (size_t)spec->width));
    if (value_is_int(v, &number) && (!spec->type || strchr("dxXob", spec->type))) {
        whole(r, out, number, spec);
        return OK;
    }
    if (!value_is_number(v) || (spec->type && !strchr("eEfFgG%", spec->type)))
        return err_new(ERR_INVALID, "format '%c' of %s", spec->type ? spec->type : 's',
                       value_kind_name(v));
    if (!spec->type && spec->precision >= 0)
        return err_new(ERR_INVALID, "a format with a precision and no type is not supported");
    real(r, out, value_real(v), spec);
    return OK;
}
