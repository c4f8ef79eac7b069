#include "learner/train/checkpoint.h"
#include "base/bytes.h"
#include "base/env.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/files/adapter_config.h"
#include "model/text/tokenizer.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Format 2 has a digest of itself, format 3 a list of trainees: before it there were `files` and
 * the policy alone. */
enum { MANIFEST_OLDEST = 1, MANIFEST_SELF = 2, MANIFEST_FORMAT = 3, MANIFEST_MAX = 1 << 20 };
static const char FORMAT_NAME[] = "rlhfd-checkpoint";

struct checkpoint_tokenizer checkpoint_tokenizer(const char *directory)
{
    struct checkpoint_tokenizer tokenizer = {.directory = directory};
    for (unsigned i = 0; tokenizer_file(i); i++) {
        SCOPED_MEM char *path = file_join(directory, tokenizer_file(i));
        tokenizer.files |= file_exists(path) ? 1U << i : 0;
    }
    return tokenizer;
}

/* Of files that name special tokens; tokenizers of transformers pad as these say, and a score is
 * read at the last token that is not the model's own. */
static err_t name_pad(const char *path, const char *pad)
{
    enum { FILE_MAX = 64 << 20 };
    SCOPED_JSON json_t *names = NULL;
    TRY(json_read_file(path, FILE_MAX, &names));
    json_t *token = json_string(pad);
    if (!token)
        return err_new(ERR_INVALID, "'%s': the token that pads is not UTF-8", path);
    json_object_set_new(names, "pad_token", token);
    SCOPED_MEM char *text = json_dumps(names, JSON_INDENT(2));
    return file_write(path, text, strlen(text));
}

static bool names_tokens(const char *file)
{
    return strcmp(file, "tokenizer_config.json") == 0 ||
           strcmp(file, "special_tokens_map.json") == 0;
}

err_t checkpoint_copy_tokenizer(const struct checkpoint_tokenizer *from, const char *to_directory)
{
    for (unsigned i = 0; tokenizer_file(i); i++) {
        SCOPED_MEM char *path = file_join(from->directory, tokenizer_file(i));
        SCOPED_MEM char *to = file_join(to_directory, tokenizer_file(i));
        if (from->files >> i & 1)
            TRY(err_wrap(file_copy(path, to), "'%s' had %s at the start", from->directory,
                         tokenizer_file(i)));
        if (from->pad && from->files >> i & 1 && names_tokens(tokenizer_file(i)))
            TRY(name_pad(to, from->pad));
    }
    return OK;
}

/* ---- files and their digests */

char *checkpoint_trainee(const char *path, const struct trainee_digests *trainees, const char *name)
{
    return strcmp(name, trainees->at[0].name) == 0 ? mem_string(path) : file_join(path, name);
}

static bool is_directory(const char *path)
{
    struct stat status;
    return !stat(path, &status) && S_ISDIR(status.st_mode);
}

/* Of the files right in it. */
static err_t digests_of(const char *directory, json_t *files)
{
    SCOPED_VALUE(file_names) names = {0};
    TRY(file_names(directory, &names));
    for (size_t i = 0; i < names.count; i++) {
        struct digest digest;
        char text[DIGEST_TEXT];
        SCOPED_MEM char *path = file_join(directory, names.at[i]);
        if (names.at[i][0] == '.' || is_directory(path))
            continue;
        TRY(file_digest(path, &digest));
        json_object_set_new(files, names.at[i], json_string(digest_text(&digest, text)));
    }
    return OK;
}

static err_t check_files(const char *directory, const json_t *files)
{
    const char *name;
    json_t *want;
    json_object_foreach ((json_t *)files, name, want) {
        struct digest digest;
        char text[DIGEST_TEXT];
        SCOPED_MEM char *path = file_join(directory, name);
        if (strchr(name, '/'))
            return err_new(ERR_DATA_LOSS, "'%s': manifest names '%s'", directory, name);
        TRY(file_digest(path, &digest));
        if (!json_is_string(want) ||
            strcmp(json_string_value(want), digest_text(&digest, text)) != 0)
            return err_new(ERR_DATA_LOSS, "'%s' is damaged: its digest is %s", path, text);
    }
    return OK;
}

/* ---- the manifest */

/* Of all its members but the digest itself, in an order of their own. */
static struct digest manifest_digest(json_t *manifest)
{
    SCOPED_JSON json_t *rest = json_copy(manifest);
    json_object_del(rest, "digest");
    SCOPED_MEM char *text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    return hash128(text, strlen(text), 0);
}

/* Those that are set: a run that keeps none has a manifest as before. */
static void list_running(const struct running *running, json_t *manifest)
{
    json_t *set = json_object();
    for (size_t i = 0; i < RUNNING_COUNT; i++)
        if (running->set[i])
            json_object_set_new(set, running_name((enum running_value)i),
                                json_real(running->at[i]));
    if (json_object_size(set))
        json_object_set_new(manifest, "running", set);
    else
        json_decref(set);
}

static err_t list_trainees(const char *directory, const struct trainee_digests *trainees,
                           json_t *list)
{
    for (size_t i = 0; i < trainees->count; i++) {
        char text[DIGEST_TEXT];
        json_t *files = json_object();
        SCOPED_MEM char *from = checkpoint_trainee(directory, trainees, trainees->at[i].name);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o}", "name", trainees->at[i].name, "weights",
                            digest_text(&trainees->at[i].weights, text), "files", files));
        TRY(digests_of(from, files));
    }
    return OK;
}

/* `weights` are the policy's once more, for those who look for no more than that. */
static err_t manifest_write(const char *directory, const struct checkpoint_info *info)
{
    char text[DIGEST_TEXT];
    json_t *trainees = json_array();
    SCOPED_JSON json_t *manifest = json_pack(
        "{s:s, s:i, s:s, s:I, s:I, s:I, s:s, s:f, s:o}", "format", FORMAT_NAME, "format_version",
        MANIFEST_FORMAT, "run", info->run, "lineage", (json_int_t)info->lineage, "round",
        (json_int_t)info->round, "version", (json_int_t)info->version, "weights",
        digest_text(&info->trainees.at[0].weights, text), "kl_coef", info->kl_coef, "trainees",
        trainees);
    if (!manifest)
        return err_new(ERR_INVALID, "run name '%s' is not UTF-8", info->run);
    TRY(list_trainees(directory, &info->trainees, trainees));
    list_running(&info->running, manifest);
    struct digest digest = manifest_digest(manifest);
    json_object_set_new(manifest, "digest", json_string(digest_text(&digest, text)));
    SCOPED_MEM char *path = file_join(directory, "manifest.json");
    SCOPED_MEM char *json = json_dumps(manifest, JSON_INDENT(2));
    return file_write(path, json, strlen(json));
}

static err_t manifest_check(json_t *manifest, const char *path)
{
    char text[DIGEST_TEXT];
    const char *want;
    const struct digest digest = manifest_digest(manifest);
    TRY(json_get_text(manifest, path, "digest", &want));
    if (strcmp(want, digest_text(&digest, text)) != 0)
        return err_new(ERR_DATA_LOSS, "'%s' is damaged: its digest is %s", path, text);
    return OK;
}

static err_t digest_parse(const char *text, const char *path, struct digest *ret)
{
    for (int i = 0; i < 16; i++)
        if (strlen(text) != DIGEST_TEXT - 1 || sscanf(text + 2 * i, "%2hhx", &ret->byte[i]) != 1)
            return err_new(ERR_DATA_LOSS, "%s: 'weights' is no digest", path);
    return OK;
}

static err_t parse_trainee(const json_t *entry, const char *path, struct trainee_digests *ret)
{
    const char *name, *weights;
    TRY(json_get_text(entry, path, "name", &name));
    TRY(json_get_text(entry, path, "weights", &weights));
    if (ret->count == TRAINEES_MAX || !trainee_name_is(name) || trainee_digests_find(ret, name))
        return err_new(ERR_DATA_LOSS, "%s: trainee '%.40s' cannot be one", path, name);
    struct trainee_digest *trainee = &ret->at[ret->count++];
    snprintf(trainee->name, sizeof trainee->name, "%s", name);
    return digest_parse(weights, path, &trainee->weights);
}

/* As format 3 has it, whatever the format. */
static void upgrade(json_t *manifest)
{
    json_object_set_new(manifest, "trainees",
                        json_pack("[{s:s, s:O, s:O}]", "name", "policy", "weights",
                                  json_object_get(manifest, "weights"), "files",
                                  json_object_get(manifest, "files")));
}

static err_t parse_trainees(json_t *manifest, const char *path, struct trainee_digests *ret)
{
    size_t i;
    json_t *entry;
    const json_t *list = json_object_get(manifest, "trainees");
    json_array_foreach ((json_t *)list, i, entry)
        TRY(parse_trainee(entry, path, ret));
    return ret->count ? OK : err_new(ERR_DATA_LOSS, "%s names no trainee", path);
}

/* A value that is not known here is another build's, and training would go on without it. */
static err_t parse_running(const json_t *manifest, const char *path, struct running *ret)
{
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(manifest, "running"), name, value) {
        enum running_value at;
        if (!running_find(name, &at))
            return err_new(ERR_PRECONDITION,
                           "%s has the running value '%.40s', which this build does not keep: go "
                           "on with the build that made it",
                           path, name);
        if (!json_is_number(value))
            return err_new(ERR_DATA_LOSS, "%s: running value '%s' is no number", path, name);
        running_set(ret, at, json_number_value(value));
    }
    return OK;
}

static err_t parse_info(json_t *manifest, const char *path, struct checkpoint_info *ret)
{
    const char *run;
    int64_t lineage, round, version;
    struct checkpoint_info info = {0};
    TRY(json_get_text(manifest, path, "run", &run));
    TRY(json_get_int(manifest, path, "lineage", 0, UINT32_MAX, &lineage));
    TRY(json_get_int(manifest, path, "round", 0, INT64_MAX, &round));
    TRY(json_get_int(manifest, path, "version", 0, INT64_MAX, &version));
    TRY(json_get_number_or(manifest, path, "kl_coef", &info.kl_coef));
    if (strlen(run) >= CHECKPOINT_RUN_MAX)
        return err_new(ERR_DATA_LOSS, "%s is no manifest of ours", path);
    TRY(parse_running(manifest, path, &info.running));
    TRY(parse_trainees(manifest, path, &info.trainees));
    snprintf(info.run, sizeof info.run, "%s", run);
    info.lineage = (uint32_t)lineage;
    info.round = (uint64_t)round;
    info.version = (uint64_t)version;
    *ret = info;
    return OK;
}

static err_t manifest_parse(const char *directory, json_t **ret_manifest,
                            struct checkpoint_info *ret)
{
    SCOPED_MEM char *path = file_join(directory, "manifest.json");
    SCOPED_JSON json_t *manifest = NULL;
    const char *format;
    int64_t version;
    TRY(json_read_file(path, MANIFEST_MAX, &manifest));
    TRY(json_get_text(manifest, path, "format", &format));
    TRY(json_get_int(manifest, path, "format_version", MANIFEST_OLDEST, MANIFEST_FORMAT, &version));
    if (strcmp(format, FORMAT_NAME) != 0)
        return err_new(ERR_DATA_LOSS, "%s is no manifest of ours", path);
    if (version >= MANIFEST_SELF)
        TRY(manifest_check(manifest, path));
    if (version < MANIFEST_FORMAT)
        upgrade(manifest);
    TRY(parse_info(manifest, path, ret));
    *ret_manifest = STEAL(manifest);
    return OK;
}

err_t checkpoint_manifest(const char *path, struct checkpoint_info *ret)
{
    SCOPED_JSON json_t *manifest = NULL;
    return manifest_parse(path, &manifest, ret);
}

static err_t check_named(const char *path, const json_t *files, const char *name)
{
    return json_object_get(files, name)
               ? OK
               : err_new(ERR_DATA_LOSS, "'%s' is not whole: its manifest does not name %s", path,
                         name);
}

/* The files that a restart reads, those of Hugging Face's or PEFT's directory; of the policy the
 * tokenizer, too. */
static err_t check_complete(const char *path, const json_t *files, unsigned tokenizer)
{
    static const char *const needed[2][3] = {
        {"config.json", "model.safetensors", "optimizer.safetensors"},
        {ADAPTER_CONFIG, ADAPTER_WEIGHTS, "optimizer.safetensors"}};
    const bool adapter = json_object_get(files, ADAPTER_CONFIG);
    for (size_t i = 0; i < sizeof needed[0] / sizeof *needed[0]; i++)
        TRY(check_named(path, files, needed[adapter][i]));
    for (unsigned i = 0; tokenizer_file(i); i++)
        if (tokenizer >> i & 1)
            TRY(check_named(path, files, tokenizer_file(i)));
    return OK;
}

err_t checkpoint_read(const char *path, unsigned tokenizer, struct checkpoint_info *ret)
{
    SCOPED_JSON json_t *manifest = NULL;
    struct checkpoint_info info;
    TRY(manifest_parse(path, &manifest, &info));
    const json_t *list = json_object_get(manifest, "trainees");
    for (size_t i = 0; i < info.trainees.count; i++) {
        SCOPED_MEM char *directory =
            checkpoint_trainee(path, &info.trainees, info.trainees.at[i].name);
        const json_t *files = json_object_get(json_array_get(list, i), "files");
        TRY(check_complete(directory, files, i ? 0 : tokenizer));
        TRY(check_files(directory, files));
    }
    *ret = info;
    return OK;
}

/* ---- the directory of them */

err_t checkpoint_newest(const char *run_directory, const struct checkpoint_list *list,
                        unsigned tokenizer, char **ret_path, char **ret_damaged,
                        struct checkpoint_info *ret_info)
{
    *ret_path = *ret_damaged = NULL;
    for (size_t i = 0; i < list->count; i++) {
        SCOPED_MEM char *path = checkpoint_path(run_directory, list->version[i]);
        err_t failed = checkpoint_read(path, tokenizer, ret_info);
        if (!err_failed(failed)) {
            *ret_path = STEAL(path);
            return OK;
        }
        if (!*ret_damaged)
            *ret_damaged = mem_string(err_message(failed));
        err_free(failed);
    }
    return OK;
}

static err_t point_latest(const char *directory, uint64_t version)
{
    SCOPED_MEM char *aside = file_join(directory, "latest.tmp");
    SCOPED_MEM char *latest = file_join(directory, "latest");
    SCOPED_MEM char *name = mem_printf("v%" PRIu64, version);
    if (env()->remove(aside) && errno != ENOENT)
        return err_errno(errno, "cannot remove '%s'", aside);
    if (env()->symlink(name, aside) || env()->rename(aside, latest))
        return err_errno(errno, "cannot point '%s' at '%s'", latest, name);
    return file_sync_directory(directory);
}

err_t checkpoint_set_aside(const char *run_directory, const struct checkpoint_info *info)
{
    SCOPED_MEM char *directory = file_join(run_directory, "checkpoints");
    SCOPED_MEM char *path = checkpoint_path(run_directory, info->version);
    SCOPED_MEM char *aside =
        mem_printf("%s/cut-off-%" PRIu32 "-v%" PRIu64, directory, info->lineage, info->version);
    SCOPED_VALUE(checkpoint_list) left = {0};
    TRY(file_remove_tree(aside));
    if (env()->rename(path, aside))
        return err_errno(errno, "cannot rename '%s'", path);
    TRY(file_sync_directory(directory));
    TRY(checkpoint_list(run_directory, &left));
    return left.count ? point_latest(directory, left.version[0]) : OK;
}

static err_t write_trainee(const char *directory, const struct trainee *trainee)
{
    SCOPED_MEM char *state = file_join(directory, "optimizer.safetensors");
    TRY(file_make_directories(directory));
    TRY(model_write(model_trained(trainee->model), directory));
    return optimizer_save(trainee->optimizer, state);
}

static err_t write_aside(const char *aside, const struct trainees *trainees,
                         const struct checkpoint_tokenizer *tokenizer,
                         const struct checkpoint_info *info)
{
    TRY(file_remove_tree(aside));
    for (size_t i = 0; i < trainees->count; i++) {
        SCOPED_MEM char *directory =
            checkpoint_trainee(aside, &info->trainees, info->trainees.at[i].name);
        TRY(write_trainee(directory, &trainees->at[i]));
        if (i) // the policy's is synced when all is there
            TRY(file_sync_directory(directory));
    }
    TRY(checkpoint_copy_tokenizer(tokenizer, aside));
    TRY(manifest_write(aside, info));
    return file_sync_directory(aside);
}

/* Whether this very checkpoint is there and whole: after a restart that trained nothing. Removing
 * it first, to write the same again, would leave a moment with no checkpoint at all. */
static bool is_there(const char *path, unsigned tokenizer, const struct checkpoint_info *info)
{
    struct checkpoint_info there;
    err_t failed = checkpoint_read(path, tokenizer, &there);
    bool same = !err_failed(failed) && there.round == info->round &&
                there.version == info->version &&
                !trainee_digests_differ(&there.trainees, &info->trainees) &&
                strcmp(there.run, info->run) == 0; // an ancestor's, too: before a fork it is ours
    err_free(failed);
    return same;
}

/* Out of the list by one rename, so that no name leads to a part of a checkpoint. */
static err_t take_away(const char *directory, const char *path)
{
    SCOPED_MEM char *going = file_join(directory, "removing");
    TRY(file_remove_tree(going));
    if (env()->rename(path, going) && errno != ENOENT)
        return err_errno(errno, "cannot rename '%s'", path);
    return file_remove_tree(going);
}

static err_t keep_newest(const char *run_directory, const char *directory, int keep)
{
    SCOPED_VALUE(checkpoint_list) found = {0};
    TRY(checkpoint_list(run_directory, &found));
    for (size_t i = (size_t)keep; i < found.count; i++) {
        SCOPED_MEM char *old = checkpoint_path(run_directory, found.version[i]);
        TRY(take_away(directory, old));
    }
    return OK;
}

err_t checkpoint_write(const char *run_directory, const struct trainees *trainees,
                       const struct checkpoint_tokenizer *tokenizer,
                       const struct checkpoint_info *info, int keep)
{
    SCOPED_MEM char *directory = file_join(run_directory, "checkpoints");
    SCOPED_MEM char *aside = file_join(directory, "writing");
    SCOPED_MEM char *path = checkpoint_path(run_directory, info->version);
    if (is_there(path, tokenizer->files, info)) {
        TRY(point_latest(directory, info->version));
        return keep_newest(run_directory, directory, keep);
    }
    TRY(file_make_directories(directory));
    err_t failed = write_aside(aside, trainees, tokenizer, info);
    if (err_failed(failed)) {
        err_free(file_remove_tree(aside));
        return err_wrap(failed, "checkpoint of version %" PRIu64, info->version);
    }
    TRY(take_away(directory, path)); // a damaged one of this version, or another run's
    if (env()->rename(aside, path))
        return err_errno(errno, "cannot rename '%s'", aside);
    TRY(file_sync_directory(directory));
    TRY(point_latest(directory, info->version));
    return keep_newest(run_directory, directory, keep);
}
