#include "ctl/make/planning.h"
#include <math.h>
#include <stddef.h>

/* Of a parameter: bf16, a master and two moments (learner/settings.c). */
enum { CHECKPOINT_BYTES = 14 };
/* Calls on their way, the store's end, and some room. */
enum { LEAVE_S = 10 };

const char *const plan_way_names[PLAN_WAYS] = {
    [PLAN_STAR] = "star", [PLAN_RING] = "ring", [PLAN_TREE] = "tree"};

err_t plan_check(const struct plan_input *input)
{
    const struct {
        const char *name;
        double value, min, max;
    } limits[] = {{"parameters", input->parameters, 1, 1e13},
                  {"changed", input->changed, 0, 1},
                  {"generators", input->generators, 1, 1e5},
                  {"bandwidth (bytes per second)", input->bytes_per_s, 1e3, 1e13},
                  {"latency (seconds)", input->latency_s, 0, 60},
                  {"fanout", input->fanout, 1, 1e5},
                  {"slice (bytes)", input->slice_bytes, 1, 1e12},
                  {"seconds of a round's updates", input->round_s, 1e-6, 1e7},
                  {"groups", input->groups, 1, 1e7},
                  {"completions", input->completions, 1, 1e5},
                  {"mean tokens", input->mean_tokens, 1, 1e7},
                  {"longest tokens", input->longest_tokens, input->mean_tokens, 1e8},
                  {"tokens per second", input->tokens_per_s, 1e-3, 1e9},
                  {"slots", input->slots, input->completions, 1e7},
                  {"seconds of scoring", input->score_s, 0, 1e6},
                  {"eta", input->eta, 0, 1e6},
                  {"trainees", input->trainees, 1, 2},
                  {"disk (bytes per second)", input->disk_bytes_per_s, 1e3, 1e13}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].min && limits[i].value <= limits[i].max))
            return err_new(ERR_INVALID, "%s: %g; allowed: %g to %g", limits[i].name,
                           limits[i].value, limits[i].min, limits[i].max);
    return OK;
}

/* ---- bytes */

double plan_delta_bytes(double parameters, double changed, bool zstd)
{
    const double dense = 2 * parameters, s = changed;
    if (s <= 0)
        return 0;
    if (s >= 1)
        return dense;
    /* A gap takes a byte more from 128 on, and again from 16384 on. */
    double bits = 8 * s * (2 + pow(1 - s, 127) + pow(1 - s, 16383));
    if (zstd)
        bits = 1.12 * (-s * log2(s) - (1 - s) * log2(1 - s) + s);
    const double bytes = parameters * bits / 8;
    return bytes < dense ? bytes : dense;
}

/* ---- seconds */

/* Levels of a tree below the learner that hold so many. */
static double tree_levels(double fanout, double generators)
{
    double levels = 0, held = 0, width = 1;
    while (held < generators) {
        width *= fanout;
        held += width;
        levels++;
    }
    return levels;
}

double plan_spread_s(const struct plan_input *input, enum plan_way way, double bytes)
{
    const double once = bytes / input->bytes_per_s, n = input->generators;
    const double slice = fmin(input->slice_bytes, bytes) / input->bytes_per_s;
    switch (way) {
    case PLAN_STAR:
        return n * once + input->latency_s;
    case PLAN_RING: // the last has to wait for its first slice, then they come one after the other
        return once + (n - 1) * slice + n * input->latency_s;
    case PLAN_TREE: {
        const double children = fmin(input->fanout, n);
        return tree_levels(children, n) * (children * once + input->latency_s);
    }
    case PLAN_WAYS:
        break;
    }
    return NAN;
}

/* ---- the ring */

/* From lease to record, on average: the longest of k lengths, if they are spread exponentially, is
 * the k-th harmonic number times the mean. */
static double group_s(const struct plan_input *in)
{
    double harmonic = 0;
    for (int i = 1; i <= (int)in->completions; i++)
        harmonic += 1.0 / i;
    const double tokens = fmin(in->longest_tokens, in->mean_tokens * harmonic);
    return tokens * in->slots / in->tokens_per_s + in->score_s;
}

void plan_make(const struct plan_input *in, struct plan *ret)
{
    const double trained = in->adapter > 0 ? in->adapter : in->parameters,
                 held = in->parameters + in->adapter;
    struct plan p = {.full_bytes = 2 * trained,
                     .learner_bytes =
                         4 * held + 16 * trained + (in->trainees - 1) * 20 * in->parameters,
                     .generator_bytes = 2 * held};
    p.delta_bytes = plan_delta_bytes(trained, in->changed, in->zstd);
    for (int way = 0; way < PLAN_WAYS; way++)
        p.spread[way] = (struct plan_spread){plan_spread_s(in, (enum plan_way)way, p.full_bytes),
                                             plan_spread_s(in, (enum plan_way)way, p.delta_bytes)};
    const double publish_s = p.spread[in->fanout < in->generators ? PLAN_TREE : PLAN_STAR].delta_s;
    const double round_tokens = in->groups * in->completions * in->mean_tokens;
    const double token_s = in->slots / in->tokens_per_s; // of one sequence
    const double offered = in->generators * in->tokens_per_s;
    p.generators_needed = ceil(round_tokens / in->round_s / in->tokens_per_s);
    p.longest_s = in->longest_tokens * token_s + in->score_s;
    const double fed_s = fmax(in->round_s, round_tokens / offered);
    /* Groups leased when weights arrive are trained eta + 1 rounds after the round that made those
     * began. Slots are full until the last of them is begun, then the longest is waited for. */
    const double open = in->generators * in->slots * in->mean_tokens;
    const double cohort_s = fmax(0, round_tokens - open) / offered + p.longest_s + publish_s;
    p.round_s = fmax(fed_s, (in->round_s + cohort_s) / (in->eta + 1));
    p.eta_needed = ceil(cohort_s / fed_s);
    p.learner_idle = 1 - in->round_s / p.round_s;
    /* Generators that suffice run as far ahead as they may. Else a group is as old as it took, and
     * as what an update and its publication take. */
    const double behind = (group_s(in) + in->round_s + publish_s) / p.round_s;
    p.lag = in->generators >= p.generators_needed ? in->eta : fmin(in->eta, behind);
    p.checkpoint_bytes = CHECKPOINT_BYTES * (trained + (in->trainees - 1) * in->parameters);
    p.grace_s = ceil(in->round_s + p.checkpoint_bytes / in->disk_bytes_per_s) + LEAVE_S;
    *ret = p;
}
