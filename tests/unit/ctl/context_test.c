/* Contexts on disk, and how a command finds its run. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/words/context.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char endpoints[] =
    "{\"learner\": {\"admin\": \"127.0.0.1:7013\"}, \"rewarder\": {\"admin\": \"127.0.0.1:7012\"},"
    " \"generator-2\": {\"admin\": \"[::1]:7011\"}}";

static void write_text(const char *path, const char *text)
{
    assert_ok(file_write(path, text, strlen(text)));
}

/* A run directory with endpoints.json, and a place for contexts. */
static char *new_run(void)
{
    const char *directory = testing_directory();
    char *run = testing_path(directory, "run"), *path = file_join(run, "endpoints.json");
    setenv("XDG_CONFIG_HOME", testing_path(directory, "config"), 1);
    assert_int_equal(mkdir(run, 0777), 0);
    write_text(path, endpoints);
    free(path);
    return run;
}

static err_t add(const char *name, const char *run, const char *address)
{
    SCOPED_JSON json_t *contexts = NULL;
    TRY(contexts_read(&contexts));
    TRY(contexts_add(contexts, name, run, address, NULL));
    return contexts_write(contexts);
}

static err_t find(const char *run, const char *address, const char *context, struct target **ret)
{
    const struct target_flags flags = {.run = run, .address = address, .context = context};
    return target_find(&flags, ret);
}

static void a_run_has_the_addresses_of_its_file(void **state)
{
    (void)state;
    char *run = new_run(), *path = file_join(run, "endpoints.json");
    SCOPED(target) target = NULL;
    assert_ok(find(run, NULL, NULL, &target));
    assert_int_equal(target->count, 3);
    assert_string_equal(target->daemon[target->learner].name, "learner");
    assert_string_equal(target->daemon[target->learner].address, "127.0.0.1:7013");
    assert_string_equal(target->run, run);
    /* A daemon that was started again elsewhere, and a new one. */
    write_text(path,
               "{\"generator-2\": {\"admin\": \"[::1]:9\"}, \"generator-3\": {\"admin\": \"a:1\"},"
               " \"learner\": {\"admin\": \"127.0.0.1:7013\"}}");
    assert_false(target_look_again(target, target->learner));
    assert_int_equal(target->count, 4);
    assert_string_equal(target->daemon[2].address, "[::1]:9");
    write_text(path, "{\"learner\": {\"admin\": \"127.0.0.1:8\"}}");
    assert_true(target_look_again(target, target->learner));
    remove(path);
    assert_false(target_look_again(target, target->learner));
    assert_int_equal(target->count, 4);
    free(path);
}

static void names_stand_for_runs(void **state)
{
    (void)state;
    char *run = new_run();
    SCOPED(target) first = NULL;
    SCOPED(target) second = NULL;
    SCOPED(target) now = NULL;
    SCOPED_JSON json_t *contexts = NULL;
    assert_err(ERR_INVALID, "which run?", find(NULL, NULL, NULL, &first));
    assert_ok(add("sort", run, NULL));
    assert_ok(add("far.away-2", NULL, "learner:7013"));
    assert_ok(find(NULL, NULL, NULL, &first)); // the first one is in use
    assert_int_equal(first->count, 3);
    assert_ok(find(NULL, NULL, "far.away-2", &second));
    assert_int_equal(second->count, 1);
    assert_null(second->run);
    assert_string_equal(second->daemon[second->learner].address, "learner:7013");
    assert_ok(contexts_read(&contexts));
    assert_ok(contexts_use(contexts, "far.away-2"));
    assert_ok(contexts_write(contexts));
    assert_ok(find(NULL, NULL, NULL, &now));
    assert_int_equal(now->count, 1);
    assert_ok(contexts_remove(contexts, "far.away-2"));
    assert_string_equal(json_string_value(json_object_get(contexts, "current")), "");
    assert_err(ERR_NOT_FOUND, "far.away-2", contexts_use(contexts, "far.away-2"));
}

static void keys_of(const char *flag, const char *context, const char *wanted)
{
    SCOPED(target) target = NULL;
    const struct target_flags flags = {.context = context, .tls = flag};
    assert_ok(target_find(&flags, &target));
    if (wanted)
        assert_string_equal(target->tls, wanted);
    else
        assert_null(target->tls);
}

static void a_context_has_keys(void **state)
{
    (void)state;
    char *run = new_run(), *keys = testing_path(run, "keys");
    SCOPED_JSON json_t *contexts = NULL;
    assert_int_equal(mkdir(keys, 0777), 0);
    assert_ok(contexts_read(&contexts));
    assert_ok(contexts_add(contexts, "far", NULL, "learner:7013", keys));
    assert_ok(contexts_add(contexts, "open", NULL, "learner:7013", NULL));
    assert_err(ERR_NOT_FOUND, "--tls '/nowhere'",
               contexts_add(contexts, "x", NULL, "learner:7013", "/nowhere"));
    assert_ok(contexts_write(contexts));
    keys_of(NULL, NULL, keys);
    keys_of("other", NULL, "other"); // a flag is nearer than the environment, that than the file
    keys_of(NULL, "open", NULL);
    setenv("RLHFD_TLS", "/env", 1);
    keys_of(NULL, NULL, "/env");
    keys_of(NULL, "open", "/env");
    keys_of("other", "open", "other");
    setenv("RLHFD_TLS", "", 1);
    keys_of(NULL, NULL, keys);
    unsetenv("RLHFD_TLS");
}

static void nothing_is_left_beside_the_file(void **state)
{
    (void)state;
    char *run = new_run();
    assert_ok(add("a", run, NULL));
    SCOPED_MEM char *path = contexts_path(), *half = mem_printf("%s.tmp", path);
    assert_true(file_exists(path));
    assert_false(file_exists(half));
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    char *run = new_run();
    SCOPED(target) target = NULL;
    SCOPED_MEM char *path = contexts_path();
    assert_ok(add("sort", run, NULL));
    assert_err(ERR_NOT_FOUND, "did you mean 'sort'?", find(NULL, NULL, "srot", &target));
    assert_err(ERR_NOT_FOUND, "context list", find(NULL, NULL, "quite-another", &target));
    assert_err(ERR_NOT_FOUND, "no run goes on there", find("/nowhere", NULL, NULL, &target));
    assert_err(ERR_INVALID, "one of them", find(run, "a:1", NULL, &target));
    assert_err(ERR_INVALID, "", find(NULL, "nonsense", NULL, &target));
    assert_err(ERR_INVALID, "letters", add("a b", run, NULL));
    assert_err(ERR_INVALID, "letters", add("", run, NULL));
    assert_err(ERR_INVALID, "letters", add("-a", run, NULL));
    assert_err(ERR_INVALID, "one of --run and --address", add("a", NULL, NULL));
    assert_err(ERR_INVALID, "one of --run and --address", add("a", run, "a:1"));
    assert_err(ERR_INVALID, "--address", add("a", NULL, "a"));
    assert_err(ERR_NOT_FOUND, "/nowhere", add("a", "/nowhere", NULL));
    write_text(path, "{\"contexts\": []}");
    assert_err(ERR_INVALID, "contexts.json: 'contexts' is no object",
               find(NULL, NULL, "sort", &target));
    write_text(path, "{\"contexts\": {\"sort\": {}}, \"current\": \"sort\"}");
    assert_err(ERR_INVALID, "neither run nor address", find(NULL, NULL, NULL, &target));
    write_text(path, "{");
    assert_err(ERR_INVALID, "contexts.json", find(NULL, NULL, NULL, &target));
}

TESTS(cmocka_unit_test(a_run_has_the_addresses_of_its_file), cmocka_unit_test(names_stand_for_runs),
      cmocka_unit_test(a_context_has_keys), cmocka_unit_test(nothing_is_left_beside_the_file),
      cmocka_unit_test(what_is_wrong_is_named))
