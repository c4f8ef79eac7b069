#include "learner/offline/begun.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <string.h>

enum { BEGUN_MAX_BYTES = 4 << 20, BEGUN_FORMAT = 1 };
static const char FORMAT_NAME[] = "rlhfd-offline-run";

/* ---- settings that decide numbers */

static bool begins(const char *key, const char *with)
{
    return strncmp(key, with, strlen(with)) == 0;
}

static bool changes_no_bit(const char *key)
{
    static const char *const others[] = {"run.on_complete",
                                         "run.mixed_numerics",
                                         "learner.listen",
                                         "learner.admin",
                                         "learner.probes",
                                         "learner.metrics",
                                         "learner.name",
                                         "learner.threads",
                                         "learner.cpus",
                                         "learner.backend",
                                         "learner.device",
                                         "learner.micro_tokens",
                                         "learner.lease_ms",
                                         "learner.lease_grace_ms",
                                         "learner.gradient_checkpointing",
                                         "learner.optimizer.states",
                                         "train.precompute_ref_log_probs",
                                         "data.eval"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(key, others[i]) == 0)
            return true;
    return false;
}

static bool decides_numbers(const char *key)
{
    static const char *const sections[] = {"run.",  "model.",   "lora.",
                                           "data.", "learner.", "train."};
    static const char *const keys[] = {"generator.temperature", "generator.max_tokens",
                                       "rewarder.reference", "rewarder.reference_path"};
    if (changes_no_bit(key))
        return false;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (begins(key, sections[i]))
            return true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

struct looking {
    bool ends_freely; // nothing depends on where the run ends
    char *found;      // the first difference, in words
};

static void look(void *arg, const char *key, const char *begun, const char *now)
{
    struct looking *looking = arg;
    const bool end = strcmp(key, "run.rounds") == 0 && looking->ends_freely;
    if (!looking->found && !end && decides_numbers(key))
        looking->found = mem_printf("%s %s, and now it is %s", key, begun, now);
}

static bool ends_freely(const struct recipe *recipe)
{
    return recipe->train.chunks == 1 && strcmp(recipe->learner.optimizer.schedule, "constant") == 0;
}

/* ---- the file */

static err_t other(const struct recipe *recipe, const char *what)
{
    return err_new(ERR_PRECONDITION,
                   "'%s' was begun with %s: go on with the former, or choose another --run "
                   "directory",
                   recipe->directory, what);
}

static err_t compare_settings(const struct recipe *recipe, const char *path, const char *text)
{
    SCOPED(recipe) begun = NULL;
    const struct recipe_source source = {.run = recipe->directory, .daemon = recipe->daemon};
    TRY(err_wrap(recipe_parse(text, strlen(text), "its settings", ".", &source, &begun), "%s",
                 path));
    struct looking looking = {.ends_freely = ends_freely(recipe)};
    recipe_differences(begun, recipe, look, &looking);
    SCOPED_MEM char *found = looking.found;
    return found ? other(recipe, found) : OK;
}

static err_t compare_text(const struct recipe *recipe, const json_t *file, const char *path,
                          const char *key, const char *now)
{
    const char *begun;
    TRY(json_get_text(file, path, key, &begun));
    SCOPED_MEM char *what = mem_printf("%s %s, and now they are %s", key, begun, now);
    return strcmp(begun, now) == 0 ? OK : other(recipe, what);
}

static err_t compare(const struct recipe *recipe, const char *path, const char *rows,
                     const char *fingerprint)
{
    SCOPED_JSON json_t *file = NULL;
    const char *format, *settings;
    int64_t version;
    TRY(json_read_file(path, BEGUN_MAX_BYTES, &file));
    TRY(json_get_text(file, path, "format", &format));
    TRY(json_get_int(file, path, "format_version", BEGUN_FORMAT, BEGUN_FORMAT, &version));
    TRY(json_get_text(file, path, "settings", &settings));
    if (strcmp(format, FORMAT_NAME) != 0)
        return err_new(ERR_DATA_LOSS, "%s is no file of ours", path);
    TRY(compare_settings(recipe, path, settings));
    TRY(compare_text(recipe, file, path, "rows", rows));
    return compare_text(recipe, file, path, "numerics", fingerprint);
}

static err_t write_begun(const struct recipe *recipe, const char *path, const char *rows,
                         const char *fingerprint)
{
    SCOPED_VALUE(bytes) settings = {0};
    recipe_render(recipe, &settings);
    SCOPED_JSON json_t *file = json_pack("{s:s, s:i, s:s, s:s, s:s%}", "format", FORMAT_NAME,
                                         "format_version", BEGUN_FORMAT, "rows", rows, "numerics",
                                         fingerprint, "settings", settings.data, settings.len);
    if (!file)
        return err_new(ERR_INVALID, "%s: the recipe is not UTF-8", recipe->file);
    SCOPED_MEM char *text = json_dumps(file, JSON_INDENT(2));
    return file_write(path, text, strlen(text));
}

err_t begun_check(const struct recipe *recipe, const struct digest *rows, const char *fingerprint)
{
    char digest[DIGEST_TEXT];
    SCOPED_MEM char *path = file_join(recipe->directory, "train.json");
    digest_text(rows, digest);
    return file_exists(path) ? compare(recipe, path, digest, fingerprint)
                             : write_begun(recipe, path, digest, fingerprint);
}
