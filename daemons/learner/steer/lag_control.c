#include "learner/steer/lag_control.h"
#include <math.h>

/* A rise has to make rounds this much faster: a round of lag costs learning, too, and rounds differ
 * anyway. It is their time that counts, not the learner's share of it: generators with more to do
 * may slow the learner down. */
static const double GAIN = 1.05;
/* Standard errors between the learner's share of idle time and its bound: on loaded cores single
 * rounds wait for half of theirs. */
static const double ERRORS = 2;
enum { BAR_FIRST = 8, BAR_MAX = 64, LOOKS_MAX = 8 };

const char *lag_why_name(enum lag_why why)
{
    static const char *const names[] = {
        "it stays",
        "the effective sample size is below its band",
        "the weights have moved too far from those that sampled",
        "the last rise has made rounds no faster",
        "the learner waits and generators are paced",
        "the learner waits for stragglers",
        "a lower limit takes nothing from anybody",
    };
    return (unsigned)why < sizeof names / sizeof *names ? names[why] : "?";
}

static double share(double part, double other)
{
    return part + other > 0 ? part / (part + other) : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_waits(struct lag_waits *waits, const struct lag_seen *seen)
{
    const double idle = seen->learner_idle_s, all = idle + seen->learner_busy_s;
    waits->idle_s += idle;
    waits->all_s += all;
    waits->straggler_s += seen->straggler ? idle : 0;
    waits->idle_squares += idle * idle;
    waits->products += idle * all;
    waits->all_squares += all * all;
    waits->rounds++;
}

static void add(struct lag_control *control, const struct lag_seen *seen)
{
    struct lag_seen *sums = &control->sums;
    if (!control->seen++) {
        *sums = (struct lag_seen){.queue = UINT64_MAX, .spare = UINT64_MAX};
        control->ess_n = control->kl_n = 0;
    }
    sums->generator_idle_s += seen->generator_idle_s;
    sums->generator_busy_s += seen->generator_busy_s;
    add_waits(&control->waits, seen);
    if (isfinite(seen->ess)) {
        sums->ess += seen->ess;
        control->ess_n++;
    }
    if (isfinite(seen->kl)) {
        sums->kl += seen->kl;
        control->kl_n++;
    }
    sums->queue = least(sums->queue, seen->queue);
    sums->spare = least(sums->spare, seen->spare);
}

/* again: the limit was wrong before. */
static void bar(struct lag_bar *bar, bool again)
{
    bar->length = most(least(bar->length << again, BAR_MAX), BAR_FIRST);
    bar->left = bar->length;
}

static bool is_barred(struct lag_bar *bar)
{
    if (!bar->left)
        return false;
    bar->left--;
    return true;
}

/* What the rounds looked at were like. */
static struct lag_move look(const struct lag_control *control, uint64_t eta)
{
    const struct lag_seen *sums = &control->sums;
    const struct lag_waits *waits = &control->waits;
    return (struct lag_move){
        .eta = eta,
        .why = LAG_STAYS,
        .learner_idle = share(waits->idle_s, waits->all_s - waits->idle_s),
        .generator_idle = share(sums->generator_idle_s, sums->generator_busy_s),
        .ess = control->ess_n > 0 ? sums->ess / control->ess_n : NAN,
        .kl = control->kl_n > 0 ? sums->kl / control->kl_n : NAN,
    };
}

/* Whether the weights moved too far while the groups waited; unknown figures speak against
 * nothing. */
static enum lag_why too_far(const struct lag_control_config *config, const struct lag_move *at)
{
    if (at->ess < config->ess_low)
        return LAG_ESS;
    return at->kl > config->kl_high ? LAG_KL : LAG_STAYS;
}

static bool straggles(const struct lag_control *control)
{
    return control->waits.straggler_s > control->waits.idle_s / 2;
}

/* Of more than its share of the time. */
enum waits { WAITS_NOT, WAITS_PERHAPS, WAITS_SURELY };

/* The share is a ratio of sums; its variance is that of the residuals idle - share * all. */
static enum waits waits(const struct lag_control *control, const struct lag_control_config *config)
{
    const struct lag_waits *w = &control->waits;
    const double n = (double)w->rounds, idle = look(control, 0).learner_idle;
    if (idle <= config->idle_high)
        return WAITS_NOT;
    const double residuals =
        w->idle_squares - 2 * idle * w->products + idle * idle * w->all_squares;
    const double error = sqrt(fmax(residuals, 0) * n / (n - 1)) / w->all_s; // n = 1: not finite
    bool long_enough = w->rounds >= LOOKS_MAX * config->rounds;
    return long_enough || idle - ERRORS * error > config->idle_high ? WAITS_SURELY : WAITS_PERHAPS;
}

/* Whether the learner waits for what a higher limit could give it. */
static enum lag_why starves(const struct lag_control *control,
                            const struct lag_control_config *config, const struct lag_move *at)
{
    if (waits(control, config) != WAITS_SURELY)
        return LAG_STAYS;
    if (straggles(control))
        return LAG_STRAGGLES;
    return at->generator_idle > config->idle_low ? LAG_STARVES : LAG_STAYS;
}

static double round_s(const struct lag_control *control)
{
    return control->waits.all_s / (double)control->waits.rounds;
}

static enum lag_why decide_down(struct lag_control *control,
                                const struct lag_control_config *config, const struct lag_move *at)
{
    enum lag_why why = too_far(config, at);
    if (why != LAG_STAYS) {
        if (control->last > 0)
            bar(&control->up, true);
        return why;
    }
    if (control->last > 0 && !control->stood && waits(control, config) == WAITS_SURELY &&
        GAIN * round_s(control) > control->round_before_s) {
        bar(&control->up, true);
        return LAG_NO_GAIN;
    }
    return LAG_STAYS;
}

static enum lag_why decide_up(struct lag_control *control, const struct lag_control_config *config,
                              const struct lag_move *at)
{
    enum lag_why why = starves(control, config, at);
    bool room = !(at->ess < config->ess_high) && !(at->kl > config->kl_low);
    bool undo = control->last < 0; // the limit above was enough
    bool barred = is_barred(&control->up);
    if (why == LAG_STAYS || !room || (barred && !undo))
        return LAG_STAYS;
    bar(&control->down, undo && control->stood < most(control->down.length, BAR_FIRST));
    return why;
}

/* While it waits for stragglers groups pile up, and that says nothing. */
static bool is_enough(struct lag_control *control, const struct lag_control_config *config)
{
    bool waiting = waits(control, config) != WAITS_NOT;
    bool queued = control->sums.queue >= config->groups && !waiting;
    bool spared = control->sums.spare >= config->groups && !(waiting && straggles(control));
    return !is_barred(&control->down) && (queued || spared);
}

/* A decision that moved nothing. What is not certain yet goes on being looked at. */
static void stand(struct lag_control *control, const struct lag_control_config *config)
{
    if (waits(control, config) == WAITS_PERHAPS)
        return;
    control->waits = (struct lag_waits){0};
    control->stood++;
    if (control->last < 0 && control->stood == control->down.length)
        control->down.length /= 2;
}

static struct lag_move decide(struct lag_control *control, const struct lag_control_config *config,
                              uint64_t eta)
{
    struct lag_move move = look(control, eta);
    int direction = 0, last = 0;
    move.why = decide_down(control, config, &move);
    if (move.why != LAG_STAYS) {
        direction = -1;
    } else if ((move.why = decide_up(control, config, &move)) != LAG_STAYS) {
        direction = last = 1;
    } else if (is_enough(control, config)) {
        move.why = LAG_ENOUGH;
        direction = last = -1;
    }
    if ((direction > 0 && eta >= config->max) || (direction < 0 && eta <= config->min))
        direction = last = 0;
    move.eta = direction > 0 ? eta + 1 : direction < 0 ? eta - 1 : eta;
    move.why = direction ? move.why : LAG_STAYS;
    control->seen = 0;
    if (!direction) {
        stand(control, config);
        return move;
    }
    control->last = last;
    control->stood = 0;
    control->round_before_s = round_s(control);
    control->waits = (struct lag_waits){0};
    control->skip = most(move.eta, eta) + 1;
    return move;
}

struct lag_move lag_control_step(struct lag_control *control,
                                 const struct lag_control_config *config, uint64_t eta,
                                 const struct lag_seen *seen)
{
    struct lag_move stays = {.eta = eta < config->min   ? config->min
                                    : eta > config->max ? config->max
                                                        : eta,
                             .why = LAG_STAYS};
    if (!control->begun || control->eta != eta || stays.eta != eta)
        *control =
            (struct lag_control){.begun = true, .eta = stays.eta, .skip = most(eta, stays.eta) + 1};
    if (control->skip) {
        control->skip--;
        return stays;
    }
    add(control, seen);
    if (control->seen < config->rounds)
        return stays;
    struct lag_move move = decide(control, config, eta);
    control->eta = move.eta;
    return move;
}
