/* JSON values against a JSON Schema: drafts 6, 7 and 2020-12, as far as the table in schema.c goes.
 *
 *     TRY(schema_valid(schema, value, &limits, stop, &valid));
 *
 * References go to places of the same document. `format` and other notes do not count. Patterns are
 * PCRE2's with limits (pattern.h). Steps are bounded. Any thread. */
#pragma once
#include "rewarder/scorers/pattern.h"

enum { SCHEMA_DEPTH = 64, SCHEMA_STEPS = 1000000 };

/* INVALID: a keyword, reference or pattern that is not supported. RANGE: more steps than
 * SCHEMA_STEPS or than a pattern's limit, references deeper than SCHEMA_DEPTH. */
err_t schema_valid(const json_t *schema, const json_t *value, const struct pattern_limits *limits,
                   const struct cell *stop, bool *ret);
