/* JSON through jansson: parsing with errors that name the place, and typed look-ups with errors
 * that name the fault.
 *
 *     SCOPED_JSON json_t *config = NULL;
 *     TRY(json_read_file("config.json", MAX, &config));
 *     TRY(json_get_int(config, "config.json", "hidden_size", 1, 65536, &width));
 *
 * Duplicate keys and trailing text are errors; nesting is bounded by jansson (2048). Any thread; a
 * value belongs to one. */
#pragma once
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void json_scoped_free(json_t **p)
{
    json_decref(*p);
}
#define SCOPED_JSON __attribute__((cleanup(json_scoped_free)))

/* name is what errors call the text ("file" or "file:line"). INVALID: not JSON, with line and
 * column. A byte order mark of UTF-8 is skipped; json_mark is its length, or 0. */
size_t json_mark(const char *text, size_t len);
err_t json_parse(const char *text, size_t len, const char *name, json_t **ret);
/* The same, and its strings may hold U+0000: read them by json_string_length. */
err_t json_parse_nul(const char *text, size_t len, const char *name, json_t **ret);
err_t json_read_file(const char *path, size_t max_bytes, json_t **ret);

/* Typed members of an object. INVALID names the object, the key, its value and the allowed ones.
 * *ret is borrowed for text. The _or forms leave *ret alone when the key is absent or null. */
err_t json_get_int(const json_t *object, const char *name, const char *key, int64_t min,
                   int64_t max, int64_t *ret);
err_t json_get_int_or(const json_t *object, const char *name, const char *key, int64_t min,
                      int64_t max, int64_t *ret);
err_t json_get_number_or(const json_t *object, const char *name, const char *key, double *ret);
err_t json_get_bool_or(const json_t *object, const char *name, const char *key, bool *ret);
err_t json_get_text(const json_t *object, const char *name, const char *key, const char **ret);

/* Compact text, owned by the caller. */
char *json_to_text(const json_t *value);

/* For messages: "a list"; and an object's keys as "'prompt', 'completion'", cut where they are
 * many. */
struct bytes;
const char *json_type_name(const json_t *value);
void json_put_keys(const json_t *object, struct bytes *ret);
