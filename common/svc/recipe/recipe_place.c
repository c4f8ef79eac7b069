#include "svc/recipe/recipe_place.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recipe_places {
    struct yaml_tree *root; // the file's
    char **set;             // (sets) keys of --set
    size_t sets;
};

struct recipe_places *recipe_places_new(struct yaml_tree *root, const struct recipe_source *source)
{
    struct recipe_places *places = mem_new(sizeof *places);
    places->root = root;
    places->set = mem_array(source->sets_count, sizeof *places->set);
    for (; places->sets < source->sets_count; places->sets++) {
        char *set = places->set[places->sets] = mem_string(source->sets[places->sets]);
        set[strcspn(set, "=")] = 0;
    }
    return places;
}

void recipe_places_free(struct recipe_places *places)
{
    if (!places)
        return;
    for (size_t i = 0; i < places->sets; i++)
        free(places->set[i]);
    free(places->set);
    yaml_tree_free(places->root);
    free(places);
}

/* A section, or a list, stands for what is below it. */
bool recipe_is_set_on_line(const struct recipe *recipe, const char *key)
{
    const struct recipe_places *places = recipe->places;
    for (size_t i = 0; places && i < places->sets; i++) {
        const size_t len = strlen(places->set[i]);
        if (len && strncmp(places->set[i], key, len) == 0 && (!key[len] || strchr(".[", key[len])))
            return true;
    }
    return false;
}

/* The member that one part of a key names; "scorers[1]" is an entry of a list. */
static const struct yaml_tree *member(const struct yaml_tree *in, char *part)
{
    char *index = strchr(part, '[');
    if (index)
        *index++ = 0;
    const struct yaml_tree *found = yaml_tree_member(in, part);
    if (!found || !index)
        return found;
    const size_t i = strtoul(index, NULL, 10);
    return found->kind == YAML_LIST && i < found->count ? found->at[i] : NULL;
}

/* The line where key, or the nearest part above it, stands in the file; 0: nowhere. */
static int line_of(const struct recipe_places *places, const char *key)
{
    SCOPED_MEM char *copy = mem_string(key);
    int line = 0;
    const struct yaml_tree *at = places ? places->root : NULL;
    for (char *rest = copy; rest && at;) {
        at = member(at, strsep(&rest, "."));
        line = at ? at->line : line;
    }
    return line;
}

err_t recipe_place(const struct recipe *recipe, const char *key, err_t e)
{
    const int line = line_of(recipe->places, key);
    e = err_wrap(e, "%s", key);
    if (recipe_is_set_on_line(recipe, key))
        return err_wrap(e, "--set");
    if (line && *recipe->file)
        return err_wrap(e, "%s:%d", recipe->file, line);
    return *recipe->file ? err_wrap(e, "%s", recipe->file) : e;
}

err_t recipe_wrong(const struct recipe *recipe, const char *key, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    err_t e = err_field(err_new(ERR_INVALID, "%s", text), key, text);
    free(text);
    return recipe_place(recipe, key, e);
}
