/* Recipes that are ready made: rows of preset_table.h as a YAML file.
 *
 *     SCOPED_VALUE(bytes) text = {0};
 *     TRY(preset_yaml("trl", &text));               -- a recipe without model, data and scorers
 *
 * Any thread: pure. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include <stddef.h>

struct preset_value {
    const char *key, *value, *note;
};

struct preset {
    const char *name, *help;
    const struct preset_value *value;
    size_t values;
};

/* In the table's order; NULL: past the last. */
const struct preset *preset_at(size_t i);

/* INVALID: no such preset; the error has those that there are. */
err_t preset_yaml(const char *name, struct bytes *ret);
