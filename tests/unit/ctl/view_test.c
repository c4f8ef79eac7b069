/* What `up` shows of metrics.jsonl, which the learner writes anew when it starts again. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/run/view.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *directory;

static char *path_of(const char *name)
{
    return file_join(directory, name);
}

/* Lines of rounds [0, rounds). */
static void write_lines(int rounds)
{
    SCOPED_MEM char *path = path_of("metrics.jsonl");
    SCOPED_VALUE(bytes) text = {0};
    for (int r = 0; r < rounds; r++)
        bytes_printf(&text, "{\"round\":%d,\"version\":%d,\"stale\":1}\n", r, r + 1);
    assert_ok(file_write(path, text.data, text.len));
}

static void append_line(int round)
{
    SCOPED_MEM char *path = path_of("metrics.jsonl");
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    fprintf(file, "{\"round\":%d,\"version\":%d,\"stale\":1}\n", round, round + 1);
    fclose(file);
}

/* What the view prints while fn runs. */
static char *printed(struct view *view, void (*fn)(struct view *view))
{
    SCOPED_MEM char *path = path_of("printed");
    fflush(stdout);
    const int kept = dup(STDOUT_FILENO);
    const int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(kept >= 0 && to >= 0);
    dup2(to, STDOUT_FILENO);
    close(to);
    fn(view);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    return file_text(path);
}

static void rounds_that_are_trained_again_count_once(void **)
{
    SCOPED(view) view = NULL;
    directory = testing_directory();
    assert_ok(view_new(directory, 0, &view));
    write_lines(5);
    view_update(view);
    write_lines(3); // the checkpoint covers three
    SCOPED_MEM char *stood = printed(view, view_summary);
    assert_non_null(strstr(stood, "trained 3 rounds to version 3"));
    append_line(3);
    append_line(4);
    SCOPED_MEM char *went_on = printed(view, view_summary);
    assert_non_null(strstr(went_on, "trained 5 rounds to version 5"));
    assert_non_null(strstr(went_on, ", 5 groups left stale"));
}

TESTS(cmocka_unit_test(rounds_that_are_trained_again_count_once))
