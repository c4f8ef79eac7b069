#include "ctl/run/view.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WINDOW = 20,
    QUIET_EVERY_MS = 2000,
    MAX_LINE = 1 << 16,
    HELD_SHOW_MS = 1000,
    HELD_EVERY_MS = 60000
};

/* Figures of one round that the view shows. */
struct figures {
    double round, version, time_s, reward, success, lag, lag_max, generated, trained,
        generator_idle, generator_busy, learner_idle, learner_busy, kl, entropy;
    char cause[32];
};

/* A file of lines that grows. */
struct tail {
    char *path;
    FILE *file;
    struct bytes partial; // the beginning of a line that is still being written
};

struct view {
    struct tail metrics, evals;
    uint64_t rounds, seen;
    uint64_t evaluations;
    double eval_version, eval_success, eval_reward; // the last
    double eval_success_first, eval_reward_first;
    struct figures first, last, window[WINDOW];
    double started_s, trained, generated, generator_idle, generator_busy, learner_idle,
        learner_busy, lag_max, stale;
    bool terminal, line_open;
    int64_t shown_ms;
    char held[32]; // the cause shown last; "": none
    int64_t held_ms;
};

err_t view_new(const char *run, uint64_t rounds, struct view **ret)
{
    struct view *view = mem_new(sizeof *view);
    view->metrics.path = file_join(run, "metrics.jsonl");
    view->evals.path = file_join(run, "evals.jsonl");
    view->rounds = rounds;
    view->terminal = output_is_terminal(STDOUT_FILENO);
    view->started_s = clock_s();
    *ret = view;
    return OK;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double positive(const json_t *object, const char *key)
{
    double value = number(object, key);
    return value > 0 ? value : 0;
}

static void take_line(struct view *view, const char *line, size_t len)
{
    SCOPED_JSON json_t *o = json_loadb(line, len, 0, NULL);
    if (!o)
        return; // a torn line of a run that died; the learner drops it
    if (!json_object_get(o, "round"))
        return; // says that a rollback took place
    struct figures f = {.round = number(o, "round"),
                        .version = number(o, "version"),
                        .time_s = number(o, "time_s"),
                        .reward = number(o, "reward_mean"),
                        .success = number(o, "success"),
                        .lag = number(o, "lag_mean"),
                        .lag_max = number(o, "lag_max"),
                        .generated = positive(o, "tokens_generated"),
                        .trained = positive(o, "tokens_trained"),
                        .generator_idle = positive(o, "generator_idle_s"),
                        .generator_busy = positive(o, "generator_busy_s"),
                        .learner_idle = positive(o, "learner_idle_s"),
                        .learner_busy = positive(o, "learner_busy_s"),
                        .kl = number(o, "kl_behaviour"),
                        .entropy = number(o, "entropy")};
    const char *cause = json_string_value(json_object_get(o, "idle_cause"));
    SCOPED_MEM char *shown = printable_text(cause ? cause : "", "");
    snprintf(f.cause, sizeof f.cause, "%s", shown);
    if (!view->seen)
        view->first = f;
    if (number(o, "run_rounds") > 0)
        view->rounds = (uint64_t)number(o, "run_rounds");
    view->window[view->seen % WINDOW] = f;
    view->last = f;
    view->seen++;
    view->trained += f.trained;
    view->generated += f.generated;
    view->generator_idle += f.generator_idle;
    view->generator_busy += f.generator_busy;
    view->learner_idle += f.learner_idle;
    view->learner_busy += f.learner_busy;
    view->stale += positive(o, "stale");
    view->lag_max = fmax(view->lag_max, f.lag_max);
}

static void take_eval(struct view *view, const char *line, size_t len)
{
    SCOPED_JSON json_t *o = json_loadb(line, len, 0, NULL);
    if (!o)
        return;
    view->eval_version = number(o, "version");
    view->eval_success = number(o, "success");
    view->eval_reward = number(o, "reward_mean");
    if (!view->evaluations++) {
        view->eval_success_first = view->eval_success;
        view->eval_reward_first = view->eval_reward;
    }
}

static void forget_rounds(struct view *view)
{
    view->seen = 0;
    view->trained = view->generated = view->stale = view->lag_max = 0;
    view->generator_idle = view->generator_busy = view->learner_idle = view->learner_busy = 0;
}

static void forget_evals(struct view *view)
{
    view->evaluations = 0;
}

/* A learner that starts again writes the file anew without the rounds that it trains again. */
static bool is_replaced(const struct tail *tail)
{
    struct stat open, there;
    return tail->file && fstat(fileno(tail->file), &open) == 0 && stat(tail->path, &there) == 0 &&
           (open.st_ino != there.st_ino || open.st_dev != there.st_dev);
}

static void read_tail(struct view *view, struct tail *tail,
                      void (*take)(struct view *view, const char *line, size_t len),
                      void (*forget)(struct view *view))
{
    if (is_replaced(tail)) {
        fclose(STEAL(tail->file));
        bytes_clear(&tail->partial);
        forget(view);
    }
    if (!tail->file)
        tail->file = fopen(tail->path, "re");
    if (!tail->file)
        return;
    char chunk[4096];
    size_t got;
    clearerr(tail->file);
    while ((got = fread(chunk, 1, sizeof chunk, tail->file)) > 0) {
        for (size_t i = 0; i < got; i++) {
            if (chunk[i] != '\n' && tail->partial.len < MAX_LINE) {
                bytes_u8(&tail->partial, (uint8_t)chunk[i]);
                continue;
            }
            take(view, (const char *)tail->partial.data, tail->partial.len);
            bytes_clear(&tail->partial);
        }
    }
}

static void read_appended(struct view *view)
{
    read_tail(view, &view->metrics, take_line, forget_rounds);
    read_tail(view, &view->evals, take_eval, forget_evals);
}

/* Mean over the last rounds; the sums give rates. */
static struct figures recent(const struct view *view)
{
    struct figures sum = view->last;
    uint64_t n = view->seen < WINDOW ? view->seen : WINDOW;
    sum.reward = sum.success = sum.lag = sum.trained = sum.generated = 0;
    sum.generator_idle = sum.generator_busy = sum.learner_idle = sum.learner_busy = 0;
    for (uint64_t i = 0; i < n; i++) {
        const struct figures *f = &view->window[i];
        sum.reward += f->reward / (double)n;
        sum.success += f->success / (double)n;
        sum.lag += f->lag / (double)n;
        sum.trained += f->trained;
        sum.generated += f->generated;
        sum.generator_idle += f->generator_idle;
        sum.generator_busy += f->generator_busy;
        sum.learner_idle += f->learner_idle;
        sum.learner_busy += f->learner_busy;
    }
    return sum;
}

static int percent(double part, double other)
{
    return part + other > 0 ? (int)lround(100 * part / (part + other)) : 0;
}

static void print_line(struct view *view)
{
    struct figures f = recent(view);
    double wall = f.learner_idle + f.learner_busy;
    char total[32] = "";
    if (view->rounds)
        snprintf(total, sizeof total, "/%" PRIu64, view->rounds);
    if (view->terminal)
        fputs("\r\033[K", stdout);
    printf(
        "round %.0f%s  version %.0f  reward %.3f  success %.2f  lag %.1f/%.0f  kl %.4f  entropy %.2f  %.0f tok/s  "
        "idle: generator %d%% learner %d%%%s%s",
        f.round + 1, total, f.version, f.reward, f.success, f.lag, f.lag_max, f.kl, f.entropy,
        wall > 0 ? f.trained / wall : 0, percent(f.generator_idle, f.generator_busy),
        percent(f.learner_idle, f.learner_busy), *f.cause ? " for " : "", f.cause);
    if (view->evaluations)
        printf("  eval v%.0f %.3f", view->eval_version, view->eval_success);
    if (!view->terminal)
        putchar('\n');
    view->line_open = view->terminal;
    fflush(stdout);
}

void view_update(struct view *view)
{
    uint64_t before = view->seen;
    read_appended(view);
    if (view->seen == before)
        return;
    bool last = view->rounds && view->last.round + 1 >= (double)view->rounds;
    if (!view->terminal && !last && clock_ms() - view->shown_ms < QUIET_EVERY_MS)
        return;
    view->shown_ms = clock_ms();
    print_line(view);
}

static int columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

void view_held(struct view *view, const char *line, const char *cause)
{
    if (!line) {
        *view->held = 0;
        return;
    }
    const int64_t now_ms = clock_ms();
    const bool same = strcmp(view->held, cause) == 0;
    if (same && now_ms - view->held_ms < (view->terminal ? HELD_SHOW_MS : HELD_EVERY_MS))
        return;
    snprintf(view->held, sizeof view->held, "%s", cause);
    view->held_ms = now_ms;
    SCOPED_MEM char *shown = printable_text(line, ""); // it names peers
    if (view->terminal)
        printf("\r\033[K%.*s", columns(), shown);
    else
        puts(shown);
    view->line_open = view->terminal;
    fflush(stdout);
}

static void end_line(struct view *view)
{
    if (view->line_open)
        putchar('\n');
    view->line_open = false;
}

void view_note(struct view *view, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    const int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return;
    end_line(view);
    SCOPED_MEM char *shown = printable_text(text, "");
    puts(shown);
    fflush(stdout);
    mem_free(text);
}

void view_summary(struct view *view)
{
    read_appended(view);
    end_line(view);
    if (!view->seen) {
        puts("no round was trained");
        return;
    }
    struct figures f = recent(view);
    double wall = view->learner_idle + view->learner_busy;
    printf("trained %" PRIu64 " rounds to version %.0f in %.1f s (%.1f s since `up`)\n", view->seen,
           view->last.version, view->last.time_s, clock_s() - view->started_s);
    printf(
        "  reward   %.3f -> %.3f   success %.2f -> %.2f   (first round -> mean of the last %d)\n",
        view->first.reward, f.reward, view->first.success, f.success,
        (int)(view->seen < WINDOW ? view->seen : WINDOW));
    if (view->evaluations)
        printf("  eval     %.3f -> %.3f   success %.2f -> %.2f   (first -> version %.0f; %" PRIu64
               " in evals.jsonl)\n",
               view->eval_reward_first, view->eval_reward, view->eval_success_first,
               view->eval_success, view->eval_version, view->evaluations);
    printf("  lag      largest %.0f rounds, %.0f groups left stale\n", view->lag_max, view->stale);
    printf("  tokens   %.0f generated, %.0f trained, %.0f tok/s\n", view->generated, view->trained,
           wall > 0 ? view->trained / wall : 0);
    printf("  idle     generators %d%%, learner %d%%\n",
           percent(view->generator_idle, view->generator_busy),
           percent(view->learner_idle, view->learner_busy));
}

static void tail_done(struct tail *tail)
{
    if (tail->file)
        fclose(tail->file);
    bytes_done(&tail->partial);
    mem_free(tail->path);
}

void view_free(struct view *view)
{
    if (!view)
        return;
    tail_done(&view->metrics);
    tail_done(&view->evals);
    mem_free(view);
}
