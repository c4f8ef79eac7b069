#include "ctl/words/context.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/printable.h"
#include "svc/address.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/suggest.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20, NAMES_MAX = 256, NAME_MAX_LEN = 64 };

/* ---- contexts.json */

char *contexts_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config == '/')
        return file_join(config, "rlhfd/contexts.json");
    return mem_printf("%s/.config/rlhfd/contexts.json", home && *home ? home : "");
}

err_t contexts_read(json_t **ret)
{
    SCOPED_MEM char *path = contexts_path();
    SCOPED_JSON json_t *contexts = NULL;
    if (!file_exists(path)) {
        *ret = json_pack("{s:s, s:{}}", "current", "", "contexts");
        return OK;
    }
    TRY(json_read_file(path, FILE_MAX_BYTES, &contexts));
    if (!json_is_object(json_object_get(contexts, "contexts")))
        return err_new(ERR_INVALID, "%s: 'contexts' is no object", path);
    *ret = STEAL(contexts);
    return OK;
}

err_t contexts_write(const json_t *contexts)
{
    SCOPED_MEM char *path = contexts_path();
    SCOPED_MEM char *text = json_dumps(contexts, JSON_INDENT(2));
    SCOPED_MEM char *directory = mem_printf("%.*s", (int)(strrchr(path, '/') - path), path);
    TRY(file_make_directories(directory));
    return file_write(path, text, strlen(text));
}

static err_t no_context(const json_t *contexts, const char *name)
{
    const char *names[NAMES_MAX], *key;
    size_t count = 0;
    json_t *value;
    json_object_foreach (json_object_get(contexts, "contexts"), key, value)
        if (count < NAMES_MAX)
            names[count++] = key;
    const char *meant = suggest(name, names, count);
    return err_new(ERR_NOT_FOUND, "no context '%s'%s%s%s", name, meant ? "; did you mean '" : "",
                   meant ? meant : "", meant ? "'?" : "; `rlhfctl context list` shows them");
}

/* A directory by its whole path: commands are run from anywhere. */
static err_t whole_path(const char *flag, const char *path, char **ret)
{
    SCOPED_MEM char *whole = path ? realpath(path, NULL) : NULL;
    if (path && !whole)
        return err_errno(errno, "%s '%s'", flag, path);
    if (whole && !utf8_is(whole))
        return err_new(ERR_INVALID, "%s '%s': its path '%s' is not UTF-8", flag, path, whole);
    *ret = STEAL(whole);
    return OK;
}

err_t contexts_add(json_t *contexts, const char *name, const char *run, const char *address,
                   const char *tls)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (!*name || strspn(name, letters) != strlen(name) || strlen(name) > NAME_MAX_LEN ||
        *name == '-')
        return err_new(ERR_INVALID,
                       "context '%s': allowed: at most %d letters, digits, and . _ - inside", name,
                       NAME_MAX_LEN);
    if (!run == !address)
        return err_new(ERR_INVALID, "context '%s': one of --run and --address is needed", name);
    struct address parsed;
    if (address)
        TRY(err_wrap(address_parse(address, &parsed), "--address"));
    SCOPED_MEM char *directory = NULL;
    SCOPED_MEM char *keys = NULL;
    TRY(whole_path("--run", run, &directory));
    TRY(whole_path("--tls", tls, &keys));
    json_object_set_new(
        json_object_get(contexts, "contexts"), name,
        json_pack("{s:s, s:s*}", run ? "run" : "address", run ? directory : address, "tls", keys));
    const char *current = json_string_value(json_object_get(contexts, "current"));
    return current && *current ? OK : contexts_use(contexts, name);
}

err_t contexts_use(json_t *contexts, const char *name)
{
    if (!json_object_get(json_object_get(contexts, "contexts"), name))
        return no_context(contexts, name);
    json_object_set_new(contexts, "current", json_string(name));
    return OK;
}

err_t contexts_remove(json_t *contexts, const char *name)
{
    if (json_object_del(json_object_get(contexts, "contexts"), name) != 0)
        return no_context(contexts, name);
    const char *current = json_string_value(json_object_get(contexts, "current"));
    if (current && strcmp(current, name) == 0)
        json_object_set_new(contexts, "current", json_string(""));
    return OK;
}

/* ---- the daemons of a run */

static struct target_daemon *daemon_named(struct target *target, const char *name)
{
    for (size_t i = 0; i < target->count; i++)
        if (strcmp(target->daemon[i].name, name) == 0)
            return &target->daemon[i];
    return NULL;
}

/* A learner that is known by its admin address alone has metrics where the recipe's defaults put
 * them. */
static char *metrics_beside(const char *admin)
{
    char *address = NULL;
    err_free(address_derive(admin, ADDRESS_METRICS - ADDRESS_ADMIN, &address));
    return address ? address : mem_string(admin);
}

static void add_daemon(struct target *target, const char *name, const char *address,
                       const char *metrics)
{
    struct target_daemon *known = daemon_named(target, name);
    if (known) {
        mem_free(known->address);
        mem_free(known->metrics);
        known->address = mem_string(address);
        known->metrics = metrics ? mem_string(metrics) : metrics_beside(address);
        return;
    }
    if (target->count == TARGET_DAEMONS_MAX)
        return;
    struct target_daemon *daemon = &target->daemon[target->count++];
    daemon->name = mem_string(name);
    daemon->address = mem_string(address);
    daemon->metrics = metrics ? mem_string(metrics) : metrics_beside(address);
}

/* `up` writes the recipe there, with whole paths. A recipe of another build may have keys that are
 * not known here: then --tls has to say it. */
static char *tls_of_run(const char *run)
{
    SCOPED_MEM char *path = file_join(run, "recipe.yaml");
    SCOPED(recipe) recipe = NULL;
    err_free(recipe_read(&(struct recipe_source){.file = path}, &recipe));
    return recipe && *recipe->net.tls ? mem_string(recipe->net.tls) : NULL;
}

static err_t of_run(const char *run, struct target *target)
{
    SCOPED_MEM char *path = file_join(run, "endpoints.json");
    SCOPED_JSON json_t *endpoints = NULL;
    const char *name, *address;
    json_t *endpoint;
    if (!file_exists(path))
        return err_new(ERR_NOT_FOUND, "'%s': no run goes on there (no endpoints.json)", run);
    TRY(json_read_file(path, FILE_MAX_BYTES, &endpoints));
    if (!target->run)
        target->run = mem_string(run);
    json_object_foreach (endpoints, name, endpoint) {
        TRY(json_get_text(endpoint, path, "admin", &address));
        SCOPED_MEM char *shown = printable_text(name, "");
        add_daemon(target, shown, address, json_string_value(json_object_get(endpoint, "metrics")));
    }
    if (!target->tls)
        target->tls = tls_of_run(run);
    const struct target_daemon *learner = daemon_named(target, "learner");
    target->learner = learner ? (size_t)(learner - target->daemon) : target->count;
    return OK;
}

bool target_look_again(struct target *target, size_t daemon)
{
    if (!target->run)
        return false;
    SCOPED_MEM char *before = mem_string(target->daemon[daemon].address);
    err_free(of_run(target->run, target)); // while nobody is there all stays as it was
    return strcmp(before, target->daemon[daemon].address) != 0;
}

static err_t of_address(const char *address, struct target *target)
{
    struct address parsed;
    TRY(address_parse(address, &parsed));
    target->learner = 0;
    add_daemon(target, address, address, NULL);
    return OK;
}

static err_t of_context(const char *name, struct target *target)
{
    SCOPED_JSON json_t *contexts = NULL;
    TRY(contexts_read(&contexts));
    if (!name)
        name = json_string_value(json_object_get(contexts, "current"));
    if (!name || !*name)
        return err_new(ERR_INVALID,
                       "which run? --run DIR, --address HOST:PORT, or `rlhfctl context add NAME`");
    const json_t *context = json_object_get(json_object_get(contexts, "contexts"), name);
    if (!context)
        return no_context(contexts, name);
    const char *run = json_string_value(json_object_get(context, "run"));
    const char *address = json_string_value(json_object_get(context, "address"));
    const char *tls = json_string_value(json_object_get(context, "tls"));
    if (!run && !address)
        return err_new(ERR_INVALID, "context '%s' has neither run nor address", name);
    if (!target->tls)
        target->tls = mem_string(tls);
    return err_wrap(run ? of_run(run, target) : of_address(address, target), "context '%s'", name);
}

/* As with kubectl: the flag, else the environment, else the file. */
static const char *given_keys(const struct target_flags *flags)
{
    const char *named = flags->own ? NULL : getenv("RLHFD_TLS");
    return flags->tls ? flags->tls : named && *named ? named : NULL;
}

err_t target_find(const struct target_flags *flags, struct target **ret)
{
    SCOPED(target) target = mem_new(sizeof *target);
    if (!!flags->run + !!flags->address + !!flags->context > 1)
        return err_new(ERR_INVALID, "--run, --address, --context: one of them");
    target->tls = mem_string(given_keys(flags));
    if (flags->run)
        TRY(of_run(flags->run, target));
    else if (flags->address)
        TRY(of_address(flags->address, target));
    else
        TRY(of_context(flags->context, target));
    *ret = STEAL(target);
    return OK;
}

void target_free(struct target *target)
{
    if (!target)
        return;
    for (size_t i = 0; i < target->count; i++) {
        mem_free(target->daemon[i].name);
        mem_free(target->daemon[i].address);
        mem_free(target->daemon[i].metrics);
    }
    mem_free(target->run);
    mem_free(target->tls);
    mem_free(target);
}
