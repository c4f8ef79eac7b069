/* export csv, export tensorboard: the figures of a run's rounds and evaluations, once or as they
 * come. */
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/look/event_file.h"
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 1000, PIECE = 1 << 16, LINE_MAX_BYTES = 16 << 20, FIGURES_MAX = 4096 };

/* ---- a file of lines that grows */

struct tail {
    char *path;
    int fd;
    uint64_t at;
    struct bytes rest; // of a line that has not ended
    size_t read;       // of rest, given out already
};

static void tail_done(struct tail *tail)
{
    if (tail->fd > 0)
        close(tail->fd);
    bytes_done(&tail->rest);
    mem_free(tail->path);
}

/* *ret_more: the file had more bytes. One that is not there yet has none. */
static err_t tail_fill(struct tail *tail, bool *ret_more)
{
    size_t got = 0;
    if (tail->fd <= 0)
        tail->fd = env()->open(tail->path, O_RDONLY | O_CLOEXEC, 0);
    if (tail->fd <= 0 && errno == ENOENT)
        return OK;
    if (tail->fd <= 0)
        return err_errno(errno, "cannot read '%s'", tail->path);
    if (tail->read)
        memmove(tail->rest.data, tail->rest.data + tail->read, tail->rest.len - tail->read);
    tail->rest.len -= tail->read;
    tail->read = 0;
    if (tail->rest.len > LINE_MAX_BYTES)
        return err_new(ERR_RANGE, "%s: a line of more than %d bytes", tail->path, LINE_MAX_BYTES);
    const size_t before = tail->rest.len;
    uint8_t *to = bytes_extend(&tail->rest, PIECE);
    TRY(file_get(tail->fd, tail->path, tail->at, to, PIECE, &got));
    tail->rest.len = before + got;
    tail->at += got;
    *ret_more = got > 0;
    return OK;
}

/* The next whole line, an object, the caller's; NULL: there is none yet. Others are passed over:
 * the learner names damaged lines. */
static err_t tail_next(struct tail *tail, json_t **ret)
{
    *ret = NULL;
    for (;;) {
        const uint8_t *from = tail->rest.data + tail->read;
        const size_t left = tail->rest.len - tail->read;
        const uint8_t *end = left ? memchr(from, '\n', left) : NULL;
        bool more = false;
        if (end) {
            tail->read += (size_t)(end - from) + 1;
            json_t *line = json_loadb((const char *)from, (size_t)(end - from), 0, NULL);
            if (json_is_object(line)) {
                *ret = line;
                return OK;
            }
            json_decref(line);
            continue;
        }
        TRY(tail_fill(tail, &more));
        if (!more)
            return OK;
    }
}

/* ---- csv */

struct csv {
    struct tail tail;
    json_t *rows;   // of the history, until they are printed
    json_t *header; // names in order of their first appearance: {name: true}
};

static bool is_figure(const json_t *value)
{
    return json_is_number(value) || json_is_string(value) || json_is_null(value) ||
           json_is_boolean(value);
}

static void print_text(const char *text)
{
    if (!text[strcspn(text, "\",\r\n")]) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++)
        printf(*text == '"' ? "\"\"" : "%c", *text);
    putchar('"');
}

static void print_value(const json_t *value)
{
    if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        printf("%.17g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "true" : "false", stdout);
    else if (json_is_string(value))
        print_text(json_string_value(value));
}

static void print_row(const struct csv *csv, const json_t *row)
{
    const char *name;
    json_t *any;
    bool first = true;
    json_object_foreach (csv->header, name, any) {
        if (!first)
            putchar(',');
        first = false;
        print_value(json_object_get(row, name));
    }
    putchar('\n');
}

static void print_header(const struct csv *csv)
{
    const char *name;
    json_t *any;
    bool first = true;
    json_object_foreach (csv->header, name, any) {
        if (!first)
            putchar(',');
        first = false;
        print_text(name);
    }
    putchar('\n');
}

/* A rollback cuts off the rounds from there on. */
static void go_back(json_t *rows, json_int_t rounds)
{
    for (size_t n; (n = json_array_size(rows)) > 0; json_array_remove(rows, n - 1)) {
        const json_t *round = json_object_get(json_array_get(rows, n - 1), "round");
        if (json_is_integer(round) && json_integer_value(round) < rounds)
            return;
    }
}

static bool is_rollback(const json_t *line)
{
    return json_is_true(json_object_get(line, "rollback"));
}

static json_int_t whole(const json_t *line, const char *name)
{
    return json_integer_value(json_object_get(line, name));
}

/* All there is so far. */
static err_t read_history(struct csv *csv)
{
    json_t *line;
    for (;;) {
        TRY(tail_next(&csv->tail, &line));
        if (!line)
            return OK;
        if (is_rollback(line)) {
            go_back(csv->rows, whole(line, "rounds"));
            json_decref(line);
            continue;
        }
        const char *name;
        json_t *value;
        json_object_foreach (line, name, value)
            if (is_figure(value) && json_object_size(csv->header) < FIGURES_MAX)
                json_object_set_new(csv->header, name, json_true());
        json_array_append_new(csv->rows, line);
    }
}

static err_t flush(void)
{
    return fflush(stdout) || ferror(stdout) ? err_errno(errno, "cannot write figures") : OK;
}

static err_t print_history(struct csv *csv)
{
    size_t i;
    json_t *row;
    print_header(csv);
    json_array_foreach (csv->rows, i, row)
        print_row(csv, row);
    json_array_clear(csv->rows);
    return flush();
}

/* Later columns are those of the header; after a rollback rounds come again. */
static err_t follow_csv(struct csv *csv)
{
    for (;; clock_sleep_ms(LOOK_MS)) {
        json_t *line;
        TRY(tail_next(&csv->tail, &line));
        for (; line;) {
            if (!is_rollback(line))
                print_row(csv, line);
            json_decref(line);
            TRY(tail_next(&csv->tail, &line));
        }
        TRY(flush());
    }
}

static err_t export_csv(const char *run, bool follow)
{
    struct csv csv = {.tail.path = file_join(run, "metrics.jsonl"),
                      .rows = json_array(),
                      .header = json_object()};
    err_t failed = read_history(&csv);
    while (!err_failed(failed) && follow && !json_array_size(csv.rows)) { // no round yet
        clock_sleep_ms(LOOK_MS);
        failed = read_history(&csv);
    }
    if (!err_failed(failed))
        failed = print_history(&csv);
    if (!err_failed(failed) && follow)
        failed = follow_csv(&csv);
    json_decref(csv.rows);
    json_decref(csv.header);
    tail_done(&csv.tail);
    return failed;
}

/* ---- tensorboard */

struct board {
    struct tail rounds, evals;
    struct event_file *file;
    double began_s; // of the run, as seconds since 1970
};

/* Numbers of an object as PREFIX/NAME, those of an object inside as PREFIX/NAME/INNER. */
static size_t gather(const json_t *object, const char *prefix, struct event_figure *figure,
                     size_t count)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value) {
        SCOPED_MEM char *tag = mem_printf("%s/%s", prefix, name);
        if (json_is_object(value) && strchr(prefix, '/') == NULL)
            count = gather(value, tag, figure, count);
        else if (json_is_number(value) && count < FIGURES_MAX)
            figure[count++] = (struct event_figure){STEAL(tag), json_number_value(value)};
    }
    return count;
}

static err_t put_line(struct board *board, const json_t *line, const char *prefix, double wall_s)
{
    SCOPED_MEM struct event_figure *figure = mem_array(FIGURES_MAX, sizeof *figure);
    const size_t count = gather(line, prefix, figure, 0);
    err_t failed = event_file_put(board->file, wall_s, whole(line, "round"), figure, count);
    for (size_t i = 0; i < count; i++)
        mem_free((char *)figure[i].tag);
    return failed;
}

static err_t put_round(struct board *board, const json_t *line)
{
    const double wall_s = board->began_s + json_number_value(json_object_get(line, "time_s"));
    if (is_rollback(line))
        return event_file_back(board->file, wall_s, whole(line, "rounds"));
    return put_line(board, line, "train", wall_s);
}

static err_t put_eval(struct board *board, const json_t *line)
{
    return put_line(board, line, "eval", json_number_value(json_object_get(line, "time")));
}

static err_t put_all(struct board *board, struct tail *tail,
                     err_t (*put)(struct board *board, const json_t *line))
{
    for (;;) {
        SCOPED_JSON json_t *line = NULL;
        TRY(tail_next(tail, &line));
        if (!line)
            return OK;
        TRY(put(board, line));
    }
}

/* The last line was written when the file was changed last. */
static err_t find_begin(struct board *board)
{
    struct stat at;
    double last_s = 0;
    struct tail tail = {.path = mem_string(board->rounds.path)};
    err_t failed = OK;
    for (json_t *line = NULL; !err_failed(failed);) {
        failed = tail_next(&tail, &line);
        if (err_failed(failed) || !line)
            break;
        last_s = json_number_value(json_object_get(line, "time_s"));
        json_decref(line);
    }
    board->began_s =
        (stat(tail.path, &at) == 0 ? (double)at.st_mtime : (double)env()->wall_ns() / 1e9) - last_s;
    tail_done(&tail);
    return failed;
}

static err_t export_board(const char *run, const char *directory, bool follow)
{
    SCOPED_MEM char *path = file_join(directory, "events.out.tfevents.0.rlhfd");
    struct board board = {.rounds.path = file_join(run, "metrics.jsonl"),
                          .evals.path = file_join(run, "evals.jsonl")};
    err_t failed = file_make_directories(directory);
    if (!err_failed(failed))
        failed = find_begin(&board);
    if (!err_failed(failed))
        failed = event_file_open(path, board.began_s, &board.file);
    for (; !err_failed(failed); clock_sleep_ms(LOOK_MS)) {
        failed = put_all(&board, &board.rounds, put_round);
        if (!err_failed(failed))
            failed = put_all(&board, &board.evals, put_eval);
        if (!follow)
            break;
    }
    event_file_free(board.file);
    tail_done(&board.rounds);
    tail_done(&board.evals);
    if (!err_failed(failed))
        printf("%s\n", path);
    return failed;
}

/* ---- commands */

static err_t must_be_run(const char *run)
{
    SCOPED_MEM char *path = file_join(run, "metrics.jsonl");
    SCOPED_MEM char *store = file_join(run, "store");
    if (file_exists(path) || file_exists(store))
        return OK;
    return err_new(ERR_NOT_FOUND, "'%s' is no run's directory: it has no metrics.jsonl", run);
}

err_t command_export_csv(int argc, char **argv)
{
    const char *run;
    size_t count;
    bool helped, follow = false;
    const struct argument_flag rows[] = {
        {"follow", NULL, "go on with rounds as they come, until it is stopped", .flag = &follow}};
    const struct arguments arguments = {
        .usage = "export csv RUN [--follow]",
        .purpose =
            "Writes the figures of a run's rounds to standard output as comma-separated values: RUN/metrics.jsonl as a table.\n"
            "Rounds that a rollback cut off are left out, but for those that --follow has shown before.",
        .examples = "  rlhfctl export csv runs/sort > rounds.csv",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &run,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(must_be_run(run));
    return export_csv(run, follow);
}

err_t command_export_tensorboard(int argc, char **argv)
{
    const char *run, *output = NULL;
    size_t count;
    bool helped, follow = false;
    const struct argument_flag rows[] = {
        {"follow", NULL, "go on with rounds as they come, until it is stopped", .flag = &follow},
        {"output", "DIR", "where the event file goes (RUN/tensorboard)", .text = &output}};
    const struct arguments arguments = {
        .usage = "export tensorboard RUN [--follow] [--output DIR]",
        .purpose =
            "Writes the figures of a run's rounds and evaluations as an event file: tensorboard --logdir DIR shows them, as\n"
            "train/NAME and eval/NAME over rounds. An event file of the same run is replaced.",
        .examples = "  rlhfctl export tensorboard runs/sort --follow",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &run,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(must_be_run(run));
    SCOPED_MEM char *directory = output ? mem_string(output) : file_join(run, "tensorboard");
    return export_board(run, directory, follow);
}
