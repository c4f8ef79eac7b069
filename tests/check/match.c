#include "check/check.h"
#include <math.h>
#include <stdlib.h>

/* The end of the number at `text`, NULL: there is none. No inf, nan or hexadecimal. */
static const char *number_at(const char *text, double *ret)
{
    char *end;
    const char *digit = text + (*text == '-' || *text == '+');
    digit += *digit == '.';
    if (*digit < '0' || *digit > '9' || (digit[0] == '0' && (digit[1] == 'x' || digit[1] == 'X')))
        return NULL;
    *ret = strtod(text, &end);
    return isfinite(*ret) ? end : NULL;
}

static const char *list_at(const char *text, struct check_args *args)
{
    enum { MOST = sizeof args->list[0].at / sizeof *args->list[0].at };
    size_t *count = &args->list[args->lists].count;
    do {
        if (*count == MOST || !(text = number_at(text + (*count && *text == ','),
                                                 &args->list[args->lists].at[*count])))
            return NULL;
        (*count)++;
    } while (*text == ',');
    args->lists++;
    return text;
}

bool check_match(const char *pattern, const char *name, struct check_args *ret)
{
    struct check_args args = {0};
    for (; *pattern; pattern++) {
        if (*pattern == '#')
            name = number_at(name, &args.number[args.numbers++]);
        else if (*pattern == '@')
            name = list_at(name, &args);
        else
            name = *name == *pattern ? name + 1 : NULL;
        if (!name)
            return false;
    }
    *ret = args;
    return !*name;
}
