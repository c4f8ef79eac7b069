#include "ctl/run/member.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS_MAX = 32,
    ANNOUNCE_POLL_MS = 10,
    RESTARTS_MAX = 5,
    PORT_TRIES_MAX = 20,
    PAUSES_MAX = 5,
    RESTART_WINDOW_MS = 60000,
    RESTART_PAUSE_MS = 200
};

struct member {
    struct member_options options;
    char *words[WORDS_MAX];
    size_t count;
    char *program, *recipe, *recipe_fd, *announce, *log, *address_key;
    char *beside[3]; // its other addresses: any port beside listen's, whatever the recipe says
    struct child *child;
    struct loop_timer *poll, *pause;
    json_t *endpoint;
    bool stopping;
    int restarts;
    int64_t window_ms;
};

/* The last line of its log: why it ended, in its own words. The caller's. */
static char *last_words(const struct member *member)
{
    SCOPED_VALUE(bytes) text = {0};
    err_free(file_read(member->log, 1 << 30, &text));
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = 0;
    const char *line = text.len ? memrchr(text.data, '\n', text.len) : NULL;
    return mem_string(line ? line + 1 : text.len ? (const char *)text.data : "(it said nothing)");
}

static void poll_announcement(void *arg)
{
    struct member *member = arg;
    json_t *endpoint = NULL;
    if (!file_exists(member->announce))
        return;
    loop_timer_stop(member->poll);
    err_free(json_read_file(member->announce, 1 << 16, &endpoint));
    json_decref(member->endpoint);
    member->endpoint = endpoint;
    member->options.announced(member->options.arg, member);
}

static void restart(void *arg)
{
    struct member *member = arg;
    err_t failed = member_start(member);
    if (err_failed(failed))
        member->options.gone(member->options.arg, member, failed);
}

static bool may_restart(struct member *member, int most)
{
    int64_t now = clock_ms();
    if (now - member->window_ms > RESTART_WINDOW_MS) {
        member->window_ms = now;
        member->restarts = 0;
    }
    return member->restarts++ < most;
}

/* Between a kill and the restart the system may have lent the port to someone else's connection: it
 * comes back. */
static bool port_is_taken(const char *words)
{
    return strstr(words, strerror(EADDRINUSE)) != NULL;
}

static void on_exit_of(void *arg, struct child *child, struct child_end end)
{
    struct member *member = arg;
    char how[CHILD_END_TEXT];
    child_free(child);
    member->child = NULL;
    loop_timer_stop(member->poll);
    child_end_text(end, how);
    SCOPED_MEM char *words = last_words(member);
    const bool taken = member->restarts && port_is_taken(words);
    if (end.status == 0 || member->stopping) {
        member->options.gone(member->options.arg, member, OK);
    } else if ((taken && may_restart(member, PORT_TRIES_MAX)) ||
               (end.signal && may_restart(member, RESTARTS_MAX))) {
        member->options.restarted(member->options.arg, member, how);
        const int pauses = member->restarts < PAUSES_MAX ? member->restarts : PAUSES_MAX;
        loop_timer_start(member->pause, (int64_t)RESTART_PAUSE_MS * pauses, 0);
    } else {
        member->options.gone(
            member->options.arg, member,
            err_new(ERR_UNAVAILABLE, "%s %s: %s", member->options.name, how, words));
    }
}

struct member *member_new(const struct member_options *options, const char *const *words,
                          size_t count)
{
    struct member *member = mem_new(sizeof *member);
    member->options = *options;
    member->program = program_beside(options->program);
    member->address_key = mem_printf("%s.listen", options->kind);
    member->beside[0] = mem_printf("%s.admin=", options->kind);
    member->beside[1] = mem_printf("%s.probes=", options->kind);
    member->beside[2] = mem_printf("%s.metrics=", options->kind);
    member->recipe = file_join(options->run, "recipe.yaml");
    member->recipe_fd = mem_printf("%d", options->recipe);
    member->announce = mem_printf("%s/logs/%s.json", options->run, options->name);
    member->log = mem_printf("%s/logs/%s.log", options->run, options->name);
    member->poll = loop_timer_new(options->loop, poll_announcement, member);
    member->pause = loop_timer_new(options->loop, restart, member);
    for (size_t i = 0; i < count && i < WORDS_MAX; i++)
        member->words[member->count++] = mem_string(words[i]);
    return member;
}

err_t member_start(struct member *member)
{
    const char *argv[WORDS_MAX + 24];
    size_t n = 0;
    const json_t *known =
        member->options.called ? json_object_get(member->endpoint, "listen") : NULL;
    SCOPED_MEM char *listen =
        mem_printf("%s=%s", member->address_key, known ? json_string_value(known) : "127.0.0.1:0");
    argv[n++] = member->program;
    argv[n++] = member->recipe;
    argv[n++] = "--recipe-fd";
    argv[n++] = member->recipe_fd;
    argv[n++] = "--run";
    argv[n++] = member->options.run;
    argv[n++] = "--announce";
    argv[n++] = member->announce;
    argv[n++] =
        "--log"; // as its output goes there anyway, it begins the file anew when that is long
    argv[n++] = member->log;
    argv[n++] = "--set";
    argv[n++] = listen;
    for (size_t i = 0; i < sizeof member->beside / sizeof *member->beside; i++) {
        argv[n++] = "--set";
        argv[n++] = member->beside[i];
    }
    for (size_t i = 0; i < member->count; i++)
        argv[n++] = member->words[i];
    argv[n] = NULL;
    const int keep[] = {member->options.recipe, member->options.lock};
    env()->remove(member->announce);
    struct child_options child = {.argv = argv,
                                  .log = member->log,
                                  .keep = keep,
                                  .keep_count = sizeof keep / sizeof *keep,
                                  .on_exit = on_exit_of,
                                  .arg = member};
    TRY(child_start(member->options.loop, &child, &member->child));
    loop_timer_start(member->poll, ANNOUNCE_POLL_MS, ANNOUNCE_POLL_MS);
    return OK;
}

void member_stop(struct member *member, int signal)
{
    member->stopping = true;
    loop_timer_stop(member->pause);
    if (member->child)
        child_signal(member->child, signal);
}

bool member_running(const struct member *member)
{
    return member->child != NULL;
}

const char *member_name(const struct member *member)
{
    return member->options.name;
}

const json_t *member_endpoint(const struct member *member)
{
    return member->endpoint;
}

void member_free(struct member *member)
{
    if (!member)
        return;
    child_free(member->child);
    loop_timer_free(member->poll);
    loop_timer_free(member->pause);
    json_decref(member->endpoint);
    for (size_t i = 0; i < member->count; i++)
        mem_free(member->words[i]);
    mem_free(member->program);
    mem_free(member->recipe);
    mem_free(member->recipe_fd);
    mem_free(member->announce);
    mem_free(member->log);
    mem_free(member->address_key);
    for (size_t i = 0; i < sizeof member->beside / sizeof *member->beside; i++)
        mem_free(member->beside[i]);
    mem_free(member);
}
