#include "generator/decode.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "generator/deliver.h"
#include "generator/turns.h"
#include "model/files/fit.h"
#include "svc/recipe/recipe.h"
#include "svc/worker.h"

enum { CAPACITY = 1 << 10, IDLE_TICK_MS = 100 };
#define TELL_S 0.05 /* between two tellings of the figures */

struct decode {
    struct decode_options options;
    struct worker *worker;
    struct decode_figures told; // loop
    void *lent;                 // see decode_lent
    size_t lent_bytes;
    /* Compute thread: */
    struct track *track[TRACKS]; // NULL: none
    struct turns turns;
    bool serving; // training's first weights are in force
    bool paused;  // no step is made, and no weights are taken
    double serving_since_s, evaluation_s, told_s;
    struct decode_figures shown;
};

/* ---- what the compute thread tells the loop */

struct note {
    struct decode *decode;
    struct group *group;
    enum track_kind track;
    uint64_t version;
    bool paused;
    struct decode_figures figures;
    err_t why;
};

static void tell(struct decode *decode, void (*fn)(void *), const struct note *note)
{
    struct note *copy = mem_copy(note, sizeof *note);
    copy->decode = decode;
    loop_post(decode->options.loop, fn, copy);
}

static void on_finished(void *arg)
{
    struct note *note = arg;
    const struct decode_options *options = &note->decode->options;
    const struct digest id = note->group->id;
    deliver_group(options->deliver, note->group);
    options->finished(options->arg, &id);
    mem_free(note);
}

static void on_unusable(void *arg)
{
    struct note *note = arg;
    note->decode->options.unusable(note->decode->options.arg, note->group, note->why);
    group_free(note->group);
    mem_free(note);
}

static void on_wanted(void *arg)
{
    struct note *note = arg;
    if (note->decode->worker)
        note->decode->options.wanted(note->decode->options.arg, note->track);
    mem_free(note);
}

static void on_applied(void *arg)
{
    struct note *note = arg;
    note->decode->options.applied(note->decode->options.arg, note->track, note->version);
    mem_free(note);
}

static void on_paused(void *arg)
{
    struct note *note = arg;
    note->decode->options.paused(note->decode->options.arg, note->paused);
    mem_free(note);
}

static void on_failed(void *arg)
{
    struct note *note = arg;
    note->decode->options.failed(note->decode->options.arg, note->why);
    mem_free(note);
}

static void on_figures(void *arg)
{
    struct note *note = arg;
    note->decode->told = note->figures;
    mem_free(note);
}

static void fail(struct decode *decode, err_t why)
{
    decode->serving = false;
    tell(decode, on_failed, &(struct note){.why = why});
}

/* ---- compute thread: leases */

static void admit(void *state, void *arg)
{
    struct decode *decode = state;
    struct lease_grant *grant = arg;
    struct group *refused = NULL;
    struct track *track = decode->track[grant->evaluation ? TRACK_EVALUATION : TRACK_TRAINING];
    err_t failed = track_admit(track, grant, &refused);
    if (err_failed(failed))
        tell(decode, on_unusable, &(struct note){.group = refused, .why = failed});
}

static void cancel(void *state, void *arg)
{
    struct decode *decode = state;
    track_cancel(decode->track[TRACK_TRAINING], arg);
    mem_free(arg);
}

/* ---- compute thread: steps */

static bool other_is_busy(const struct decode *decode, enum track_kind kind)
{
    return track_busy(decode->track[kind == TRACK_TRAINING ? TRACK_EVALUATION : TRACK_TRAINING]);
}

static void spend(struct decode *decode, enum track_kind kind, double begun_s)
{
    const double seconds = clock_s() - begun_s;
    decode->evaluation_s += kind == TRACK_EVALUATION ? seconds : 0;
    turns_took(&decode->turns, kind, seconds, other_is_busy(decode, kind));
}

/* A step of the track whose turn it is. False: no track has work. */
static bool take_turn(struct decode *decode)
{
    enum track_kind kind;
    if (!turns_next(&decode->turns, track_busy(decode->track[TRACK_TRAINING]),
                    track_busy(decode->track[TRACK_EVALUATION]), &kind))
        return false;
    struct track *track = decode->track[kind];
    const double begun_s = clock_s();
    err_t failed = track_step(track);
    for (struct group *group; (group = track_take(track));)
        tell(decode, on_finished, &(struct note){.group = group});
    spend(decode, kind, begun_s);
    if (err_failed(failed))
        fail(decode, failed);
    return true;
}

static void show(struct decode *decode)
{
    const struct decoder_figures f = track_figures(decode->track[TRACK_TRAINING]);
    const double now_s = clock_s(),
                 rest_s = now_s - decode->serving_since_s - f.busy_s - decode->evaluation_s;
    const struct decode_figures figures = {.busy_s = f.busy_s,
                                           .idle_s = rest_s > 0 ? rest_s : 0,
                                           .evaluation_s = decode->evaluation_s,
                                           .tokens = f.tokens,
                                           .recomputed_tokens = f.recomputed_tokens,
                                           .preemptions = f.preemptions,
                                           .active_slots = f.active_slots,
                                           .free_pages = f.free_pages};
    counters_show(&decode->shown, &figures);
    decode->shown = figures;
    if (now_s - decode->told_s < TELL_S)
        return;
    decode->told_s = now_s;
    tell(decode, on_figures, &(struct note){.figures = figures});
}

static void ask_for_weights(struct decode *decode)
{
    for (enum track_kind kind = 0; kind < TRACKS; kind++)
        if (track_wants(decode->track[kind]))
            tell(decode, on_wanted, &(struct note){.track = kind});
}

static bool bring_some(struct decode *decode);

/* One step, and a slice of the weights that come; then at once the next while there is something to
 * do. */
static int64_t decode_some(void *state)
{
    struct decode *decode = state;
    bool busy = bring_some(decode);
    if (!decode->serving || !decode->paused)
        ask_for_weights(decode);
    if (!decode->serving)
        return busy ? 0 : -1;
    if (!decode->paused) {
        busy |= take_turn(decode);
        ask_for_weights(decode);
    }
    show(decode);
    return busy ? 0 : IDLE_TICK_MS;
}

/* Versions that come meanwhile are passed over; nothing of the engine is touched. */
static void pause_decoding(void *state, void *arg)
{
    struct decode *decode = state;
    decode->paused = *(const bool *)arg;
    tell(decode, on_paused, &(struct note){.paused = decode->paused});
    mem_free(arg);
}

/* ---- compute thread: weights */

struct errand {
    enum track_kind track;
    struct track_weights weights;
};

static void offer(void *state, void *arg)
{
    struct decode *decode = state;
    const struct errand *errand = arg;
    track_offer(decode->track[errand->track]);
    mem_free(arg);
}

static void take_in_force(struct decode *decode, enum track_kind kind, const struct swapped *done)
{
    if (kind == TRACK_EVALUATION) {
        counters_evaluates(done->version);
    } else {
        counters_swapped(done->version, done,
                         swap_mode_name(decode->options.recipe->generator.in_flight),
                         track_in_flight(decode->track[TRACK_TRAINING]));
        if (!decode->serving)
            decode->serving_since_s = clock_s();
        decode->serving = true;
        for (struct lease_grant *due; (due = track_due(decode->track[TRACK_TRAINING]));)
            admit(decode, due);
    }
    tell(decode, on_applied, &(struct note){.track = kind, .version = done->version});
}

/* A slice of the weights that come to the track; with the last they are in force. */
static err_t bring(struct decode *decode, enum track_kind kind)
{
    struct swapped done;
    bool in_force = false;
    const double begun_s = clock_s();
    TRY(track_bring(decode->track[kind], &done, &in_force));
    if (kind == TRACK_EVALUATION)
        spend(decode, TRACK_EVALUATION, begun_s);
    if (in_force)
        take_in_force(decode, kind, &done);
    return OK;
}

/* Of each track to which weights come. False: to none, any more. */
static bool bring_some(struct decode *decode)
{
    bool more = false;
    for (enum track_kind kind = 0; kind < TRACKS; kind++) {
        if (!track_takes(decode->track[kind]))
            continue;
        err_t failed = bring(decode, kind);
        if (err_failed(failed))
            fail(decode, failed);
        more |= track_takes(decode->track[kind]);
    }
    return more;
}

static void begin(void *state, void *arg)
{
    struct decode *decode = state;
    const struct errand *errand = arg;
    track_begin(decode->track[errand->track], &errand->weights);
    bring_some(decode);
    mem_free(arg);
}

static void hold(void *state, void *arg)
{
    (void)arg;
    struct decode *decode = state;
    while (track_takes(decode->track[TRACK_TRAINING])) // they were given before
        bring_some(decode);
    decode->serving = false;
    track_force(decode->track[TRACK_TRAINING]);
}

/* ---- loop thread */

static void post(struct decode *decode, void (*fn)(void *, void *), void *arg)
{
    if (!decode->worker)
        fn(decode, arg); // its thread has ended: what it owned is the caller's
    else
        (void)worker_push(decode->worker, fn, arg); // prompts bounds how many leases are held
}

void decode_admit(struct decode *decode, struct lease_grant *grant)
{
    post(decode, admit, grant);
}

void decode_cancel(struct decode *decode, const struct digest *id)
{
    post(decode, cancel, mem_copy(id, sizeof *id));
}

void decode_pause(struct decode *decode, bool paused)
{
    post(decode, pause_decoding, mem_copy(&paused, sizeof paused));
}

void decode_offer(struct decode *decode, enum track_kind track)
{
    const struct errand errand = {.track = track};
    post(decode, offer, mem_copy(&errand, sizeof errand));
}

void decode_weights(struct decode *decode, enum track_kind track,
                    const struct track_weights *weights)
{
    const struct errand errand = {.track = track, .weights = *weights};
    post(decode, begin, mem_copy(&errand, sizeof errand));
}

void decode_hold(struct decode *decode)
{
    post(decode, hold, NULL);
}

const struct model *decode_model(const struct decode *decode, enum track_kind track)
{
    return decode->track[track] ? track_model(decode->track[track]) : NULL;
}

void *decode_lent(const struct decode *decode, size_t *ret_bytes)
{
    *ret_bytes = decode->lent_bytes;
    return decode->lent;
}

uint32_t decode_groups(const struct decode *decode, enum track_kind track)
{
    return (uint32_t)track_groups(decode->track[track]);
}

struct decode_figures decode_figures(const struct decode *decode)
{
    return decode->told;
}

/* Weights, what the engine takes, and the changes of versions: as much again as the weights. On
 * a device the first two are there by now, and the versions come to the host. */
static err_t plan_memory(const struct decode *decode)
{
    const struct track *training = decode->track[TRACK_TRAINING];
    const struct model *model = track_model(training);
    uint64_t planned = 0;
    log_info("memory planned", "weights_mib=%zu engine_mib=%zu", model_bytes(model) >> 20,
             track_figures(training).bytes >> 20);
    for (int kind = 0; kind < TRACKS; kind++)
        if (decode->track[kind])
            planned += 2 * model_bytes(model) + track_figures(decode->track[kind]).bytes;
    TRY(fit_bytes(model->be, planned,
                  "weights, versions to come, keys and values (generator.slots, kv_bytes)"));
    return cgroup_fits(2 * model_bytes(model_trained(model)), "versions to come");
}

err_t decode_start(const struct decode_options *options, struct decode **ret)
{
    SCOPED(decode) decode = mem_new(sizeof *decode);
    const struct recipe *recipe = options->recipe;
    const bool evaluates = recipe->eval.every;
    counters_register(evaluates);
    decode->options = *options;
    TRY(track_open(recipe, options->generator, TRACK_TRAINING, &decode->track[TRACK_TRAINING]));
    if (options->lists && track_model(decode->track[TRACK_TRAINING])->be->cuda)
        TRY(track_lend(decode->track[TRACK_TRAINING], &decode->lent, &decode->lent_bytes));
    if (evaluates)
        TRY(track_open(recipe, options->generator, TRACK_EVALUATION,
                       &decode->track[TRACK_EVALUATION]));
    TRY(plan_memory(decode));
    const struct worker_options worker = {.name = "compute",
                                          .capacity = CAPACITY,
                                          .state = decode,
                                          .idle = decode_some,
                                          .cpus = recipe->generator.cpus,
                                          .heartbeats = true};
    TRY(worker_start(&worker, &decode->worker));
    *ret = STEAL(decode);
    return OK;
}

void decode_stop(struct decode *decode)
{
    if (decode)
        worker_free(STEAL(decode->worker));
}

void decode_free(struct decode *decode)
{
    if (!decode)
        return;
    decode_stop(decode);
    for (enum track_kind kind = 0; kind < TRACKS; kind++)
        track_free(decode->track[kind]);
    mem_free(decode);
}
