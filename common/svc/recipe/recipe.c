#include "svc/recipe/recipe.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/printable.h"
#include "svc/recipe/recipe_check.h"
#include "svc/recipe/recipe_options.h"
#include "svc/recipe/recipe_place.h"
#include "svc/recipe/recipe_words.h"
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where values are being read from, for errors. */
struct place {
    const char *file; // NULL: --set
    int line;
};

static err_t at_place(err_t e, struct place place, const char *key)
{
    return place.file ? err_wrap(e, "%s:%d: %s", place.file, place.line, key)
                      : err_wrap(e, "--set: %s", key);
}

static struct place place_of(struct place in, const struct yaml_tree *value)
{
    return (struct place){.file = in.file, .line = value->line};
}

static err_t set_value(const struct recipe_option *row, void *group, const char *path,
                       const struct yaml_tree *value, struct place place);

/* Other trainers nest their keys in sections that we lack: the first one below that is known
 * answers for all. */
static err_t answer_words(const char *path, const struct yaml_tree *value, struct place place)
{
    TRY(at_place(recipe_word_answer(path), place_of(place, value), path));
    for (size_t i = 0; value->kind == YAML_MAP && i < value->count; i++) {
        SCOPED_MEM char *below = mem_printf("%s.%.100s", path, value->key[i]);
        TRY(answer_words(below, value->at[i], place));
    }
    return OK;
}

static err_t unknown_key(struct option_rows rows, const char *prefix, const char *key,
                         const struct yaml_tree *value, struct place place)
{
    SCOPED_MEM char *path = mem_printf("%s%.100s", prefix, key);
    const char *leaf = key;
    TRY(answer_words(path, value, place));
    for (const struct yaml_tree *at = value; at->kind == YAML_MAP && at->count; at = at->at[0])
        leaf = at->key[0];
    return at_place(option_unknown(rows, prefix, key, leaf), place_of(place, value), path);
}

static err_t set_map(struct option_rows rows, void *group, const char *path,
                     const struct yaml_tree *map, struct place place)
{
    if (map->kind != YAML_MAP)
        return at_place(err_new(ERR_INVALID, "%s is not a map; allowed: key: value",
                                yaml_tree_is_null(map) ? "nothing" : yaml_tree_kind_name(map)),
                        place, *path ? path : "recipe");
    for (size_t i = 0; i < map->count; i++) {
        const struct yaml_tree *value = map->at[i];
        SCOPED_MEM char *prefix = *path ? mem_printf("%s.", path) : mem_string("");
        SCOPED_MEM char *below = mem_printf("%s%.100s", prefix, map->key[i]);
        const struct recipe_option *row = option_find(rows, map->key[i]);
        if (!row)
            return unknown_key(rows, prefix, map->key[i], value, place);
        TRY(set_value(row, group, below, value, place_of(place, value)));
    }
    return OK;
}

static void set_defaults(struct option_rows rows, void *group);

/* Of the entry's keys those that svc reads; the others are its stage's. */
static err_t set_scorer(const char *path, const struct yaml_tree *value, struct place place,
                        struct recipe_scorer *scorer)
{
    struct option_rows rows = option_scorer();
    set_defaults(rows, scorer);
    if (value->kind != YAML_MAP)
        return set_map(rows, scorer, path, value, place); // which says so
    for (size_t i = 0; i < value->count; i++) {
        const struct recipe_option *row = option_find(rows, value->key[i]);
        SCOPED_MEM char *below = mem_printf("%s.%.100s", path, value->key[i]);
        if (row)
            TRY(set_value(row, scorer, below, value->at[i], place_of(place, value->at[i])));
    }
    if (!*scorer->kind)
        return at_place(
            err_new(ERR_INVALID, "the entry has no kind; 'rlhfctl recipe' lists the stages"), place,
            path);
    return at_place(option_copy_entry(value, &scorer->entry), place, path);
}

/* A path, or a map that has one. */
static err_t set_file(const char *path, const struct yaml_tree *value, struct place place,
                      struct mixture_file *file)
{
    const struct option_rows rows = option_file();
    set_defaults(rows, file);
    if (value->kind == YAML_MAP)
        TRY(set_map(rows, file, path, value, place));
    else
        TRY(at_place(option_set(option_find(rows, "path"), file, value), place, path));
    return *file->path ? OK : at_place(err_new(ERR_INVALID, "the entry has no path"), place, path);
}

static err_t set_files(const struct recipe_option *row, void *group, const char *path,
                       const struct yaml_tree *value, struct place place)
{
    const bool list = value->kind == YAML_LIST;
    const size_t count = list ? value->count : 1;
    if (list && (count < 1 || count > RECIPE_FILES))
        return at_place(err_new(ERR_INVALID, "a list of %zu; allowed: a list of 1 to %d files",
                                count, RECIPE_FILES),
                        place, path);
    struct recipe_files *to = (void *)((char *)group + row->offset);
    option_free(row, group);
    if (value->kind == YAML_SCALAR && !*value->text && !yaml_tree_is_null(value))
        return OK; // not set, as it is rendered
    to->at = mem_array(count, sizeof *to->at);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_tree *at = list ? value->at[i] : value;
        SCOPED_MEM char *below = list ? mem_printf("%s[%zu]", path, i) : mem_string(path);
        to->count++;
        TRY(set_file(below, at, place_of(place, at), &to->at[i]));
    }
    return OK;
}

static err_t set_scorers(const struct recipe_option *row, void *group, const char *path,
                         const struct yaml_tree *value, struct place place)
{
    if (value->kind != YAML_LIST)
        return at_place(err_new(ERR_INVALID, "is %s; allowed: a list of up to %d maps",
                                yaml_tree_kind_name(value), RECIPE_SCORERS),
                        place, path);
    if (value->count > RECIPE_SCORERS)
        return at_place(err_new(ERR_INVALID, "a list of %zu; allowed: a list of up to %d maps",
                                value->count, RECIPE_SCORERS),
                        place, path);
    struct recipe_scorers *to = (void *)((char *)group + row->offset);
    option_free(row, group); // a later value replaces the list; on error the whole recipe goes
    to->at = mem_array(value->count, sizeof *to->at);
    for (size_t i = 0; i < value->count; i++) {
        SCOPED_MEM char *below = mem_printf("%s[%zu]", path, i);
        to->count++;
        TRY(set_scorer(below, value->at[i], place_of(place, value->at[i]), &to->at[i]));
    }
    return OK;
}

static err_t set_value(const struct recipe_option *row, void *group, const char *path,
                       const struct yaml_tree *value, struct place place)
{
    if (row->kind == OPTION_group)
        return set_map(row->rows(), (char *)group + row->offset, path, value, place);
    if (row->kind == OPTION_scorers && !yaml_tree_is_null(value))
        return set_scorers(row, group, path, value, place);
    if (row->kind == OPTION_files && !yaml_tree_is_null(value))
        return set_files(row, group, path, value, place);
    return at_place(option_set(row, group, value), place, path);
}

static void set_defaults(struct option_rows rows, void *group)
{
    for (size_t i = 0; i < rows.count; i++) {
        const struct recipe_option *row = &rows.row[i];
        if (row->kind == OPTION_group)
            set_defaults(row->rows(), (char *)group + row->offset);
        else
            option_set_default(row, group);
    }
}

/* "section.key=value": one value is taken as it stands; maps and lists are YAML. */
static err_t set_override(struct recipe *recipe, const char *set)
{
    const char *equals = strchr(set, '=');
    if (!equals)
        return err_new(ERR_INVALID, "--set: '%.100s' has no '='; it must be section.key=value",
                       set);
    SCOPED_MEM char *key = mem_copy(set, (size_t)(equals - set) + 1);
    key[equals - set] = 0;
    const struct recipe_option *row = NULL;
    size_t base = 0;
    struct place place = {0};
    TRY(at_place(option_require(key, &row, &base), place, key));
    void *group = (char *)recipe + base;
    const char *text = equals + 1;
    if (row->kind == OPTION_files && *text != '[' && *text != '{')
        return set_value(row, group, key, &(struct yaml_tree){.text = (char *)text, .quoted = true},
                         place);
    if (row->kind != OPTION_group && row->kind != OPTION_pair && row->kind != OPTION_texts &&
        row->kind != OPTION_stage && row->kind != OPTION_scorers && row->kind != OPTION_files)
        return at_place(option_set_text(row, group, text, false), place, key);
    SCOPED(yaml_tree) value = NULL;
    SCOPED_MEM char *name = mem_printf("--set: %s", key);
    TRY(yaml_tree_parse(text, strlen(text), name, &value));
    return set_value(row, group, key, value, place);
}

/* What paths are resolved against. */
struct resolve {
    struct recipe *recipe;
    const char *beside; // the recipe's directory, absolute
};

/* A path is written into recipes, JSON and messages of the wire. */
static err_t check_path(const char *key, const char *path)
{
    return utf8_is(path) ? OK
                         : err_new(ERR_INVALID, "%s: '%.200s': the path must be UTF-8", key, path);
}

static err_t resolve_one(const struct resolve *resolve, const char *path, bool output, char **at)
{
    if (!**at || **at == '/')
        return OK;
    const char *run = resolve->recipe->directory;
    SCOPED_MEM char *in_run = *run ? file_join(run, *at) : NULL;
    bool use_run = in_run && (output || file_exists(in_run));
    char *resolved = use_run ? STEAL(in_run) : file_join(resolve->beside, *at);
    free(*at);
    *at = resolved;
    return check_path(path, resolved);
}

/* Lists of words of a scorer's entry that may name files: those that begin with ./ or ../ do. */
static err_t resolve_words(const struct resolve *resolve, const char *path, struct yaml_tree *entry)
{
    for (size_t k = 0; k < entry->count; k++) {
        struct yaml_tree *list = entry->at[k];
        const bool is_named =
            strcmp(entry->key[k], "command") == 0 || strcmp(entry->key[k], "read") == 0;
        for (size_t i = 0; is_named && list->kind == YAML_LIST && i < list->count; i++) {
            struct yaml_tree *word = list->at[i];
            if (word->kind == YAML_SCALAR &&
                (strncmp(word->text, "./", 2) == 0 || strncmp(word->text, "../", 3) == 0))
                TRY(resolve_one(resolve, path, false, &word->text));
        }
    }
    return OK;
}

static err_t resolve_path(void *arg, const char *path, const struct recipe_option *row, size_t base)
{
    const struct resolve *resolve = arg;
    void *field = (char *)resolve->recipe + base + row->offset;
    const struct recipe_files *files = field;
    const struct recipe_scorers *scorers = field;
    if (row->kind == OPTION_path || row->kind == OPTION_output)
        return resolve_one(resolve, path, row->kind == OPTION_output, field);
    for (size_t i = 0; row->kind == OPTION_files && i < files->count; i++)
        TRY(resolve_one(resolve, path, false, &files->at[i].path));
    for (size_t i = 0; row->kind == OPTION_scorers && i < scorers->count; i++)
        if (scorers->at[i].entry)
            TRY(resolve_words(resolve, path, scorers->at[i].entry));
    return OK;
}

/* An absolute name of an existing directory, or of one to be made in the working directory;
 * owned. */
static char *absolute(const char *path)
{
    char *real = realpath(path, NULL);
    if (real)
        return real;
    SCOPED_MEM char *here = getcwd(NULL, 0);
    return file_join(here ? here : ".", path);
}

static err_t fill(struct recipe *recipe, const struct yaml_tree *root, const char *name,
                  const char *directory, const struct recipe_source *source)
{
    set_defaults(option_root(), recipe);
    recipe->file = mem_string(name);
    recipe->daemon = source->daemon;
    recipe->directory = source->run ? absolute(source->run) : mem_string("");
    TRY(check_path("--run", recipe->directory));
    TRY(set_map(option_root(), recipe, "", root, (struct place){.file = name, .line = root->line}));
    for (size_t i = 0; i < source->sets_count; i++)
        TRY(set_override(recipe, source->sets[i]));
    if (!*recipe->sft.output) {
        free(recipe->sft.output);
        recipe->sft.output =
            mem_string(recipe->model.path); // before that is resolved: it need not exist yet
    }
    TRY(recipe_check(recipe));
    SCOPED_MEM char *beside = absolute(directory);
    return option_each(resolve_path, &(struct resolve){recipe, beside});
}

/* Keys and values that errors quote may hold line breaks; an error is one line. */
static err_t in_one_line(err_t e)
{
    SCOPED_MEM char *message = mem_string(err_message(e));
    size_t changed = 0;
    for (char *p = message; *p; p++)
        if (iscntrl((unsigned char)*p)) {
            *p = ' ';
            changed++;
        }
    if (!err_failed(e) || !changed)
        return e;
    err_t clean = err_new(err_code(e), "%s", message);
    err_free(e);
    return clean;
}

static err_t read_text(const char *text, size_t len, const char *name, const char *directory,
                       const struct recipe_source *source, struct recipe **ret)
{
    static const struct recipe_source nothing = {0};
    struct yaml_tree *root = NULL;
    SCOPED(recipe) recipe = mem_new(sizeof *recipe);
    source = source ? source : &nothing;
    TRY(yaml_tree_parse(text, len, name, &root));
    recipe->places = recipe_places_new(root, source);
    TRY(fill(recipe, root, name, directory, source));
    *ret = STEAL(recipe);
    return OK;
}

err_t recipe_parse(const char *text, size_t len, const char *name, const char *directory,
                   const struct recipe_source *source, struct recipe **ret)
{
    return in_one_line(read_text(text, len, name, directory, source, ret));
}

err_t recipe_read(const struct recipe_source *source, struct recipe **ret)
{
    if (!source->file)
        return recipe_parse("", 0, "", ".", source, ret);
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *opened =
        source->descriptor ? mem_printf("/proc/self/fd/%s", source->descriptor) : NULL;
    TRY(file_read(opened ? opened : source->file, YAML_BYTES, &text));
    SCOPED_MEM char *directory = mem_string(source->file);
    char *slash = strrchr(directory, '/');
    if (slash)
        *(slash == directory ? slash + 1 : slash) = 0;
    return recipe_parse((const char *)text.data, text.len, source->file, slash ? directory : ".",
                        source, ret);
}

static err_t free_value(void *arg, const char *path, const struct recipe_option *row, size_t base)
{
    (void)path;
    option_free(row, (char *)arg + base);
    return OK;
}

void recipe_free(struct recipe *recipe)
{
    if (!recipe)
        return;
    err_free(option_each(free_value, recipe));
    recipe_places_free(recipe->places);
    free(recipe->file);
    free(recipe->directory);
    free(recipe);
}
