#include "rewarder/sandbox/sandbox.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rewarder/sandbox/sandbox_start.h"
#include "svc/cell.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* LOOK_MS: how soon a stop is seen. ENDS_MS: for the end of one that closed its output. END_MS: the
 * watch's own patience, and a little. */
enum { OUT_BYTES = 1 << 20, PIECE_BYTES = 1 << 16, LOOK_MS = 50, ENDS_MS = 500, END_MS = 7000 };

void sandbox_result_done(struct sandbox_result *result)
{
    bytes_done(&result->out);
}

/* ---- bytes to and from the program */

struct traffic {
    const uint8_t *in;
    size_t left;
    bool line; // ends with a line of output, and its input stays open
    size_t max;
    double deadline_s;
    const struct cell *stop;
};

static void close_pipe(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Of its standard error the end is kept: the reason stands there. */
static void take_stderr(struct sandbox *sandbox)
{
    char piece[SANDBOX_TAIL];
    const ssize_t got = read(sandbox->err, piece, sizeof piece);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            close_pipe(&sandbox->err);
        return;
    }
    const size_t more = (size_t)got, keep = SANDBOX_TAIL - more < sandbox->tail_len
                                                ? SANDBOX_TAIL - more
                                                : sandbox->tail_len;
    memmove(sandbox->tail, sandbox->tail + sandbox->tail_len - keep, keep);
    memcpy(sandbox->tail + keep, piece, more);
    sandbox->tail_len = keep + more;
}

static void give(struct sandbox *sandbox, struct traffic *traffic)
{
    if (!traffic->left) {
        if (!traffic->line)
            close_pipe(&sandbox->in);
        return;
    }
    const ssize_t put = write(sandbox->in, traffic->in, traffic->left);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (put < 0) { // the program reads no more; its output says the rest
        close_pipe(&sandbox->in);
        return;
    }
    traffic->in += put;
    traffic->left -= (size_t)put;
}

/* Whether there is output still to come. */
static err_t take(struct sandbox *sandbox, const struct traffic *traffic, struct bytes *out,
                  bool *ret_more)
{
    const size_t at = out->len;
    const ssize_t got = read(sandbox->out, bytes_extend(out, PIECE_BYTES), PIECE_BYTES);
    out->len = at + (got > 0 ? (size_t)got : 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return OK;
    if (got <= 0) {
        close_pipe(&sandbox->out);
        *ret_more = false;
        return traffic->line ? err_new(ERR_UNAVAILABLE, "ended without an answer") : OK;
    }
    const uint8_t *end = traffic->line ? memchr(out->data + at, '\n', out->len - at) : NULL;
    if (end && end + 1 < out->data + out->len)
        return err_new(ERR_UNAVAILABLE, "wrote more than the one line that was asked for");
    if (end) {
        out->len--;
        out->data[out->len] = 0;
        *ret_more = false;
    }
    if (out->len > traffic->max)
        return err_new(ERR_RANGE, "wrote more than %zu bytes", traffic->max);
    return OK;
}

static int pause_ms(const struct traffic *traffic, double now_s)
{
    const double left_ms = (traffic->deadline_s - now_s) * 1000;
    const int most = traffic->stop ? LOOK_MS : 10000;
    return left_ms < most ? (int)left_ms + 1 : most;
}

/* Moves bytes until the line, or the end of the output, is there. */
static err_t move_bytes(struct sandbox *sandbox, struct traffic *traffic, struct bytes *out)
{
    for (bool more = sandbox->out >= 0; more;) {
        const double now_s = clock_s();
        if (traffic->stop && cell_get(traffic->stop) != 0)
            return err_new(ERR_CANCELLED, "stopped");
        if (now_s >= traffic->deadline_s)
            return err_new(ERR_DEADLINE, "no answer in time");
        struct pollfd at[] = {
            {.fd = sandbox->out, .events = POLLIN},
            {.fd = sandbox->err, .events = POLLIN},
            {.fd = traffic->left || !traffic->line ? sandbox->in : -1, .events = POLLOUT},
        };
        if (poll(at, 3, pause_ms(traffic, now_s)) < 0 && errno != EINTR)
            return err_errno(errno, "cannot wait for a program");
        if (at[1].revents)
            take_stderr(sandbox);
        if (at[2].revents)
            give(sandbox, traffic);
        if (at[0].revents)
            TRY(take(sandbox, traffic, out, &more));
    }
    return OK;
}

/* ---- the end */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Reads the watch's line, until it ends. False: it did not within so many ms. */
static bool read_report(struct sandbox *sandbox, int64_t wait_ms)
{
    const double until_s = clock_s() + (double)wait_ms / 1000;
    while (sandbox->report >= 0) {
        const double left_ms = (until_s - clock_s()) * 1000;
        struct pollfd at[] = {{.fd = sandbox->report, .events = POLLIN},
                              {.fd = sandbox->err, .events = POLLIN},
                              {.fd = sandbox->out, .events = POLLIN}};
        if (left_ms <= 0)
            return false;
        poll(at, 3, (int)left_ms + 1);
        if (at[1].revents)
            take_stderr(sandbox);
        char *to = sandbox->told + sandbox->told_len;
        const size_t room = sizeof sandbox->told - 1 - sandbox->told_len;
        char drop[512];
        if (at[2].revents && read(sandbox->out, drop, sizeof drop) == 0)
            close_pipe(&sandbox->out);
        const ssize_t got =
            at[0].revents ? read(sandbox->report, room ? to : drop, room ? room : 1) : -1;
        if (got > 0 && room)
            sandbox->told_len += (size_t)got;
        if (got == 0)
            close_pipe(&sandbox->report);
    }
    return true;
}

static void end(struct sandbox *sandbox, int64_t wait_ms)
{
    if (sandbox->pid <= 0)
        return;
    close_pipe(&sandbox->in);
    if (sandbox->report >= 0 && !read_report(sandbox, wait_ms)) {
        kill(sandbox->pid, SIGTERM);
        if (!read_report(sandbox, END_MS))
            kill(sandbox->pid, SIGKILL); // a process that the kernel does not let go
    }
    while (waitpid(sandbox->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    sandbox->pid = 0;
}

/* The last line of its standard error that has text, as a person may read it. */
static void last_words(const struct sandbox *sandbox, char *ret, size_t size)
{
    size_t end = sandbox->tail_len, begin;
    while (end && (unsigned char)sandbox->tail[end - 1] <= ' ')
        end--;
    for (begin = end; begin && sandbox->tail[begin - 1] != '\n';)
        begin--;
    SCOPED_MEM char *text = mem_printf("%.*s", (int)(end - begin), sandbox->tail + begin);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?'; // of others, and not always UTF-8
    snprintf(ret, size, "%s%.200s", *text ? "; its last words: " : "", text);
}

/* The line that says how it ended. The first process tells its end and the watch a limit, in either
 * order: a limit is the cause of the end. */
static char *line_of(char *told)
{
    char *line = told, *limit = starts_with(told, "limit ") ? told : strstr(told, "\nlimit ");
    if (limit)
        line = limit + (*limit == '\n');
    line[strcspn(line, "\n")] = 0;
    return line;
}

static enum sandbox_fate fate_of(const struct sandbox *sandbox, int *ret_number, char *ret_why,
                                 size_t size)
{
    char words[240] = "";
    char told[sizeof sandbox->told];
    snprintf(told, sizeof told, "%s", sandbox->told);
    const char *line = line_of(told);
    last_words(sandbox, words, sizeof words);
    if (sscanf(line, "exit %d", ret_number) == 1) {
        snprintf(ret_why, size, "ended with status %d%s", *ret_number, words);
        return SANDBOX_EXITED;
    }
    if (sscanf(line, "signal %d", ret_number) == 1) {
        snprintf(ret_why, size, "killed by signal %d (%s)%s", *ret_number, strsignal(*ret_number),
                 words);
        return SANDBOX_SIGNALLED;
    }
    if (starts_with(line, "limit ")) {
        snprintf(ret_why, size, "ended by its limit on %.250s", line + 6);
        return SANDBOX_LIMITED;
    }
    snprintf(ret_why, size, "%.200s%.110s", *line ? line : "ended by itself", words);
    return SANDBOX_LATE;
}

void sandbox_leave(struct sandbox *sandbox, int64_t wait_ms)
{
    end(sandbox, wait_ms);
}

void sandbox_free(struct sandbox *sandbox)
{
    if (!sandbox)
        return;
    end(sandbox, 0);
    close_pipe(&sandbox->out);
    close_pipe(&sandbox->err);
    close_pipe(&sandbox->report);
    mem_free(sandbox);
}

/* ---- calls */

err_t sandbox_ask(struct sandbox *sandbox, const struct sandbox_line *line, struct bytes *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    if (line->text) {
        bytes_put(&text, line->text, line->len);
        bytes_u8(&text, '\n');
    }
    struct traffic traffic = {.in = text.data,
                              .left = text.len,
                              .line = true,
                              .max = line->max,
                              .deadline_s = line->deadline_s,
                              .stop = line->stop};
    bytes_clear(ret);
    if (sandbox->out < 0)
        return err_new(ERR_UNAVAILABLE, "has ended");
    err_t failed = move_bytes(sandbox, &traffic, ret);
    if (!err_failed(failed))
        return OK;
    const bool was_late = err_code(failed) == ERR_DEADLINE || err_code(failed) == ERR_CANCELLED;
    int number = 0;
    char why[320];
    end(sandbox, err_code(failed) == ERR_UNAVAILABLE ? ENDS_MS : 0);
    const enum sandbox_fate fate = fate_of(sandbox, &number, why, sizeof why);
    if (fate == SANDBOX_LATE && was_late)
        return failed;
    return err_wrap(failed, "%s", why);
}

err_t sandbox_run(const struct sandbox_orders *orders, const struct sandbox_input *input,
                  struct sandbox_result *ret)
{
    SCOPED(sandbox) sandbox = NULL;
    TRY(sandbox_start(orders, &sandbox));
    struct traffic traffic = {.in = input->text,
                              .left = input->len,
                              .max = input->out_max ? input->out_max : OUT_BYTES,
                              .deadline_s = input->deadline_s,
                              .stop = input->stop};
    err_t failed = move_bytes(sandbox, &traffic, &ret->out);
    while (!err_failed(failed) && clock_s() < input->deadline_s &&
           !(input->stop && cell_get(input->stop) != 0) && !read_report(sandbox, LOOK_MS))
        ;
    end(sandbox, 0);
    ret->fate = fate_of(sandbox, &ret->number, ret->why, sizeof ret->why);
    if (starts_with(sandbox->told, "failed ")) {
        err_free(failed);
        return err_new(ERR_UNAVAILABLE, "%.300s", ret->why + strlen("failed "));
    }
    if (err_failed(failed) && (ret->fate == SANDBOX_LATE || err_code(failed) == ERR_RANGE)) {
        ret->fate = err_code(failed) == ERR_RANGE ? SANDBOX_LIMITED : SANDBOX_LATE;
        snprintf(ret->why, sizeof ret->why, "%.300s", err_message(failed));
    } else if (ret->fate == SANDBOX_LATE) {
        snprintf(ret->why, sizeof ret->why, "no end in time");
    }
    err_free(failed);
    return OK;
}
