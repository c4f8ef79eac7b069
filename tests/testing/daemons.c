#include "testing/daemons.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 64, START_MS = 60000, END_MS = 60000 };

static const char *const names[] = {"learner", "rewarder", "generator"};

static char *path_of(const struct daemons *d, enum daemon_kind kind, const char *ending)
{
    return mem_printf("%s/%s.%s", d->ring->run, names[kind], ending);
}

struct words {
    char *at[WORDS + 1];
    size_t count;
};

static void words_add(struct words *words, const char *word)
{
    if (words->count == WORDS)
        fail_msg("more than %d words", WORDS);
    words->at[words->count++] = mem_string(word);
}

static void words_set(struct words *words, const char *setting, size_t len)
{
    SCOPED_MEM char *word = mem_printf("%.*s", (int)len, setting);
    words_add(words, "--set");
    words_add(words, word);
}

/* "a=1 b=2" as --set a=1 --set b=2 */
static void words_sets(struct words *words, const char *settings)
{
    for (const char *p = settings + strspn(settings, " "); *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        words_set(words, p, len);
        p += len;
    }
}

static void words_address(struct words *words, const char *key, const char *address)
{
    SCOPED_MEM char *setting = mem_printf("%s=%s", key, *address ? address : "127.0.0.1:0");
    words_set(words, setting, strlen(setting));
}

/* name: of its files; and a generator's, for its successor frees the leases of a dead one. */
static struct process start(const struct daemons *d, enum daemon_kind kind, const char *name,
                            const char *address, const char *settings)
{
    struct words words = {0};
    SCOPED_MEM char *announce = mem_printf("%s/%s.json", d->ring->run, name);
    SCOPED_MEM char *log = mem_printf("%s/%s.log", d->ring->run, name);
    SCOPED_MEM char *program = mem_printf("rlhfd-%s", names[kind]);
    SCOPED_MEM char *listen = mem_printf("%s.listen", names[kind]);
    SCOPED_MEM char *named = mem_printf("generator.name=%s", name);
    unlink(announce);
    words_add(&words, d->ring->recipe);
    words_add(&words, "--run");
    words_add(&words, d->ring->run);
    words_add(&words, "--announce");
    words_add(&words, announce);
    words_address(&words, listen, address);
    if (kind == REWARDER)
        words_address(&words, "rewarder.learner", d->address[LEARNER]);
    if (kind == GENERATOR) {
        words_sets(&words, named);
        words_address(&words, "generator.learner", d->address[LEARNER]);
        words_address(&words, "generator.rewarder", d->address[REWARDER]);
    }
    words_sets(&words, d->settings);
    words_sets(&words, settings);
    struct process process = process_start_words(log, program, (const char *const *)words.at);
    for (size_t i = 0; i < words.count; i++)
        mem_free(words.at[i]);
    return process;
}

void daemons_start_one(struct daemons *d, enum daemon_kind kind, const char *settings)
{
    assert_true(strlen(settings) < sizeof d->started_with[kind]);
    if (settings != d->started_with[kind])
        snprintf(d->started_with[kind], sizeof d->started_with[kind], "%s", settings);
    SCOPED_MEM char *announcement = path_of(d, kind, "json");
    (void)unlink(announcement); // of the process before, which had other ports
    d->process[kind] = start(d, kind, names[kind], d->address[kind], settings);
}

static void show_log(const struct daemons *d, enum daemon_kind kind, const char *what)
{
    SCOPED_MEM char *log = path_of(d, kind, "log");
    print_error("the %s %s\n", names[kind], what);
    file_print_end(names[kind], log);
    fail();
}

static bool has_ended(const struct daemons *d, enum daemon_kind kind)
{
    siginfo_t end = {0};
    return waitid(P_PID, (id_t)d->process[kind].pid, &end, WEXITED | WNOHANG | WNOWAIT) ||
           end.si_pid;
}

void daemons_assert_running(const struct daemons *d, enum daemon_kind kind)
{
    if (has_ended(d, kind))
        show_log(d, kind, "ended by itself");
}

/* "listen", "admin", "probes" or "metrics" of the file in which a daemon announces itself. */
static void read_address(const char *path, const char *key, char ret[64])
{
    SCOPED_JSON json_t *object = NULL;
    const char *address;
    assert_ok(json_read_file(path, 1 << 16, &object));
    assert_ok(json_get_text(object, path, key, &address));
    snprintf(ret, 64, "%s", address);
}

/* Between a kill and the restart the system may have lent the port to another process. */
static bool port_was_taken(const struct daemons *d, enum daemon_kind kind)
{
    enum { LAST_LINES = 600 };
    SCOPED_MEM char *log = path_of(d, kind, "log");
    SCOPED_MEM char *text = file_text(log);
    const size_t len = strlen(text);
    return strstr(text + (len > LAST_LINES ? len - LAST_LINES : 0), strerror(EADDRINUSE));
}

void daemons_announced(struct daemons *d, enum daemon_kind kind)
{
    SCOPED_MEM char *path = path_of(d, kind, "json");
    for (int64_t until = clock_ms() + START_MS; !file_exists(path); clock_sleep_ms(2)) {
        if (has_ended(d, kind) && port_was_taken(d, kind)) {
            process_wait(&d->process[kind], END_MS);
            clock_sleep_ms(500);
            daemons_start_one(d, kind, d->started_with[kind]);
        }
        daemons_assert_running(d, kind);
        if (clock_ms() > until)
            show_log(d, kind, "did not start");
    }
    read_address(path, "listen", d->address[kind]);
    read_address(path, "admin", d->admin[kind]);
    read_address(path, "probes", d->probes[kind]);
    read_address(path, "metrics", d->metrics[kind]);
}

struct extra daemons_extra(const struct daemons *d, const char *name, const char *settings)
{
    struct extra extra = {.process = start(d, GENERATOR, name, "", settings)};
    SCOPED_MEM char *path = mem_printf("%s/%s.json", d->ring->run, name);
    for (int64_t until = clock_ms() + START_MS; !file_exists(path); clock_sleep_ms(2))
        if (clock_ms() > until)
            fail_msg("generator %s did not start: %s", name, file_text(extra.process.log));
    read_address(path, "listen", extra.listen);
    read_address(path, "metrics", extra.metrics);
    return extra;
}

struct daemons daemons_start(const struct ring *ring, const char *settings)
{
    struct daemons d = {.ring = ring, .settings = settings};
    assert_ok(file_make_directories(ring->run));
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++) {
        daemons_start_one(&d, (enum daemon_kind)kind, "");
        daemons_announced(&d, (enum daemon_kind)kind);
    }
    return d;
}

void daemons_kill(struct daemons *d, enum daemon_kind kind)
{
    process_kill(&d->process[kind], SIGKILL);
    if (process_wait(&d->process[kind], END_MS) != 128 + SIGKILL)
        show_log(d, kind, "had ended before it was killed");
}

int daemons_wait_learner(struct daemons *d, int timeout_ms)
{
    int status = process_wait(&d->process[LEARNER], timeout_ms);
    if (status)
        show_log(d, LEARNER, status < 0 ? "did not end" : "failed");
    for (int kind = REWARDER; kind < DAEMON_KINDS; kind++) {
        process_kill(&d->process[kind], SIGTERM);
        if (process_wait(&d->process[kind], END_MS) != 0)
            show_log(d, (enum daemon_kind)kind, "did not end well");
    }
    return status;
}

char *daemons_get(const char *address, const char *path)
{
    SCOPED_MEM char *request = mem_printf("GET %s HTTP/1.0\r\n\r\n", path);
    struct bytes all = {0};
    const char *port = strrchr(address, ':');
    assert_non_null(port);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons((uint16_t)strtol(port + 1, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail_msg("%s: nobody listens", address);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    char piece[4096];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;)
        bytes_put(&all, piece, (size_t)n);
    close(fd);
    bytes_u8(&all, 0);
    return (char *)all.data;
}

static bool has_status(const char *answer, const char *said)
{
    const char *line = strstr(answer, said), *end = strchr(answer, '\n');
    return line && line < end;
}

void daemons_wait_ready(const struct daemons *d, enum daemon_kind kind, int status,
                        const char *part)
{
    char said[16];
    snprintf(said, sizeof said, " %d ", status);
    for (int64_t until = clock_ms() + START_MS;; clock_sleep_ms(50)) {
        SCOPED_MEM char *answer = daemons_get(d->metrics[kind], "/readyz");
        SCOPED_MEM char *probe = daemons_get(d->probes[kind], "/readyz");
        if (has_status(answer, said) && has_status(probe, said) && strstr(answer, part))
            return;
        if (clock_ms() > until)
            fail_msg("the %s's /readyz is not %d with '%s':\n%s", names[kind], status, part,
                     answer);
    }
}

double daemons_metric_at(const char *metrics, const char *name)
{
    SCOPED_MEM char *text = daemons_get(metrics, "/metrics");
    const size_t len = strlen(name);
    double sum = 0;
    bool found = false;
    for (const char *at = text; (at = strchr(at, '\n'));) {
        at++;
        const char *labels = strncmp(at, name, len) == 0 && at[len] == '{' ? strchr(at, '}') : NULL;
        const char *value = labels ? labels + 1 : at + len;
        if (strncmp(at, name, len) != 0 || *value != ' ')
            continue;
        sum += strtod(value, NULL);
        found = true;
    }
    if (!found)
        fail_msg("%s has no metric %s", metrics, name);
    return sum;
}

double daemons_metric(const struct daemons *d, enum daemon_kind kind, const char *name)
{
    return daemons_metric_at(d->metrics[kind], name);
}
