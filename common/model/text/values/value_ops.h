/* Python's operations on values: operators, attributes, items, text and order. Each one counts as
 * work (value_run.h). */
#pragma once
#include "model/text/values/value_objects.h"
#include "model/text/values/value_run.h"
#include "model/text/values/value_text.h"

/* ---- lists and dicts */

struct list *list_new(struct run *r, size_t capacity);
err_t list_push(struct run *r, struct list *list, struct value v);
struct dict *dict_new(struct run *r);
err_t dict_set(struct run *r, struct dict *dict, struct value key, struct value v);
/* *ret NULL: none. INVALID: the key is a list or a dict. */
err_t dict_find(struct run *r, const struct dict *dict, const struct value *key,
                const struct value **ret);
const struct value *dict_find_text(const struct dict *dict, const struct text *key);
/* By the order of keys (list->count); stable. */
err_t list_sort(struct run *r, struct list *list, const struct list *keys, bool reverse);

/* ---- truth, equality and order */

bool value_truth(const struct value *v);
err_t value_equal(struct run *r, const struct value *a, const struct value *b, bool *ret);
enum { ORDER_NONE = 2 }; // of a NaN
err_t value_order(struct run *r, const struct value *a, const struct value *b, int *ret);
err_t value_contains(struct run *r, const struct value *in, const struct value *v, bool *ret);

/* ---- operators */

enum value_operator { OP_ADD, OP_SUB, OP_DIV, OP_FLOORDIV, OP_MUL, OP_MOD, OP_POW };
err_t value_binary(struct run *r, enum value_operator op, const struct value *a,
                   const struct value *b, struct value *ret);
err_t value_negate(const struct value *v, struct value *ret);

/* ---- items and attributes */

err_t value_length(struct run *r, const struct value *v, int64_t *ret);
/* The items as a list, which is shared where the value is one. */
err_t value_items(struct run *r, const struct value *v, struct list *ret);
/* jinja2's getattr and getitem. */
err_t value_member(struct run *r, const struct value *v, const struct text *name,
                   struct value *ret);
/* The same, but no item of a dict. */
err_t value_attribute(struct run *r, const struct value *v, const struct text *name,
                      struct value *ret);
err_t value_item(struct run *r, const struct value *v, const struct value *key, struct value *ret);
/* "a.b.0", as filters have it; None: the value itself */
err_t value_path(struct run *r, const struct value *v, const struct value *path, struct value *ret);
err_t value_slice(struct run *r, const struct value *v, const struct value bound[3],
                  struct value *ret);

/* ---- text */

err_t value_to_text(struct run *r, const struct value *v, const struct text **ret); // str(v)
err_t value_put(struct run *r, struct builder *out, const struct value *v);         // str(v)
err_t value_put_repr(struct run *r, struct builder *out, const struct value *v);
void put_float(struct builder *out, double real);
void put_int(struct builder *out, int64_t number);
const struct text *value_escape(struct run *r, const struct text *text); // to Markup

struct json_style {
    bool ascii, sorted, indented;
    const struct text *indent, *between, *colon; // between: the items
};
err_t value_put_json(struct run *r, struct builder *out, const struct value *v,
                     const struct json_style *style);

err_t text_percent(struct run *r, const struct text *format, const struct value *args,
                   struct value *ret); // format % args
err_t text_format(struct run *r, const struct value *self, const struct call *call,
                  struct value *ret); // self.format(...)

/* ---- upper and lower case */

enum text_case { CASE_UPPER, CASE_LOWER, CASE_CAPITAL, CASE_TITLE, CASE_WORDS, CASE_SWAPPED };
err_t text_cased(struct run *r, const struct text *text, enum text_case kind,
                 const struct text **ret);
enum text_class {
    CLASS_UPPER,
    CLASS_LOWER,
    CLASS_ALPHA,
    CLASS_ALNUM,
    CLASS_DECIMAL,
    CLASS_DIGIT,
    CLASS_NUMERIC,
    CLASS_SPACE,
};
bool text_all(const struct text *text, enum text_class class); // str.isupper() and its like
