#include "rewarder/verify/math_unit.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LENGTH, MASS, TIME, ANGLE, MONEY, HEAT };

struct known {
    const char *names; // separated by blanks; a plural's s or es may follow
    int dimension, power;
    double factor;
};
static const struct known table[] = {
    {"m meter metre", LENGTH, 1, 1},
    {"mm millimeter millimetre", LENGTH, 1, 1e-3},
    {"cm centimeter centimetre", LENGTH, 1, 1e-2},
    {"dm decimeter decimetre", LENGTH, 1, 1e-1},
    {"km kilometer kilometre", LENGTH, 1, 1e3},
    {"in inch", LENGTH, 1, 0.0254},
    {"ft foot feet", LENGTH, 1, 0.3048},
    {"yd yard", LENGTH, 1, 0.9144},
    {"mi mile", LENGTH, 1, 1609.344},
    {"l L liter litre", LENGTH, 3, 1e-3},
    {"ml mL milliliter millilitre", LENGTH, 3, 1e-6},
    {"g gram", MASS, 1, 1e-3},
    {"mg milligram", MASS, 1, 1e-6},
    {"kg kilogram", MASS, 1, 1},
    {"lb lbs pound", MASS, 1, 0.45359237},
    {"oz ounce", MASS, 1, 0.028349523125},
    {"s sec second", TIME, 1, 1},
    {"min minute", TIME, 1, 60},
    {"h hr hour", TIME, 1, 3600},
    {"day", TIME, 1, 86400},
    {"week", TIME, 1, 604800},
    {"deg degree", ANGLE, 1, 1},
    {"rad radian", ANGLE, 1, 57.295779513082320877},
    {"dollar", MONEY, 1, 1},
    {"cent", MONEY, 1, 0.01},
    {"kelvin", HEAT, 1, 1},
};

static bool is_name(struct text_slice word, const char *names)
{
    for (const char *at = names; *at;) {
        const size_t len = strcspn(at, " ");
        const size_t more = word.len - len;
        /* Symbols have their own case, words any. */
        const bool same = word.len >= len && (len > 2 ? strncasecmp(word.data, at, len) == 0
                                                      : strncmp(word.data, at, len) == 0);
        if (same && (more == 0 || (len > 2 && more == 1 && word.data[len] == 's') ||
                     (len > 2 && more == 2 && memcmp(word.data + len, "es", 2) == 0)))
            return true;
        at += len;
        at += strspn(at, " ");
    }
    return false;
}

static const struct known *find(struct text_slice word)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is_name(word, table[i].names))
            return &table[i];
    return NULL;
}

bool math_unit_is(struct text_slice word)
{
    return find(word) != NULL;
}

static bool is_word(struct text_slice word, const char *text)
{
    return word.len == strlen(text) && strncasecmp(word.data, text, word.len) == 0;
}

/* The exponent behind a unit, as in cm^2, cm^{2} or m2; 1: none. */
static int exponent(const char **at, const char *end)
{
    const char *p = *at;
    bool minus = false;
    while (p < end && (*p == '^' || *p == '{' || *p == ' '))
        p++;
    if (p < end && *p == '-') {
        minus = true;
        p++;
    }
    if (p == end || *p < '1' || *p > '9')
        return 1;
    const int value = minus ? -(*p - '0') : *p - '0';
    p++;
    *at = p + (p < end && *p == '}');
    return value;
}

/* Words before a unit raise it. */
struct reading {
    int sign, times;
};

static void one_word(struct text_slice word, int power, struct reading *how, struct math_unit *unit)
{
    const struct known *known = find(word);
    if (is_word(word, "per")) {
        how->sign = -1;
    } else if (is_word(word, "square") || is_word(word, "sq")) {
        how->times = 2;
    } else if (is_word(word, "cubic")) {
        how->times = 3;
    } else if (!known) {
        unit->known = false;
    } else {
        const int all = power * how->times * how->sign;
        unit->factor *= pow(known->factor, all);
        unit->power[known->dimension] += known->power * all;
        how->times = 1;
    }
}

void math_unit_read(struct text_slice text, struct math_unit *unit)
{
    struct reading how = {1, 1};
    if (!unit->given)
        *unit = (struct math_unit){.given = true, .known = true, .factor = 1};
    const char *end = text.data + text.len;
    for (const char *at = text.data; at < end;) {
        const char *begin = at;
        while (at < end && isalpha((unsigned char)*at))
            at++;
        if (at > begin) {
            const struct text_slice word = {begin, (size_t)(at - begin)};
            one_word(word, exponent(&at, end), &how, unit);
            continue;
        }
        if (*at == '/')
            how.sign = -1;
        else if (!strchr(" .*\\{}", *at) || !*at)
            unit->known = false;
        at++;
    }
}

bool math_units_differ(const struct math_unit *a, const struct math_unit *b)
{
    return a->given && b->given && a->known && b->known &&
           memcmp(a->power, b->power, sizeof a->power) != 0;
}

double math_units_ratio(const struct math_unit *a, const struct math_unit *b)
{
    const bool both = a->given && b->given && a->known && b->known;
    return both ? a->factor / b->factor : 1;
}
