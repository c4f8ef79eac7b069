/* The one way in: kinds, RLHFD_BACKEND, and modules that are there, not there, of another version,
 * broken. */
#include "base/file.h"
#include "base/mem.h"
#include "tensor/backend.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct backend_config config = {.threads = 1};

/* 1 + 2, by whatever backend it is. */
static void assert_adds(struct backend *be)
{
    float y[3] = {1, 1, 1}, x[3] = {2, 2, 2};
    assert_ok(be->ops->add(be, y, x, 3));
    assert_ok(be->ops->sync(be));
    assert_true(y[0] == 3 && y[2] == 3);
}

static void the_environment_chooses(void **state)
{
    (void)state;
    struct backend *be = NULL;
    const char *kept = getenv("RLHFD_BACKEND");
    SCOPED_MEM char *before = mem_string(kept);
    setenv("RLHFD_BACKEND", "nowhere", 1);
    assert_err(ERR_NOT_FOUND, "backend 'nowhere': there is no module",
               backend_open(NULL, &config, &be));
    assert_ok(backend_open("cpu", &config, &be));
    assert_string_equal(be->ops->name, "cpu");
    backend_free(be);
    setenv("RLHFD_BACKEND", "", 1);
    assert_ok(backend_open(NULL, &config, &be));
    assert_string_equal(be->ops->name, "cpu");
    backend_free(be);
    unsetenv("RLHFD_BACKEND");
    assert_ok(backend_open(NULL, &config, &be));
    assert_string_equal(be->ops->name, "cpu");
    backend_free(be);
    if (before)
        setenv("RLHFD_BACKEND", before, 1);
}

static void a_module_is_found_beside_the_program(void **state)
{
    (void)state;
    struct backend *be = NULL;
    assert_ok(backend_open("testing_whole", &config, &be));
    assert_adds(be);
    backend_free(be);
    assert_ok(backend_open(MODULE_WHOLE, &config, &be));
    assert_adds(be);
    backend_free(be);
}

/* One line, which names the kind and the reason. */
static void assert_refused(enum err_code code, const char *kind, const char *reason)
{
    struct backend *be = NULL;
    err_t e = backend_open(kind, &config, &be);
    assert_int_equal(err_code(e), code);
    if (!strstr(err_message(e), reason) || !strstr(err_message(e), kind))
        fail_msg("'%s' has not '%s' and '%s'", err_message(e), kind, reason);
    assert_null(strchr(err_message(e), '\n'));
    assert_null(be);
    err_free(e);
}

static void what_cannot_be_opened_is_told_in_one_line(void **state)
{
    (void)state;
    const char *text = testing_path(testing_directory(), "text.so");
    assert_ok(file_write(text, "no library\n", 11));
    assert_refused(ERR_NOT_FOUND, "absent", "there is no module");
    assert_refused(ERR_NOT_FOUND, "/nowhere/x.so", "there is no module /nowhere/x.so");
    assert_refused(ERR_INVALID, "a b", "a kind's name, or the path of a module");
    assert_refused(ERR_PRECONDITION, text, "text.so");
    assert_refused(ERR_PRECONDITION, MODULE_OTHER, "is no module of a backend");
    assert_refused(ERR_PRECONDITION, "testing_old", "is of another version (interface -1");
    assert_refused(ERR_UNAVAILABLE, "testing_failing", "no device answers (threads=1)");
}

static char told_id[NUMERICS_ID_MAX], told_why[256];

static void told(const char *id, const char *why)
{
    snprintf(told_id, sizeof told_id, "%s", id);
    snprintf(told_why, sizeof told_why, "%s", why ? why : "as wanted");
}

/* A daemon's recipe says `wanted`, and RLHFD_BACKEND is `named`. `says` is part of the reason that
 * the daemon is told, or of the error. */
static void assert_wanted(enum backend_wanted wanted, bool trains, const char *named,
                          enum err_code code, const char *says)
{
    const struct backend_config wish = {
        .threads = 1, .wanted = wanted, .trains = trains, .told = told};
    struct backend *be = NULL;
    setenv("RLHFD_BACKEND", named, 1);
    *told_id = *told_why = 0;
    err_t e = backend_open(NULL, &wish, &be);
    const char *said = err_failed(e) ? err_message(e) : told_why;
    if (err_code(e) != code || !strstr(said, says))
        fail_msg("%d %s: '%s' (%d), not '%s'", (int)wanted, named, said, (int)err_code(e), says);
    if (!err_failed(e)) {
        assert_string_equal(told_id, be->forward.id);
        backend_free(be);
    }
    err_free(e);
}

static void a_recipe_chooses(void **state)
{
    (void)state;
    SCOPED_MEM char *before = mem_string(getenv("RLHFD_BACKEND"));
    static const char none[] = "backend 'cuda': there is no module ";
    assert_wanted(BACKEND_AUTO, false, "", ERR_NONE, none);
    assert_wanted(BACKEND_CPU, true, "", ERR_NONE, "as wanted");
    assert_wanted(BACKEND_CUDA, false, "", ERR_NOT_FOUND, none);
    assert_wanted(BACKEND_CPU, true, "nowhere", ERR_NONE, "as wanted");
    assert_wanted(BACKEND_AUTO, false, "nowhere", ERR_NOT_FOUND, "'nowhere': there is no module");
    assert_wanted(BACKEND_AUTO, true, "opaque", ERR_NONE, "as wanted");
    assert_wanted(BACKEND_CUDA, true, "opaque", ERR_NOT_FOUND, none);
    assert_wanted(BACKEND_CUDA, true, "testing_whole", ERR_NONE, "as wanted");
    if (before)
        setenv("RLHFD_BACKEND", before, 1);
    else
        unsetenv("RLHFD_BACKEND");
}

/* A daemon is refused by the first op that it would need. A kind that is named opens without it. */
static void an_op_that_is_missing_is_named(void **state)
{
    (void)state;
    SCOPED_MEM char *before = mem_string(getenv("RLHFD_BACKEND"));
    struct backend *be = NULL;
    assert_wanted(BACKEND_CUDA, false, "testing_forward", ERR_NONE, "as wanted");
    assert_wanted(BACKEND_CUDA, true, "testing_forward", ERR_UNIMPLEMENTED,
                  "backend 'testing_forward' has no scatter_add: it cannot train");
    assert_wanted(BACKEND_AUTO, true, "testing_forward", ERR_UNIMPLEMENTED, "no scatter_add");
    assert_wanted(BACKEND_CUDA, false, "testing_part", ERR_UNIMPLEMENTED,
                  "backend 'testing_part' has no rope: it cannot run a model");
    setenv("RLHFD_BACKEND", "testing_forward", 1);
    assert_err(
        ERR_UNIMPLEMENTED, "has no scatter_add: it cannot train",
        backend_check(NULL, &(struct backend_config){.wanted = BACKEND_CUDA, .trains = true}));
    assert_ok(backend_open("testing_part", &config, &be));
    backend_free(be);
    if (before)
        setenv("RLHFD_BACKEND", before, 1);
    else
        unsetenv("RLHFD_BACKEND");
}

TESTS(cmocka_unit_test(the_environment_chooses), cmocka_unit_test(a_recipe_chooses),
      cmocka_unit_test(an_op_that_is_missing_is_named),
      cmocka_unit_test(a_module_is_found_beside_the_program),
      cmocka_unit_test(what_cannot_be_opened_is_told_in_one_line))
