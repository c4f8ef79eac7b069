#include "ctl/look/ring_state.h"
#include "base/mem.h"
#include "ctl/words/output.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"generator", "rewarder", "learner"};

static enum ring_kind kind_of(const char *text)
{
    for (int kind = 0; kind < RING_KINDS; kind++)
        if (strncmp(text, kinds[kind], strlen(kinds[kind])) == 0)
            return (enum ring_kind)kind;
    return RING_LEARNER; // an address alone is the learner's, until it says otherwise
}

size_t ring_state_daemon(struct ring_state *state, const char *name)
{
    for (size_t i = 0; i < state->daemons; i++)
        if (strcmp(state->daemon[i].name, name) == 0)
            return i;
    if (state->daemons == RING_DAEMONS)
        return RING_DAEMONS;
    struct ring_daemon *daemon = &state->daemon[state->daemons];
    snprintf(daemon->name, sizeof daemon->name, "%s", name);
    daemon->kind = kind_of(name);
    return state->daemons++;
}

/* ---- what a daemon says */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The number of that name, labels left out: rows of one name are added up. */
static double number(const json_t *status, const char *name)
{
    double sum = 0;
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(status, "numbers"), i, one) {
        const char *is = text_at(one, "name");
        if (strncmp(is, name, strlen(name)) == 0 && (!is[strlen(name)] || is[strlen(name)] == '{'))
            sum += json_number_value(json_object_get(one, "value"));
    }
    return sum;
}

/* A counter. Daemons of an older build have it without _total. */
static double total(const json_t *status, const char *name)
{
    SCOPED_MEM char *now = mem_printf("%s_total", name);
    return number(status, now) + number(status, name);
}

static const char *text(const json_t *status, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(status, "texts"), i, one)
        if (strcmp(text_at(one, "name"), name) == 0)
            return text_at(one, "value");
    return "";
}

static struct ring_sample sample_of(enum ring_kind kind, const json_t *status)
{
    if (kind == RING_GENERATOR)
        return (struct ring_sample){.tokens = total(status, "rlhfd_decode_tokens"),
                                    .groups = number(status, "rlhfd_groups_delivered_total"),
                                    .busy_s = total(status, "rlhfd_decode_busy_seconds"),
                                    .idle_s = total(status, "rlhfd_decode_idle_seconds")};
    if (kind == RING_REWARDER)
        return (struct ring_sample){.tokens = number(status, "rlhfd_reference_tokens_total"),
                                    .groups = number(status, "rlhfd_groups_scored_total")};
    return (struct ring_sample){.tokens = number(status, "rlhfd_tokens_trained_total"),
                                .groups = number(status, "rlhfd_groups_appended_total"),
                                .rounds = number(status, "rlhfd_round"),
                                .versions = number(status, "rlhfd_version"),
                                .weight_bytes = total(status, "rlhfd_weights_sent_bytes"),
                                .busy_s = number(status, "rlhfd_learner_busy_seconds_total"),
                                .idle_s = number(status, "rlhfd_learner_idle_seconds_total")};
}

static void take_lags(struct ring_state *state, const json_t *status)
{
    size_t i;
    json_t *one;
    state->lags = 0;
    json_array_foreach (json_object_get(status, "lags"), i, one)
        if (state->lags < RING_LAGS)
            state->lag[state->lags++] = (struct ring_lag){
                .lag = (uint64_t)json_integer_value(json_object_get(one, "lag")),
                .trained = (uint64_t)json_integer_value(json_object_get(one, "trained")),
                .stored = (uint64_t)json_integer_value(json_object_get(one, "stored")),
                .leased = (uint64_t)json_integer_value(json_object_get(one, "leased"))};
}

static void take_learner(struct ring_state *state, const json_t *status)
{
    snprintf(state->run, sizeof state->run, "%s", text_at(status, "run"));
    state->round = number(status, "rlhfd_round");
    state->version = number(status, "rlhfd_version");
    state->reward = number(status, "rlhfd_reward_mean");
    state->lag_mean = number(status, "rlhfd_lag_mean");
    state->lag_max = number(status, "rlhfd_lag_max");
    state->eval_success = number(status, "rlhfd_eval_success");
    state->eval_version = number(status, "rlhfd_eval_version");
    const char *paused = text(status, "paused"); // "generation, training"
    state->generation_paused = strstr(paused, "generation");
    state->training_paused = strstr(paused, "training");
    take_lags(state, status);
}

static void take_sample(struct ring_daemon *daemon, struct ring_sample now, int64_t now_ms)
{
    const struct ring_sample *last =
        daemon->samples ? &daemon->sample[(daemon->samples - 1) % RING_SAMPLES] : NULL;
    now.at_s = (double)now_ms / 1e3;
    if (last && (now.tokens < last->tokens || now.groups < last->groups))
        daemon->samples = 0; // it was started again
    daemon->sample[daemon->samples++ % RING_SAMPLES] = now;
    daemon->known = daemon->answers = true;
    daemon->lost_ms = now_ms;
}

/* A daemon of an older build says what it waits for alone. */
static void take_held(struct ring_daemon *daemon, const json_t *status)
{
    const json_t *held = json_object_get(status, "held_up"); // null: nothing holds it up
    daemon->is_held = json_is_object(held);
    daemon->held_ready = json_is_true(json_object_get(held, "ready"));
    snprintf(daemon->held_cause, sizeof daemon->held_cause, "%s", text_at(held, "cause"));
    daemon->held_s = json_number_value(json_object_get(held, "seconds"));
    snprintf(daemon->waits_for, sizeof daemon->waits_for, "%s",
             daemon->is_held ? text_at(held, "text") : text(status, "waits_for"));
}

void ring_state_status(struct ring_state *state, size_t at, const json_t *status, int64_t now_ms)
{
    struct ring_daemon *daemon = &state->daemon[at];
    daemon->kind = kind_of(text_at(status, "daemon"));
    take_sample(daemon, sample_of(daemon->kind, status), now_ms);
    snprintf(daemon->state, sizeof daemon->state, "%s", text_at(status, "state"));
    take_held(daemon, status);
    daemon->version = number(status, "rlhfd_weights_version");
    daemon->slots = number(status, "rlhfd_decode_active_slots");
    daemon->waiting = number(status, daemon->kind == RING_GENERATOR ? "rlhfd_groups_unsettled"
                                                                    : "rlhfd_groups_waiting");
    if (daemon->kind == RING_LEARNER)
        take_learner(state, status);
}

static double real_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void take_worker(struct ring_daemon *daemon, const json_t *worker, int64_t now_ms)
{
    daemon->kind = kind_of(text_at(worker, "kind"));
    daemon->by_learner = daemon->listed = true;
    take_sample(daemon,
                (struct ring_sample){.tokens = real_at(worker, "tokens"),
                                     .groups = NAN, // it does not say
                                     .busy_s = real_at(worker, "busy_s"),
                                     .idle_s = real_at(worker, "idle_s")},
                now_ms);
    snprintf(daemon->state, sizeof daemon->state, "%s", text_at(worker, "state"));
    snprintf(daemon->waits_for, sizeof daemon->waits_for, "%s", text_at(worker, "waits_for"));
    daemon->version = real_at(worker, "version");
    daemon->waiting = daemon->slots = NAN;
}

void ring_state_workers(struct ring_state *state, const json_t *reply, int64_t now_ms)
{
    size_t i;
    json_t *worker;
    for (i = 0; i < state->daemons; i++)
        state->daemon[i].listed = false;
    json_array_foreach (json_object_get(reply, "workers"), i, worker) {
        if (strcmp(text_at(worker, "state"), "LOST") == 0)
            continue;
        const size_t at = ring_state_daemon(state, text_at(worker, "name"));
        if (at < RING_DAEMONS)
            take_worker(&state->daemon[at], worker, now_ms);
    }
    for (i = 0; i < state->daemons; i++)
        if (state->daemon[i].by_learner && !state->daemon[i].listed)
            ring_state_lost(state, i, "not connected to the learner", now_ms);
}

void ring_state_lost(struct ring_state *state, size_t at, const char *why, int64_t now_ms)
{
    struct ring_daemon *daemon = &state->daemon[at];
    if (!daemon->known)
        daemon->lost_ms = now_ms;
    daemon->known = true;
    daemon->answers = false;
    daemon->samples = 0;
    snprintf(daemon->why, sizeof daemon->why, "%s", why);
}

/* ---- figures */

/* Between the oldest sample kept and the newest. */
struct ring_sample ring_daemon_rates(const struct ring_daemon *daemon)
{
    if (daemon->samples < 2)
        return (struct ring_sample){0};
    const struct ring_sample *b = &daemon->sample[(daemon->samples - 1) % RING_SAMPLES];
    const struct ring_sample *a =
        &daemon->sample[daemon->samples > RING_SAMPLES ? daemon->samples % RING_SAMPLES : 0];
    const double s = b->at_s - a->at_s;
    if (s <= 0)
        return (struct ring_sample){0};
    return (struct ring_sample){.tokens = (b->tokens - a->tokens) / s,
                                .groups = (b->groups - a->groups) / s,
                                .rounds = (b->rounds - a->rounds) / s,
                                .versions = (b->versions - a->versions) / s,
                                .weight_bytes = (b->weight_bytes - a->weight_bytes) / s,
                                .busy_s = b->busy_s - a->busy_s,
                                .idle_s = b->idle_s - a->idle_s};
}

static void add_state(struct ring_rates *rates, const char *state)
{
    if (!*rates->state)
        snprintf(rates->state, sizeof rates->state, "%s", state);
    else if (strcmp(rates->state, state) != 0)
        snprintf(rates->state, sizeof rates->state, "mixed");
}

struct ring_figures ring_state_figures(const struct ring_state *state)
{
    struct ring_figures figures = {0};
    double busy[RING_KINDS] = {0}, all[RING_KINDS] = {0};
    for (size_t i = 0; i < state->daemons; i++) {
        const struct ring_daemon *daemon = &state->daemon[i];
        struct ring_rates *rates = &figures.kind[daemon->kind];
        rates->count++;
        if (!daemon->answers)
            continue;
        const struct ring_sample rate = ring_daemon_rates(daemon);
        const double version = daemon->version;
        rates->version_least = rates->answering ? fmin(rates->version_least, version) : version;
        rates->version_most = fmax(rates->version_most, version);
        rates->answering++;
        rates->tokens += rate.tokens;
        rates->groups += rate.groups;
        rates->rounds += rate.rounds;
        rates->versions += rate.versions;
        rates->weight_bytes += rate.weight_bytes;
        rates->waiting += daemon->waiting;
        rates->slots += daemon->slots;
        busy[daemon->kind] += rate.busy_s;
        all[daemon->kind] += rate.busy_s + rate.idle_s;
        add_state(rates, daemon->state);
    }
    for (int kind = 0; kind < RING_KINDS; kind++)
        figures.kind[kind].busy = all[kind] > 0 ? busy[kind] / all[kind] : -1;
    return figures;
}

/* A daemon that is ready waits now and then: what has not lasted so long holds nothing up. */
enum { READY_LASTS_S = 2 };

static bool is_lost(const struct ring_daemon *daemon)
{
    return daemon->known && !daemon->answers;
}

static bool names_cause(const struct ring_daemon *daemon, bool ready)
{
    return daemon->answers && daemon->is_held && daemon->held_ready == ready &&
           (!ready || daemon->held_s >= READY_LASTS_S);
}

const struct ring_daemon *ring_state_held(const struct ring_state *state)
{
    const struct ring_daemon *learner = NULL, *other = NULL;
    for (size_t i = 0; i < state->daemons; i++) {
        const struct ring_daemon *daemon = &state->daemon[i];
        if (daemon->kind == RING_LEARNER)
            learner = daemon;
        else if (!other && names_cause(daemon, false))
            other = daemon;
    }
    if (learner && (is_lost(learner) || names_cause(learner, false)))
        return learner;
    if (other)
        return other;
    return learner && names_cause(learner, true) ? learner : NULL;
}

char *ring_state_held_line(const struct ring_state *state)
{
    const struct ring_daemon *daemon = ring_state_held(state);
    if (!daemon)
        return NULL;
    if (is_lost(daemon))
        return mem_printf("held up: %s does not answer: %s", daemon->name, daemon->why);
    return mem_printf("held up for %.0f s: %s%s%s", daemon->held_s,
                      daemon->kind == RING_LEARNER ? "" : daemon->name,
                      daemon->kind == RING_LEARNER ? "" : ": ", daemon->waits_for);
}

char *ring_state_line(const struct ring_state *state)
{
    const struct ring_figures figures = ring_state_figures(state);
    const struct ring_rates *generators = &figures.kind[RING_GENERATOR];
    const struct ring_rates *learner = &figures.kind[RING_LEARNER];
    const struct ring_rates *rewarders = &figures.kind[RING_REWARDER];
    return mem_printf(
        "%s  round %.0f  version %.0f  reward %.3f  lag %.1f/%.0f  %s tok/s  %s groups/s  %.2f rounds/s  "
        "weights %s/s  answering %zu/%zu",
        learner->answering ? learner->state : "no learner", state->round, state->version,
        state->reward, state->lag_mean, state->lag_max, figure_count(generators->tokens).text,
        figure_count(rewarders->groups).text, learner->rounds,
        figure_bytes(learner->weight_bytes).text,
        generators->answering + rewarders->answering + learner->answering, state->daemons);
}
