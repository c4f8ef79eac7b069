/* A log file that is begun anew: many threads write, and no line is lost or cut. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, LINES = 500, MAX_BYTES = 8192 };

static void *write_lines(void *arg)
{
    const int thread = *(int *)arg;
    for (int i = 0; i < LINES; i++)
        log_info("line", "of=%d number=%d end", thread, i);
    return NULL;
}

/* In a process of its own: standard output and error become the file. */
static void log_from_threads(const char *path, int kept)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread[THREADS];
        int number[THREADS];
        err_t failed = log_to(path, MAX_BYTES, kept);
        for (int i = 0; i < THREADS && !err_failed(failed); i++) {
            number[i] = i;
            pthread_create(&thread[i], NULL, write_lines, &number[i]);
        }
        for (int i = 0; i < THREADS && !err_failed(failed); i++)
            pthread_join(thread[i], NULL);
        _exit(err_failed(failed));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Appends path.N's text if there is one, path's for 0; whether there was. */
static bool take(const char *path, int number, struct bytes *all)
{
    SCOPED_MEM char *name = number ? mem_printf("%s.%d", path, number) : mem_string(path);
    if (!file_exists(name))
        return false;
    char *text = file_text(name);
    assert_true(strlen(text) <= MAX_BYTES);
    assert_true(strlen(text) > MAX_BYTES / 2 || number == 0);
    bytes_text(all, text);
    free(text);
    return true;
}

static void no_line_is_lost(void **)
{
    char *path = testing_path(testing_directory(), "x.log");
    SCOPED_VALUE(bytes) all = {0};
    int files = 0, seen[THREADS] = {0};
    log_from_threads(path, 1000);
    while (take(path, files, &all))
        files++;
    assert_true(files > 10);
    char *rest = NULL;
    for (char *line = strtok_r((char *)all.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *of = strstr(line, "of=");
        int thread = -1, number = -1;
        assert_non_null(of);
        assert_int_equal(sscanf(of, "of=%d number=%d end", &thread, &number), 2);
        assert_true(thread >= 0 && thread < THREADS && number >= 0 && number < LINES);
        seen[thread]++;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(seen[i], LINES);
}

static void few_files_are_kept(void **)
{
    char *path = testing_path(testing_directory(), "x.log");
    SCOPED_VALUE(bytes) all = {0};
    log_from_threads(path, 2);
    assert_true(take(path, 0, &all));
    assert_true(take(path, 1, &all));
    assert_true(take(path, 2, &all));
    assert_false(take(path, 3, &all));
    SCOPED_MEM char *aside = mem_printf("%s.new", path);
    assert_false(file_exists(aside));
}

TESTS(cmocka_unit_test(no_line_is_lost), cmocka_unit_test(few_files_are_kept))
