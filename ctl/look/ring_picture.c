#include "ctl/look/ring_picture.h"
#include "base/mem.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BOX_LINES = 7, BOX_LEAST = 18, BOX_MOST = 28, ARROW_LEAST = 10, TOP = 2 };
enum {
    HEAD_RIGHT = 0x25b6,
    HEAD_UP = 0x25b2,
    BLOCK = 0x2588,
    CORNER_LEFT = 0x2514,
    CORNER_RIGHT = 0x2518,
    TEE = 0x252c
};

struct picture {
    const struct ring_state *state;
    struct ring_figures figures;
    struct grid *grid;
    int64_t now_ms;
    int box, arrow; // columns
    int y;          // the next free line
};

static void draw_title(struct picture *p)
{
    const struct ring_state *s = p->state;
    int x = grid_put(p->grid, 1, 0, STYLE_BOLD, "%s", *s->run ? s->run : "rlhfd");
    x = grid_put(p->grid, x + 3, 0, STYLE_PLAIN, "round %.0f   version %.0f   reward %.3f",
                 s->round, s->version, s->reward);
    if (s->eval_version > 0)
        x = grid_put(p->grid, x + 3, 0, STYLE_PLAIN, "eval of v%.0f: %.3f", s->eval_version,
                     s->eval_success);
    if (s->generation_paused || s->training_paused)
        grid_put(p->grid, x + 3, 0, STYLE_BAD, "%s paused",
                 !s->training_paused     ? "generation"
                 : !s->generation_paused ? "training"
                                         : "generation and training");
}

static void draw_held(struct picture *p)
{
    SCOPED_MEM char *line = ring_state_held_line(p->state);
    if (line)
        grid_put(p->grid, 1, 1, STYLE_BAD, "%s", line);
}

/* ---- boxes and arrows */

static int box_x(const struct picture *p, int place)
{
    return place * (p->box + p->arrow);
}

static void draw_box(struct picture *p, int place, enum ring_kind kind, const char *title)
{
    const struct ring_rates *r = &p->figures.kind[kind];
    const int x = box_x(p, place);
    const bool whole = r->answering == r->count && r->count;
    grid_box(p->grid, x, TOP, p->box, BOX_LINES, STYLE_PLAIN);
    if (r->count > 1)
        grid_put(p->grid, x + 2, TOP, STYLE_BOLD, " %zu %ss ", r->count, title);
    else
        grid_put(p->grid, x + 2, TOP, STYLE_BOLD, " %s ", title);
    if (whole)
        grid_put(p->grid, x + 2, TOP + 1, STYLE_GOOD, "%s", r->state);
    else if (r->count && !r->answering)
        grid_put(p->grid, x + 2, TOP + 1, STYLE_BAD, "does not answer");
    else if (r->count)
        grid_put(p->grid, x + 2, TOP + 1, STYLE_BAD, "%zu of %zu answer", r->answering, r->count);
    else
        grid_put(p->grid, x + 2, TOP + 1, STYLE_DIM, "not known");
    if (r->busy >= 0)
        grid_put(p->grid, x + 2, TOP + 2, STYLE_PLAIN, "busy %.0f%%", 100 * r->busy);
}

static void line_in_box(struct picture *p, int place, int line, const char *text)
{
    grid_put(p->grid, box_x(p, place) + 2, TOP + line, STYLE_PLAIN, "%.*s", p->box - 4, text);
}

static void fill_boxes(struct picture *p)
{
    const struct ring_rates *g = &p->figures.kind[RING_GENERATOR];
    const struct ring_rates *w = &p->figures.kind[RING_REWARDER];
    const struct ring_rates *l = &p->figures.kind[RING_LEARNER];
    char text[64];
    if (g->answering) {
        snprintf(text, sizeof text, "%s tokens/s", figure_count(g->tokens).text);
        line_in_box(p, 0, 3, text);
        snprintf(text, sizeof text, "%s completions", figure_count(g->slots).text);
        line_in_box(p, 0, 4, text);
        if (g->version_least == g->version_most)
            snprintf(text, sizeof text, "version %.0f", g->version_most);
        else
            snprintf(text, sizeof text, "v%.0f-%.0f", g->version_least, g->version_most);
        line_in_box(p, 0, 5, text);
    }
    if (w->answering) {
        snprintf(text, sizeof text, "%s groups/s", figure_count(w->groups).text);
        line_in_box(p, 1, 3, text);
        snprintf(text, sizeof text, "%s on the way", figure_count(w->waiting).text);
        line_in_box(p, 1, 4, text);
    }
    if (l->answering) {
        snprintf(text, sizeof text, "%s tokens/s", figure_count(l->tokens).text);
        line_in_box(p, 2, 3, text);
        snprintf(text, sizeof text, "%s rounds/s", figure_count(l->rounds).text);
        line_in_box(p, 2, 4, text);
        snprintf(text, sizeof text, "version %.0f", p->state->version);
        line_in_box(p, 2, 5, text);
    }
}

static void draw_arrow(struct picture *p, int place, double groups)
{
    const int x = box_x(p, place) + p->box, y = TOP + 3;
    grid_horizontal(p->grid, x + 1, y, p->arrow - 3);
    grid_code(p->grid, x + p->arrow - 2, y, HEAD_RIGHT, STYLE_PLAIN);
    grid_put(p->grid, x + 1, y - 1, STYLE_PLAIN, "%s/s", figure_count(groups).text);
    grid_put(p->grid, x + 1, y + 1, STYLE_DIM, "groups");
}

/* From under the learner back to the generators. */
static void draw_return(struct picture *p)
{
    const struct ring_rates *l = &p->figures.kind[RING_LEARNER];
    const int left = p->box / 2, right = box_x(p, 2) + p->box / 2, y = TOP + BOX_LINES;
    char text[96];
    grid_code(p->grid, right, y - 1, TEE, STYLE_PLAIN);
    grid_code(p->grid, left, y - 1, HEAD_UP, STYLE_PLAIN);
    grid_vertical(p->grid, left, y, 1);
    grid_vertical(p->grid, right, y, 1);
    grid_horizontal(p->grid, left + 1, y + 1, right - left - 1);
    grid_code(p->grid, left, y + 1, CORNER_LEFT, STYLE_PLAIN);
    grid_code(p->grid, right, y + 1, CORNER_RIGHT, STYLE_PLAIN);
    snprintf(text, sizeof text, "weights %s/s, %s versions/s", figure_bytes(l->weight_bytes).text,
             figure_count(l->versions).text);
    grid_put(p->grid, (left + right - (int)strlen(text)) / 2, y, STYLE_PLAIN, "%s", text);
    p->y = y + 3;
}

/* ---- below the ring */

static void draw_bar(struct picture *p, int x, int columns, double share)
{
    const int full = (int)lround(share * columns);
    for (int i = 0; i < full || (i == 0 && share > 0); i++)
        grid_code(p->grid, x + i, p->y, BLOCK, STYLE_BAR);
}

static void draw_lags(struct picture *p)
{
    const struct ring_state *s = p->state;
    uint64_t most = 1;
    for (size_t i = 0; i < s->lags; i++)
        most = s->lag[i].trained > most ? s->lag[i].trained : most;
    const int bar = p->grid->columns - 49 > 40 ? 40 : p->grid->columns - 49;
    int x = grid_put(p->grid, 1, p->y, STYLE_BOLD, "lag");
    if (*s->lag_limit)
        x = grid_put(p->grid, x, p->y, STYLE_PLAIN, " (lag.max %s)", s->lag_limit);
    grid_put(p->grid, 22, p->y, STYLE_DIM, "%8s%8s%8s", "trained", "stored", "leased");
    p->y++;
    for (size_t i = 0; i < s->lags && p->y < p->grid->lines - 5; i++, p->y++) {
        grid_put(p->grid, 1, p->y, STYLE_PLAIN, "%3" PRIu64, s->lag[i].lag);
        grid_put(p->grid, 22, p->y, STYLE_PLAIN, "%8s%8s%8s",
                 figure_count((double)s->lag[i].trained).text,
                 figure_count((double)s->lag[i].stored).text,
                 figure_count((double)s->lag[i].leased).text);
        if (bar > 0)
            draw_bar(p, 48, bar, (double)s->lag[i].trained / (double)most);
    }
    if (!s->lags)
        grid_put(p->grid, 1, p->y++, STYLE_DIM, "  mean %.2f, largest %.0f in the last round",
                 s->lag_mean, s->lag_max);
    p->y++;
}

static void draw_daemon(struct picture *p, const struct ring_daemon *d)
{
    const struct ring_sample rate = ring_daemon_rates(d);
    const double all = rate.busy_s + rate.idle_s;
    const bool is_rewarder = d->kind == RING_REWARDER;
    grid_put(p->grid, 1, p->y, STYLE_PLAIN, "%-22.22s", d->name);
    if (!d->answers) {
        grid_put(p->grid, 24, p->y, STYLE_BAD, d->known ? "gone for %s: %s" : "not heard of yet",
                 figure_seconds((double)(p->now_ms - d->lost_ms) / 1e3).text, d->why);
        return;
    }
    int x = grid_put(p->grid, 24, p->y, STYLE_PLAIN, "%-10.10s%12s", d->state,
                     figure_count(is_rewarder ? rate.groups : rate.tokens).text);
    x = grid_put(p->grid, x, p->y, STYLE_PLAIN, is_rewarder ? " groups/s" : " tokens/s");
    if (all > 0)
        grid_put(p->grid, x, p->y, STYLE_PLAIN, "%5.0f%%", 100 * rate.busy_s / all);
    if (*d->waits_for)
        grid_put(p->grid, x + 8, p->y, STYLE_PLAIN, "waits: %s", d->waits_for);
}

/* 0: gone, 1: waits, 2: works. */
static int rank_of(const struct ring_daemon *d)
{
    return !d->answers ? 0 : *d->waits_for ? 1 : 2;
}

/* Those first that a person looks for. */
static void draw_daemons(struct picture *p)
{
    const int last = p->grid->lines - 2; // above the footer
    size_t shown = 0;
    grid_put(p->grid, 1, p->y++, STYLE_BOLD, "%-23s%-10s%12s%15s", "daemon", "state", "rate",
             "busy");
    for (int rank = 0; rank < 3; rank++)
        for (size_t i = 0; i < p->state->daemons; i++) {
            if (rank_of(&p->state->daemon[i]) != rank || p->y >= last)
                continue;
            draw_daemon(p, &p->state->daemon[i]);
            p->y++;
            shown++;
        }
    if (shown < p->state->daemons && p->y == last)
        grid_put(p->grid, 1, p->y, STYLE_DIM, "and %zu more", p->state->daemons - shown);
}

void ring_picture(const struct ring_state *state, int64_t now_ms, const char *footer,
                  struct grid *ret)
{
    struct picture p = {
        .state = state, .figures = ring_state_figures(state), .grid = ret, .now_ms = now_ms};
    const int third = (ret->columns - 2 * ARROW_LEAST) / 3;
    p.box = third < BOX_LEAST ? BOX_LEAST : third > BOX_MOST ? BOX_MOST : third;
    p.arrow = (ret->columns - 3 * p.box) / 2;
    p.arrow = p.arrow < ARROW_LEAST       ? ARROW_LEAST
              : p.arrow > 2 * ARROW_LEAST ? 2 * ARROW_LEAST
                                          : p.arrow;
    draw_title(&p);
    draw_held(&p);
    draw_box(&p, 0, RING_GENERATOR, "generator");
    draw_box(&p, 1, RING_REWARDER, "rewarder");
    draw_box(&p, 2, RING_LEARNER, "learner");
    fill_boxes(&p);
    draw_arrow(&p, 0, p.figures.kind[RING_GENERATOR].groups);
    draw_arrow(&p, 1, p.figures.kind[RING_LEARNER].groups);
    draw_return(&p);
    draw_lags(&p);
    draw_daemons(&p);
    for (int x = 0; x < ret->columns; x++)
        grid_code(ret, x, ret->lines - 1, ' ', STYLE_PLAIN);
    grid_put(ret, 1, ret->lines - 1, STYLE_DIM, "%s", footer);
}
