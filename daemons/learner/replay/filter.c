#include "learner/replay/filter.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum key {
    KEY_STATE,
    KEY_GENERATOR,
    KEY_REWARD,
    KEY_TOKENS,
    KEY_LAG,
    KEY_VERSION,
    KEY_SLOT,
    KEY_PROMPT,
    KEY_EPOCH,
    KEY_ATTEMPT,
    KEY_LINEAGE,
    KEYS
};
static const char *const key_names[KEYS] = {"state", "generator", "reward", "tokens",
                                            "lag",   "version",   "slot",   "prompt",
                                            "epoch", "attempt",   "lineage"};
#define KEYS_TEXT "state generator reward tokens lag version slot prompt epoch attempt lineage"

enum compare { EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST, COMPARES };
static const char *const compare_names[COMPARES] = {"=", "!=", "<", "<=", ">", ">="};

enum { STATE_LEASED, STATE_STORED, STATE_QUARANTINED, STATES };
static const char *const state_names[STATES] = {"leased", "stored", "quarantined"};

static bool is_text(int key)
{
    return key == KEY_STATE || key == KEY_GENERATOR;
}

/* ---- parsing: a term has no spaces in it */

static err_t bad(const char *term, size_t len, const char *allowed)
{
    return err_new(ERR_INVALID, "filter: '%.*s': %s", (int)(len < 80 ? len : 80), term, allowed);
}

/* The length of the key, by the operator that ends it. */
static err_t parse_key(const char *term, size_t len, size_t *ret_len, int *ret)
{
    size_t key = strcspn(term, "=!<> ");
    for (int i = 0; i < KEYS && key < len; i++)
        if (strlen(key_names[i]) == key && !strncmp(key_names[i], term, key)) {
            *ret_len = key;
            *ret = i;
            return OK;
        }
    return bad(term, len, "a term is KEY OPERATOR VALUE without spaces, KEY one of " KEYS_TEXT);
}

static err_t parse_compare(const char *term, size_t len, size_t at, struct filter_term *ret,
                           size_t *ret_len)
{
    size_t most = 0;
    for (int i = 0; i < COMPARES; i++) {
        size_t n = strlen(compare_names[i]);
        if (n > most && n <= len - at && !strncmp(term + at, compare_names[i], n)) {
            ret->compare = i;
            most = n;
        }
    }
    if (!most)
        return bad(term, len, "the operators are = != < <= > >=");
    if (is_text(ret->key) && ret->compare != EQUAL && ret->compare != UNEQUAL)
        return bad(term, len, "of state and generator the operators are = and !=");
    *ret_len = most;
    return OK;
}

static err_t parse_number(const char *term, size_t len, struct filter_term *ret)
{
    char *end = NULL;
    const char *text = ret->text;
    errno = 0;
    if (ret->key == KEY_REWARD) {
        ret->number = strtod(text, &end);
        if (strspn(text, "0123456789.+-eE") == strlen(text) && end != text && !*end &&
            isfinite(ret->number))
            return OK;
        return bad(term, len, "a reward is a number such as -0.5");
    }
    bool digits = *text && strspn(text, "0123456789") == strlen(text);
    ret->whole = digits ? strtoull(text, NULL, 10) : 0;
    return digits && !errno ? OK : bad(term, len, "its value must be a whole number, 0 or more");
}

static err_t parse_value(const char *term, size_t len, size_t at, struct filter_term *ret)
{
    size_t value = len - at;
    if (!value || value >= FILTER_VALUE_MAX)
        return bad(term, len, "a value has 1 to 255 bytes");
    memcpy(ret->text, term + at, value);
    ret->text[value] = 0;
    if (ret->key == KEY_GENERATOR)
        return OK;
    if (ret->key != KEY_STATE)
        return parse_number(term, len, ret);
    for (ret->whole = 0; ret->whole < STATES; ret->whole++)
        if (strcmp(ret->text, state_names[ret->whole]) == 0)
            return OK;
    return bad(term, len, "a state: leased, stored, quarantined");
}

static err_t parse_term(const char *term, size_t len, struct filter_term *ret)
{
    size_t key = 0, compare = 0;
    *ret = (struct filter_term){0};
    TRY(parse_key(term, len, &key, &ret->key));
    TRY(parse_compare(term, len, key, ret, &compare));
    return parse_value(term, len, key + compare, ret);
}

err_t filter_parse(const char *text, struct filter *ret)
{
    struct filter filter = {0};
    if (strlen(text) > FILTER_MAX_BYTES)
        return err_new(ERR_INVALID, "filter: %zu bytes: allowed are %d", strlen(text),
                       FILTER_MAX_BYTES);
    for (const char *term = text + strspn(text, " "); *term; term += strspn(term, " ")) {
        size_t len = strcspn(term, " ");
        if (filter.terms == FILTER_TERMS)
            return err_new(ERR_INVALID, "filter: more than %d terms", FILTER_TERMS);
        TRY(parse_term(term, len, &filter.term[filter.terms++]));
        term += len;
    }
    *ret = filter;
    return OK;
}

/* ---- deciding */

static bool decide(int compare, int order)
{
    switch ((enum compare)compare) {
    case EQUAL:
        return order == 0;
    case UNEQUAL:
        return order != 0;
    case LESS:
        return order < 0;
    case AT_MOST:
        return order <= 0;
    case MORE:
        return order > 0;
    default:
        return order >= 0;
    }
}

static uint64_t whole_of(const struct listed *group, int key)
{
    switch ((enum key)key) {
    case KEY_STATE:
        return group->stored ? STATE_STORED : group->quarantined ? STATE_QUARANTINED : STATE_LEASED;
    case KEY_TOKENS:
        return group->tokens;
    case KEY_LAG:
        return group->lag;
    case KEY_VERSION:
        return group->oldest_version;
    case KEY_SLOT:
        return group->slot;
    case KEY_PROMPT:
        return group->prompt;
    case KEY_EPOCH:
        return group->epoch;
    case KEY_ATTEMPT:
        return group->attempt;
    default:
        return group->lineage;
    }
}

static bool term_holds(const struct filter_term *term, const struct listed *group)
{
    if (term->key == KEY_REWARD && !group->stored)
        return false;
    if (term->key == KEY_TOKENS && !group->stored && !group->quarantined)
        return false;
    if (term->key == KEY_GENERATOR)
        return decide(term->compare, strcmp(group->generator, term->text));
    if (term->key == KEY_REWARD)
        return decide(term->compare,
                      (group->reward > term->number) - (group->reward < term->number));
    uint64_t value = whole_of(group, term->key);
    return decide(term->compare, (value > term->whole) - (value < term->whole));
}

bool filter_holds(const struct filter *filter, const struct listed *group)
{
    for (size_t i = 0; i < filter->terms; i++)
        if (!term_holds(&filter->term[i], group))
            return false;
    return true;
}

bool filter_next(const struct filter *filter, const struct store *store, uint64_t *at,
                 struct listed *ret)
{
    while (store_list(store, at, ret))
        if (filter_holds(filter, ret))
            return true;
    return false;
}
