#include "learner/lag_control.h"
#include <math.h>

/* A rise has to make rounds this much faster: a round of lag costs learning, too, and rounds differ anyway. It is their time that
 * counts, not the learner's share of it: generators with more to do may slow the learner down. */
static const double GAIN = 1.05;
enum { BAR_FIRST = 2, BAR_MAX = 64 };

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

static void add(struct lag_control *control, const struct lag_seen *seen)
{
    struct lag_seen *sums = &control->sums;
    if (!control->seen++) {
        *sums = (struct lag_seen){.queue = UINT64_MAX, .spare = UINT64_MAX};
        control->straggler_s = control->ess_n = control->kl_n = 0;
    }
    sums->learner_idle_s += seen->learner_idle_s;
    sums->learner_busy_s += seen->learner_busy_s;
    sums->generator_idle_s += seen->generator_idle_s;
    sums->generator_busy_s += seen->generator_busy_s;
    control->straggler_s += seen->straggler ? seen->learner_idle_s : 0;
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

static void bar(struct lag_bar *bar)
{
    bar->length = bar->length ? least(2 * bar->length, BAR_MAX) : BAR_FIRST;
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
    return (struct lag_move){
        .eta = eta,
        .why = LAG_STAYS,
        .learner_idle = share(sums->learner_idle_s, sums->learner_busy_s),
        .generator_idle = share(sums->generator_idle_s, sums->generator_busy_s),
        .ess = control->ess_n > 0 ? sums->ess / control->ess_n : NAN,
        .kl = control->kl_n > 0 ? sums->kl / control->kl_n : NAN,
    };
}

/* Whether the weights moved too far while the groups waited; unknown figures speak against nothing. */
static enum lag_why too_far(const struct lag_control_config *config, const struct lag_move *at)
{
    if (at->ess < config->ess_low)
        return LAG_ESS;
    return at->kl > config->kl_high ? LAG_KL : LAG_STAYS;
}

static bool straggles(const struct lag_control *control)
{
    return control->straggler_s > control->sums.learner_idle_s / 2;
}

/* Whether the learner waits for what a higher limit could give it. */
static enum lag_why starves(const struct lag_control *control,
                            const struct lag_control_config *config, const struct lag_move *at)
{
    if (at->learner_idle <= config->idle_high)
        return LAG_STAYS;
    if (straggles(control))
        return LAG_STRAGGLES;
    return at->generator_idle > config->idle_low ? LAG_STARVES : LAG_STAYS;
}

static double round_s(const struct lag_control *control)
{
    return (control->sums.learner_idle_s + control->sums.learner_busy_s) / (double)control->seen;
}

static enum lag_why decide_down(struct lag_control *control,
                                const struct lag_control_config *config, const struct lag_move *at)
{
    enum lag_why why = too_far(config, at);
    if (why != LAG_STAYS) {
        if (control->last > 0)
            bar(&control->up);
        return why;
    }
    if (control->last > 0 && !control->felt && at->learner_idle > config->idle_high &&
        GAIN * round_s(control) > control->round_before_s) {
        bar(&control->up);
        return LAG_NO_GAIN;
    }
    return LAG_STAYS;
}

static enum lag_why decide_up(struct lag_control *control, const struct lag_control_config *config,
                              const struct lag_move *at)
{
    enum lag_why why = starves(control, config, at);
    bool room = !(at->ess < config->ess_high) && !(at->kl > config->kl_low);
    bool undo = why != LAG_STAYS && control->last < 0 && !control->felt;
    if (undo)
        bar(&control->down); // the last move took too much
    bool barred = is_barred(&control->up);
    return room && (undo || !barred) ? why : LAG_STAYS;
}

/* While it waits for stragglers groups pile up, and that says nothing. */
static bool is_enough(struct lag_control *control, const struct lag_control_config *config,
                      const struct lag_move *at)
{
    bool waits = at->learner_idle > config->idle_high;
    bool queued = control->sums.queue >= config->groups && !waits;
    bool spared = control->sums.spare >= config->groups && !(waits && straggles(control));
    return !is_barred(&control->down) && (queued || spared);
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
    } else if (is_enough(control, config, &move)) {
        move.why = LAG_ENOUGH;
        direction = last = -1;
    }
    if ((direction > 0 && eta >= config->max) || (direction < 0 && eta <= config->min))
        direction = last = 0;
    move.eta = direction > 0 ? eta + 1 : direction < 0 ? eta - 1 : eta;
    move.why = direction ? move.why : LAG_STAYS;
    control->last = direction ? last : control->last;
    control->felt = !direction;
    control->round_before_s = round_s(control);
    control->skip = direction ? most(move.eta, eta) + 1 : 0;
    control->seen = 0;
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
