#include "svc/recipe/preset.h"
#include "base/scoped.h"
#include "svc/recipe/preset_table.h"
#include <string.h>

#define VALUE(key, value, note) {key, value, note},
#define VALUES(name, enumerator, help)                                                             \
    static const struct preset_value values_##name[] = {PRESET_##enumerator(VALUE)};
PRESETS(VALUES)

#define PRESET(name, enumerator, help)                                                             \
    {#name, help, values_##name, sizeof values_##name / sizeof *values_##name},
static const struct preset presets[] = {PRESETS(PRESET)};

const struct preset *preset_at(size_t i)
{
    return i < sizeof presets / sizeof *presets ? &presets[i] : NULL;
}

static err_t unknown(const char *name)
{
    SCOPED_VALUE(bytes) all = {0};
    const struct preset *preset;
    for (size_t i = 0; (preset = preset_at(i)); i++)
        bytes_printf(&all, "%s%s", i ? ", " : "", preset->name);
    return err_new(ERR_INVALID, "--preset: '%s' is not known; allowed: %s", name,
                   (const char *)all.data);
}

/* Bytes of the maps that both keys lie in: of "a.b.c" and "a.b.d" those of "a.b.". */
static size_t shared(const char *a, const char *b)
{
    size_t shared = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (a[i] == '.')
            shared = i + 1;
    return shared;
}

/* Opens the maps of the key that are not open yet. */
static void put_value(const struct preset_value *value, const char *before, struct bytes *ret)
{
    const char *part = value->key + shared(value->key, before);
    int depth = 0;
    for (const char *p = value->key; p < part; p++)
        depth += *p == '.';
    for (const char *dot; (dot = strchr(part, '.')); part = dot + 1, depth++)
        bytes_printf(ret, "%*s%.*s:\n", 2 * depth, "", (int)(dot - part), part);
    bytes_printf(ret, "%*s%s: %s%s%s\n", 2 * depth, "", part, value->value,
                 *value->note ? " # " : "", value->note);
}

err_t preset_yaml(const char *name, struct bytes *ret)
{
    const struct preset *preset;
    size_t i = 0;
    while ((preset = preset_at(i)) && strcmp(preset->name, name) != 0)
        i++;
    if (!preset)
        return unknown(name);
    bytes_printf(ret, "# %s: %s.\n# Add model.path, data.train and rewarder.scorers.\n",
                 preset->name, preset->help);
    for (size_t v = 0; v < preset->values; v++)
        put_value(&preset->value[v], v ? preset->value[v - 1].key : "", ret);
    return OK;
}
