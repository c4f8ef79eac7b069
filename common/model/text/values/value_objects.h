/* The objects that values point to, texts apart. Lists and dicts do not change once a template has
 * them. */
#pragma once
#include "model/text/values/value.h"

struct node;
struct scope;
struct builtin;
struct text;

struct list {
    struct value *at; // (count)
    size_t count, capacity;
};

struct pair {
    struct value key, value;
    uint64_t hash;
};
struct dict {
    struct pair *at; // (count) in the order of insertion
    size_t count, capacity;
    uint32_t *slot; // (slots) position + 1 by hash; NULL: few enough to look at each
    size_t slots;
};

struct range {
    int64_t start, step;
    size_t count;
    int64_t stop; // as given
};
struct iterator {
    struct list items;
    size_t at;         // the next one
    const char *fails; // an error, once an item is asked for; NULL: none
};
struct view {
    const struct dict *dict;
    enum { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } kind;
};
struct macro {
    const struct text *name; // NULL: a call block's caller
    const struct node *node;
    struct scope *scope;          // where it was defined
    bool caller, varargs, kwargs; // its body asks for them
};
struct function {
    const struct builtin *builtin;
    struct value self;
};
struct loop {
    struct list source; // the values that it goes over
    size_t source_at;
    struct list items; // those that came so far, and were let through
    size_t at;         // the one at hand
    int depth;
    const struct node *node;
    struct scope *scope;  // around it
    struct value changed; // a tuple; MISSING: not asked yet
};
struct cycler {
    struct list items;
    size_t at;
};
