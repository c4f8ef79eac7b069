#include "testing/process.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "testing/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGS = 48 };

static void child(const char *log, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    execv(argv[0], argv);
    _exit(127);
}

struct process process_start_words(const char *log, const char *program, const char *const *words)
{
    char *argv[MAX_ARGS] = {strchr(program, '/') ? mem_string(program)
                                                 : mem_printf("%s/%s", TEST_BIN, program)};
    for (int i = 1; i < MAX_ARGS - 1 && words[i - 1]; i++)
        argv[i] = (char *)words[i - 1];
    struct process p = {.pid = fork(), .log = mem_string(log)};
    if (p.pid == 0)
        child(log, argv);
    free(argv[0]);
    return p;
}

static struct process start(const char *log, const char *program, va_list args)
{
    const char *words[MAX_ARGS] = {0};
    for (int i = 0; i < MAX_ARGS - 2; i++)
        if (!(words[i] = va_arg(args, const char *)))
            break;
    return process_start_words(log, program, words);
}

struct process process_start(const char *log, const char *program, ...)
{
    va_list args;
    va_start(args, program);
    struct process p = start(log, program, args);
    va_end(args);
    return p;
}

void process_kill(const struct process *p, int signal_number)
{
    kill(p->pid, signal_number);
}

int process_wait(struct process *p, int timeout_ms)
{
    for (int64_t until = clock_ms() + timeout_ms; clock_ms() < until; clock_sleep_ms(5)) {
        int status;
        pid_t got = waitpid(p->pid, &status, WNOHANG);
        if (got == 0 || (got < 0 && errno == EINTR))
            continue;
        mem_free(p->log);
        p->log = NULL;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return -1;
}

int process_run(char **ret_output, int timeout_ms, const char *program, ...)
{
    char *log = mem_printf("%s/output", testing_directory());
    va_list args;
    va_start(args, program);
    struct process p = start(log, program, args);
    va_end(args);
    int status = process_wait(&p, timeout_ms);
    if (status < 0)
        process_kill(&p, SIGKILL);
    if (ret_output)
        *ret_output = file_text(log);
    free(log);
    return status;
}

char *file_text(const char *path)
{
    struct bytes text = {0};
    err_free(file_read(path, 1 << 30, &text));
    if (!text.data)
        bytes_extend(&text, 0);
    return (char *)text.data;
}

void file_print_end(const char *what, const char *path)
{
    enum { PART = 900, PARTS = 4 };
    char *text = file_text(path);
    const size_t len = strlen(text);
    size_t at = len > PARTS * PART ? len - PARTS * PART : 0;
    print_error("%s, the end of %s:\n", what, path);
    for (; at < len; at += PART)
        print_error("%.*s", PART, text + at);
    print_error("\n");
    free(text);
}
