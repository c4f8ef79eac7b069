#include "generator/track.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/device_memory.h"
#include "model/numerics.h"
#include "svc/recipe/recipe.h"
#include "svc/stations.h"
#include "svc/svc.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A slot that was leased ahead. */
struct early {
    struct early *next;
    struct lease_grant *grant;
};

struct track {
    const struct recipe *recipe;
    const char *generator;
    enum track_kind kind;
    struct decoder *decoder;
    struct swap *swap;
    uint32_t completions; // of a group
    int groups;           // the most at once in the slots
    float temperature;
    char *forward; // the forward id of its numerics
    bool serving;  // weights are in force: those of lineage and version
    uint32_t lineage;
    uint64_t version;
    struct early *early; // in the order they came
    bool takes;          // the weights below are coming
    struct track_weights weights;
    bool told_plain; // why steps are no graphs
};

static struct decoder_options options_of(const struct recipe *recipe, enum track_kind kind)
{
    if (kind == TRACK_TRAINING)
        return decoder_options_of(recipe);
    struct decoder_options options = decoder_options_apart(recipe, recipe->eval.temperature);
    options.slots = options.slots < EVALUATION_SLOTS ? options.slots : EVALUATION_SLOTS;
    options.step_rows = EVALUATION_STEP_ROWS;
    options.kv_bytes = 0;
    return options;
}

err_t track_open(const struct recipe *recipe, const char *generator, enum track_kind kind,
                 struct track **ret)
{
    SCOPED(track) track = mem_new(sizeof *track);
    const bool trains = kind == TRACK_TRAINING;
    struct decoder_options options = options_of(recipe, kind);
    options.backend.told = svc_told_backend;
    options.updated = true;
    TRY(err_wrap(decoder_open(&options, &track->decoder), trains ? "%s" : "%s: evaluation",
                 recipe->file));
    track->recipe = recipe;
    track->generator = generator;
    track->kind = kind;
    track->completions = trains ? (uint32_t)recipe->generator.num_generations : 1;
    track->groups = options.slots / (int)track->completions;
    track->temperature = options.sampling.temperature;
    track->forward = model_forward_id(decoder_model(track->decoder));
    TRY(err_wrap(swap_new(decoder_model(track->decoder), decoder_engine(track->decoder),
                          trains ? recipe->generator.in_flight : RECIPE_CONTINUE, &track->swap),
                 "%s", recipe->file));
    *ret = STEAL(track);
    return OK;
}

/* ---- a lease into the decoder */

/* The group without what is decoded. Takes the grant: its row is the group's now. */
static struct group *group_begin(const struct track *track, struct lease_grant *grant)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.id = grant->id,
                            .run = mem_string(track->recipe->run.name),
                            .lineage = grant->lineage,
                            .slot = grant->slot,
                            .attempt = grant->attempt,
                            .prompt = grant->prompt,
                            .epoch = grant->epoch,
                            .start_round = grant->start_round,
                            .row = grant->row,
                            .temperature = track->temperature,
                            .completions = track->completions,
                            .generator = mem_string(track->generator),
                            .forward = mem_string(track->forward),
                            .evaluation = grant->evaluation};
    group->completion = mem_array(group->completions, sizeof *group->completion);
    mem_free(grant);
    return group;
}

static err_t admit(struct track *track, struct group *group)
{
    char name[64];
    const bool trains = track->kind == TRACK_TRAINING;
    SCOPED_JSON json_t *row = NULL;
    snprintf(name, sizeof name, trains ? "row %" PRIu64 : "data.eval, row %" PRIu64, group->prompt);
    TRY(json_parse(group->row, strlen(group->row), name, &row));
    const struct decoder_request request = {.id = group->id,
                                            .arg = group,
                                            .row = row,
                                            .name = name,
                                            .prompt = group->prompt,
                                            .epoch = trains ? group->epoch : DECODER_APART,
                                            .completions = (int)group->completions,
                                            .rank = group->start_round};
    TRY(decoder_admit(track->decoder, &request));
    station_note(&group->id, &(struct station){.name = "queued", .number = track->version});
    return OK;
}

static void grant_free(struct lease_grant *grant)
{
    mem_free(grant->row);
    mem_free(grant);
}

static void keep(struct track *track, struct lease_grant *grant)
{
    struct early **end = &track->early;
    while (*end)
        end = &(*end)->next;
    *end = mem_new(sizeof **end);
    (*end)->grant = grant;
}

static struct lease_grant *unkeep(struct early **at)
{
    struct early *gone = *at;
    struct lease_grant *grant = gone->grant;
    *at = gone->next;
    mem_free(gone);
    return grant;
}

struct lease_grant *track_due(struct track *track)
{
    for (struct early **at = &track->early; *at; at = &(*at)->next)
        if ((*at)->grant->version <= track->version)
            return unkeep(at);
    return NULL;
}

err_t track_admit(struct track *track, struct lease_grant *grant, struct group **ret_refused)
{
    if (track->kind == TRACK_EVALUATION &&
        (!track->serving || grant->lineage != track->lineage || grant->version != track->version)) {
        grant_free(grant);
        return OK;
    }
    if (track->kind == TRACK_TRAINING && grant->version > track->version) {
        keep(track, grant);
        return OK;
    }
    struct group *group = group_begin(track, grant);
    err_t failed = admit(track, group);
    if (err_failed(failed))
        *ret_refused = group;
    return failed;
}

void track_cancel(struct track *track, const struct digest *id)
{
    for (struct early **at = &track->early; *at; at = &(*at)->next)
        if (digest_equal(&(*at)->grant->id, id)) {
            grant_free(unkeep(at));
            return;
        }
    group_free(decoder_cancel(track->decoder, id));
}

/* ---- a finished request into its group */

/* Once: the device could not have steps as graphs, so they cost the host more. */
static void tell_plain(struct track *track)
{
    const struct backend_steps *steps = &decoder_model(track->decoder)->be->steps;
    if (track->told_plain || !*steps->plain)
        return;
    track->told_plain = true;
    log_warning("steps are launched singly", "graphs=none why=\"%s\"", steps->plain);
}

err_t track_step(struct track *track)
{
    err_t failed = decoder_step(track->decoder);
    tell_plain(track);
    return track->kind == TRACK_EVALUATION ? err_wrap(failed, "evaluation") : failed;
}

bool track_busy(const struct track *track)
{
    return track && decoder_busy(track->decoder);
}

static void move_completion(struct decoded_completion *from, struct completion *to)
{
    *to = (struct completion){.tokens = (uint32_t)from->tokens,
                              .token = (uint32_t *)STEAL(from->token),
                              .spans = (uint32_t)from->spans,
                              .finish = (enum finish)from->finish,
                              .text = STEAL(from->text),
                              .text_len = (uint32_t)from->text_len};
    to->span = mem_array(to->spans, sizeof *to->span);
    for (uint32_t i = 0; i < to->spans; i++)
        to->span[i] = (struct span){from->span[i].first_token, from->span[i].version};
    completion_one_turn(to);
}

/* All completions have one setting, so all have log-probabilities of what was left after truncation
 * or none has. */
static void stamp(const struct decoded *decoded, struct group *group)
{
    float *logp = group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    float *sampled =
        decoded->completion->sampled_logp ? group_add(group, COLUMN_SAMPLED_LOGP, 1) : NULL;
    for (int i = 0; i < decoded->completions; i++) {
        const struct decoded_completion *c = &decoded->completion[i];
        memcpy(logp, c->logp, (size_t)c->tokens * sizeof *logp);
        logp += c->tokens;
        if (!sampled)
            continue;
        memcpy(sampled, c->sampled_logp, (size_t)c->tokens * sizeof *sampled);
        sampled += c->tokens;
    }
}

struct group *track_take(struct track *track)
{
    SCOPED(decoded) decoded = decoder_take(track->decoder);
    if (!decoded)
        return NULL;
    struct group *group = decoded->arg;
    group->prompt_tokens = (uint32_t)decoded->prompt_tokens;
    group->prompt_token = (uint32_t *)STEAL(decoded->prompt_token);
    for (int i = 0; i < decoded->completions; i++)
        move_completion(&decoded->completion[i], &group->completion[i]);
    stamp(decoded, group);
    station_note(&group->id, &(struct station){.name = "decoded", .number = track->version});
    return group;
}

/* ---- weights */

static void drop_all(struct track *track)
{
    for (struct group *group; (group = decoder_drop(track->decoder));)
        group_free(group);
}

void track_offer(struct track *track)
{
    swap_offer(track->swap);
    decoder_hold(track->decoder, swap_holds(track->swap));
}

bool track_wants(struct track *track)
{
    return track && swap_wants(track->swap);
}

void track_force(struct track *track)
{
    swap_force(track->swap);
}

void track_begin(struct track *track, const struct track_weights *weights)
{
    track->takes = true;
    track->weights = *weights;
    swap_begin(track->swap, &weights->values);
}

bool track_takes(const struct track *track)
{
    return track && track->takes;
}

static err_t put_in_force(struct track *track, struct swapped *ret)
{
    if (track->kind == TRACK_EVALUATION)
        drop_all(track);
    TRY(swap_apply(track->swap, track->weights.version, ret));
    decoder_hold(track->decoder, swap_holds(track->swap));
    track->serving = true;
    track->lineage = track->weights.lineage;
    track->version = track->weights.version;
    return OK;
}

err_t track_bring(struct track *track, struct swapped *ret, bool *ret_done)
{
    bool there = false;
    track->takes = false; // also after a failure
    TRY(swap_bring(track->swap, &there));
    if (there)
        TRY(put_in_force(track, ret));
    track->takes = !there;
    *ret_done = there;
    return OK;
}

err_t track_lend(struct track *track, void **ret_memory, size_t *ret_bytes)
{
    return err_wrap(swap_lend(track->swap, ret_memory, ret_bytes), "%s", track->recipe->file);
}

/* ---- looking at it */

int track_groups(const struct track *track)
{
    return track ? track->groups : 0;
}

struct decoder_figures track_figures(const struct track *track)
{
    return decoder_figures(track->decoder);
}

uint64_t track_in_flight(const struct track *track)
{
    return decoder_in_flight(track->decoder);
}

const struct model *track_model(const struct track *track)
{
    return decoder_model(track->decoder);
}

void track_free(struct track *track)
{
    if (!track)
        return;
    if (track->decoder)
        drop_all(track);
    while (track->early)
        grant_free(unkeep(&track->early));
    swap_free(track->swap);
    decoder_free(track->decoder);
    mem_free(track->forward);
    mem_free(track);
}
