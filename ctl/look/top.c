/* top: the run as a picture that moves, and keys to steer it. */
#include "admin/admin_client.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctl/look/following.h"
#include "ctl/look/ring_picture.h"
#include "ctl/look/screen.h"
#include "ctl/words/command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MS = 50, DRAW_MS = 500, SETTINGS_MS = 2000, NOTE_MS = 6000, INTERVAL_MS = 500 };
static const char keys[] = "q quit   p pause / resume   + - lag.max   ? help";

struct top {
    struct admin *admin;
    struct screen *screen;
    struct loop_timer *poll, *settings;
    struct ring_state state;
    char note[160]; // what came of the last key
    int64_t note_until_ms, drawn_ms;
    bool help, asking; // a change is under way
};

static void note(struct top *top, const char *text)
{
    snprintf(top->note, sizeof top->note, "%s", text);
    top->note_until_ms = clock_ms() + NOTE_MS;
    top->drawn_ms = 0;
}

/* ---- drawing */

static void draw_help(struct grid *grid)
{
    static const char *const lines[] = {
        "q        leave; the run goes on",
        "p        pause generation and training; again: go on",
        "+ -      lag.max one more, one less: how many rounds generation may be ahead",
        "?        this, and away again",
        "",
        "arrows   what flows, over the last seconds",
        "busy     share of its time in which it works",
        "lag      of trained groups, in rounds; of stored and leased ones as it would be now",
        "`rlhfctl get`, `set`, `workers`, `groups`, `changes` tell more.",
    };
    const int count = sizeof lines / sizeof *lines, y = 2;
    for (int i = 0; i < count + 2; i++)
        for (int x = 0; x < grid->columns; x++)
            grid_code(grid, x, y + i, ' ', STYLE_PLAIN);
    grid_box(grid, 0, y, grid->columns, count + 2, STYLE_BOLD);
    for (int i = 0; i < count; i++)
        grid_put(grid, 2, y + 1 + i, STYLE_PLAIN, "%.*s", grid->columns - 4, lines[i]);
}

static void draw(struct top *top)
{
    const int64_t now_ms = clock_ms();
    SCOPED(grid) grid = grid_new(screen_columns(top->screen), screen_lines(top->screen));
    ring_picture(&top->state, now_ms, now_ms < top->note_until_ms ? top->note : keys, grid);
    if (top->help)
        draw_help(grid);
    screen_show(top->screen, grid);
    top->drawn_ms = now_ms;
}

/* ---- asking the learner; answers come while the picture moves */

struct question {
    struct top *top;
    void (*answered)(struct top *top, const json_t *reply); // NULL: nothing is said
    const char *method;
    bool change;
};

static void on_answer(void *arg, const json_t *reply)
{
    const struct question *question = arg;
    question->answered(question->top, reply);
}

static void on_close(void *arg, err_t why)
{
    struct question *question = arg;
    const struct target *target = question->top->admin->target;
    why = admin_said(&target->daemon[target->learner], question->method, why);
    if (question->change) {
        question->top->asking = false;
        if (err_failed(why))
            note(question->top, err_message(why));
    }
    err_free(why);
    mem_free(question);
}

/* Takes request. */
static void ask(struct top *top, const char *method, json_t *request, bool change,
                void (*answered)(struct top *top, const json_t *reply))
{
    static const struct rpc_admin_handlers handlers = {.message = on_answer, .close = on_close};
    SCOPED_JSON json_t *owned = request;
    const size_t learner = top->admin->target->learner;
    struct rpc_channel *channel = NULL;
    if (learner >= top->admin->target->count || (change && top->asking))
        return;
    struct question *question = mem_new(sizeof *question);
    *question =
        (struct question){.top = top, .answered = answered, .method = method, .change = change};
    err_t failed = admin_channel(top->admin, learner, &channel);
    if (!err_failed(failed))
        failed = rpc_admin_ask(channel, method, owned, top->admin->timeout_ms, &handlers, question,
                               NULL);
    top->asking |= change;
    if (err_failed(failed))
        on_close(question, failed);
}

static void take_settings(struct top *top, const json_t *reply)
{
    const json_t *first = json_array_get(json_object_get(reply, "settings"), 0);
    snprintf(top->state.lag_limit, sizeof top->state.lag_limit, "%s", answer_text(first, "value"));
}

static void take_workers(struct top *top, const json_t *reply)
{
    ring_state_workers(&top->state, reply, clock_ms());
}

/* What is not in the statuses; without a run directory the learner alone knows of workers. */
static void ask_settings(void *arg)
{
    const struct top *top = arg;
    if (!top->admin->target->run)
        ask(arg, "LearnerAdmin/ListWorkers", json_object(), false, take_workers);
    ask(arg, "LearnerAdmin/GetSettings", json_pack("{s:[s]}", "keys", "lag.max"), false,
        take_settings);
}

static void lag_set(struct top *top, const json_t *reply)
{
    char text[96];
    take_settings(top, json_object_get(reply, "settings"));
    snprintf(text, sizeof text, "lag.max is %s from round %lld on", top->state.lag_limit,
             (long long)answer_whole(reply, "first_round"));
    note(top, text);
}

static void change_lag(struct top *top, int by)
{
    char *end, value[24];
    const long now = strtol(top->state.lag_limit, &end, 10);
    if (end == top->state.lag_limit || *end) {
        note(top, *top->state.lag_limit ? "lag.max is no number: the learner turns it by itself"
                                        : "the learner has not said what lag.max is");
        return;
    }
    if (now + by < 0) {
        note(top, "lag.max is 0 already: every round waits for its groups");
        return;
    }
    snprintf(value, sizeof value, "%ld", now + by);
    json_t *request = admin_signed("rlhfctl top");
    json_object_set_new(request, "settings",
                        json_pack("[{s:s, s:s}]", "key", "lag.max", "value", value));
    ask(top, "LearnerAdmin/UpdateSettings", request, true, lag_set);
}

static void paused(struct top *top, const json_t *reply)
{
    top->state.generation_paused = answer_flag(reply, "generation_paused");
    top->state.training_paused = answer_flag(reply, "training_paused");
    note(top, top->state.generation_paused ? "paused; p goes on" : "goes on");
}

static void pause_or_resume(struct top *top)
{
    const bool is_paused = top->state.generation_paused || top->state.training_paused;
    ask(top, is_paused ? "LearnerAdmin/Resume" : "LearnerAdmin/Pause", admin_signed("rlhfctl top"),
        true, paused);
}

/* ---- what happens */

static void take_key(struct top *top, int key)
{
    top->drawn_ms = 0;
    switch (key) {
    case 'q':
        loop_stop(top->admin->loop);
        break;
    case 'p':
        pause_or_resume(top);
        break;
    case '+':
    case '=':
        change_lag(top, 1);
        break;
    case '-':
        change_lag(top, -1);
        break;
    case '?':
    case 'h':
        top->help = !top->help;
        break;
    default:
        break;
    }
}

static void poll_keys(void *arg)
{
    struct top *top = arg;
    for (int key; (key = screen_key(top->screen)) != SCREEN_NO_KEY;)
        take_key(top, key);
    if (clock_ms() - top->drawn_ms >= DRAW_MS)
        draw(top);
}

static void heard(void *arg, size_t daemon, const json_t *status, const char *why)
{
    struct top *top = arg;
    const size_t at = ring_state_daemon(&top->state, top->admin->target->daemon[daemon].name);
    if (at == RING_DAEMONS)
        return;
    if (status)
        ring_state_status(&top->state, at, status, clock_ms());
    else
        ring_state_lost(&top->state, at, why, clock_ms());
}

static void on_signal(void *arg, int signal)
{
    (void)signal;
    struct top *top = arg;
    loop_stop(top->admin->loop);
}

static err_t run_top(struct top *top, struct admin *admin)
{
    SCOPED(screen) screen = NULL;
    top->admin = admin;
    TRY(screen_open(&screen));
    top->screen = screen;
    loop_on_signal(admin->loop, on_signal, top);
    SCOPED(follow) follow = follow_new(admin, INTERVAL_MS, heard, top);
    SCOPED(loop_timer) poll = loop_timer_new(admin->loop, poll_keys, top);
    SCOPED(loop_timer) settings = loop_timer_new(admin->loop, ask_settings, top);
    loop_timer_start(poll, 0, KEYS_MS);
    loop_timer_start(settings, 0, SETTINGS_MS);
    return loop_run(admin->loop);
}

err_t command_top(int argc, char **argv)
{
    struct admin_flags flags = {0};
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "top",
        .purpose =
            "Shows the ring as a live picture: the flows between generators, rewarders and the learner, the lag of trained\n"
            "groups, and which daemon waits for which. Keys: q quit, p pause or go on, + - lag.max, ? help.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED_MEM struct top *top =
        mem_new(sizeof *top); // what is still asked when we leave ends with admin
    SCOPED(admin) admin = NULL;
    log_open("rlhfctl", LOG_ERROR); // no warnings across the picture
    TRY(admin_open(&flags, &admin));
    return run_top(top, admin);
}
