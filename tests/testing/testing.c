#include "testing/testing.h"
#include "base/file.h"
#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void testing_ok(err_t e, const char *call, const char *file, int line)
{
    if (err_failed(e)) {
        print_error("%s: %s: %s\n", call, err_code_name(err_code(e)), err_message(e));
        err_free(e);
        _fail(file, line);
    }
}

void testing_err(enum err_code code, const char *part, err_t e, const char *call, const char *file,
                 int line)
{
    bool as_wanted = err_code(e) == code && strstr(err_message(e), part);
    if (!as_wanted)
        print_error("%s: %s: %s (wanted %s with '%s')\n", call, err_code_name(err_code(e)),
                    err_message(e), err_code_name(code), part);
    err_free(e);
    if (!as_wanted)
        _fail(file, line);
}

void testing_near(double got, double want, double limit, const char *what, const char *file,
                  int line)
{
    if (fabs(got - want) <= limit * fmax(1, fabs(want)))
        return;
    print_error("%s is %.17g, wanted %.17g within %g\n", what, got, want, limit);
    _fail(file, line);
}

static char **made;
static size_t made_count;
static pid_t maker;

static void remove_made(void)
{
    if (getpid() != maker)
        return; // a child that was forked from the test
    for (size_t i = 0; i < made_count; i++) {
        err_free(file_remove_tree(made[i]));
        free(made[i]);
    }
    free(made);
}

const char *testing_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *path = mem_printf("%s/rlhfd-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        abort();
    }
    if (!made_count) {
        maker = getpid();
        atexit(remove_made);
    }
    made = mem_grow(made, made_count + 1, sizeof *made);
    return made[made_count++] = path;
}

static char **paths;
static size_t path_count;

static void free_paths(void)
{
    for (size_t i = 0; i < path_count; i++)
        free(paths[i]);
    free(paths);
}

char *testing_path(const char *directory, const char *name)
{
    if (!path_count)
        atexit(free_paths);
    paths = mem_grow(paths, path_count + 1, sizeof *paths);
    return paths[path_count++] = file_join(directory, name);
}
