/* The origin of a version: its round with groups and settings, its digests, and its checkpoint or
 * the last one before it.
 *
 *     SCOPED_JSON json_t *explained = NULL;
 *     TRY(explain_version(recipe, store, 128, &explained));      -- a store that is read beside its learner, too
 *     explain_text(explained, &out);                             -- for people
 *
 * Owner: whoever owns the store. */
#pragma once
#include "base/bytes.h"
#include "base/json.h"
#include "learner/store/history.h"
#include "svc/recipe/recipe.h"

/* *ret is the caller's. NOT_FOUND: version 0, or never made here. */
err_t explain_version(const struct recipe *recipe, struct store *store, uint64_t version,
                      json_t **ret);

/* Appended. */
void explain_text(const json_t *explained, struct bytes *ret);
