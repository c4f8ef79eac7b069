/* Values as JSON Schema sees them: numbers by value, texts by code points, places by pointer.
 *
 *     if (schema_equal(a, b)) ...                     -- 1 is 1.0
 *     TRY(schema_at(document, ref, &schema));         -- "#/$defs/name"
 *
 * Any thread. */
#pragma once
#include "base/json.h"

bool schema_is_type(const json_t *value, const char *type); // NULL: no type
bool schema_equal(const json_t *a, const json_t *b);
bool schema_is_multiple(const json_t *value, const json_t *of);
size_t schema_points(const json_t *text);

/* INVALID: ref is no text, goes elsewhere than to this document, or to nothing. */
err_t schema_at(const json_t *document, const json_t *ref, const json_t **ret);
