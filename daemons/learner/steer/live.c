#include "learner/steer/live.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/settings.h"
#include "learner/steer/live_request.h"
#include "learner/store/history.h"
#include "svc/recipe/recipe_live.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A request that was answered. */
struct remembered {
    struct digest id, asked; // of request_id; of what it asked
    struct live_result result;
};

struct live {
    const struct recipe *given;
    struct recipe *recipe; // in force
    struct bytes text;     // of it
    char etag[DIGEST_TEXT];
    struct standing standing;
    struct pausers pausers;
    struct remembered ring[LIVE_REMEMBERED]; // the last change with an id at next - 1
    size_t next, remembered;
};

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* ---- what is in force */

static void put_in_force(struct live *live, struct recipe *recipe)
{
    recipe_free(live->recipe);
    live->recipe = recipe;
    bytes_clear(&live->text);
    recipe_render(recipe, &live->text);
    struct digest digest = hash128(live->text.data, live->text.len, 0);
    digest_text(&digest, live->etag);
}

static bool is_assigned(const struct live_request *request, const char *key)
{
    for (size_t i = 0; i < request->count; i++)
        if (strcmp(request->at[i].key, key) == 0)
            return true;
    return false;
}

static err_t conflict(const char *key, const char *allowed)
{
    return err_reason(
        err_field(err_new(ERR_INVALID, "%s: allowed: %s", key, allowed), key, allowed),
        "SETTINGS_CONFLICT");
}

/* Rewarders read the recipe at their start: where it needs references of pairs alone, they leave
 * out the others, and no change may need those. */
static err_t check_pairs(const struct live *live, const struct recipe *recipe)
{
    const struct recipe_dpo *was = &live->given->learner.dpo, *is = &recipe->learner.dpo;
    if (!recipe_refers_to_pairs(live->given))
        return OK;
    if (!recipe_refers_to_pairs(recipe))
        return conflict("learner.kl.coef",
                        "0, as the run was started: its rewarders refer pairs alone");
    if (is->margin < was->margin || (is->ties == RECIPE_TIES_FIRST && is->margin > was->margin))
        return conflict("learner.dpo.margin",
                        is->ties == RECIPE_TIES_FIRST
                            ? "what the run was started with: its rewarders refer those pairs alone"
                            : "what the run was started with or more: its rewarders refer those "
                              "pairs alone");
    return OK;
}

static err_t check_objective(const struct live_request *request, const struct recipe *recipe)
{
    const struct objective *objective;
    struct objective_config config;
    err_t e = settings_objective(recipe, &objective, &config);
    if (!err_failed(e))
        return OK;
    SCOPED_MEM char *why = mem_string(err_message(e));
    return err_reason(err_field(e, request->count ? request->at[0].key : "learner", why),
                      "SETTINGS_CONFLICT");
}

/* The overrides that stand after the request, on top of the given recipe; *ret is whole. */
static err_t combine(const struct live *live, const struct live_request *request,
                     struct recipe **ret)
{
    SCOPED(recipe) recipe = NULL;
    size_t count = 0;
    const struct standing *standing = &live->standing;
    SCOPED_MEM struct recipe_assignment *to =
        mem_array(standing->overrides + request->count, sizeof *to);
    SCOPED_MEM char **taken_back = mem_array(request->count, sizeof *taken_back);
    for (size_t i = 0; i < standing->overrides; i++)
        if (!is_assigned(request, standing->override[i].key))
            to[count++] =
                (struct recipe_assignment){standing->override[i].key, standing->override[i].value};
    err_t failed = OK;
    for (size_t i = 0; i < request->count && !err_failed(failed); i++) {
        const char *value = request->at[i].value;
        if (!value && recipe_key_exists(request->at[i].key)) {
            failed = recipe_get(live->given, request->at[i].key, &taken_back[i]);
            value = taken_back[i];
        }
        to[count++] = (struct recipe_assignment){request->at[i].key, or_empty(value)};
    }
    if (!err_failed(failed))
        failed = recipe_change(live->given, to, count, &recipe);
    for (size_t i = 0; i < request->count; i++)
        mem_free(taken_back[i]);
    TRY(failed);
    TRY(check_pairs(live, recipe));
    TRY(check_objective(request, recipe));
    *ret = STEAL(recipe);
    return OK;
}

/* ---- at the start */

static void remember(struct live *live, const struct change *change)
{
    if (!*change->request_id)
        return;
    const char *id = change->request_id;
    live->ring[live->next] =
        (struct remembered){hash128(id, strlen(id), 0),
                            change->request,
                            {change->values ? change->id : 0, change->first_round}};
    live->next = (live->next + 1) % LIVE_REMEMBERED;
    if (live->remembered < LIVE_REMEMBERED)
        live->remembered++;
}

static err_t read_store(struct live *live)
{
    SCOPED(store) store = NULL;
    SCOPED_VALUE(change_page) page = {0};
    SCOPED_MEM char *path = file_join(live->given->directory, "store");
    err_t failed = store_read(path, &store);
    if (err_code(failed) == ERR_NOT_FOUND) {
        err_free(failed);
        return OK;
    }
    TRY(failed);
    TRY(store_standing(store, &live->standing));
    TRY(store_changes(store, 0, true, LIVE_REMEMBERED, &page));
    for (size_t i = page.count; i--;) {
        remember(live, &page.at[i]);
        pausers_take(&live->pausers, &page.at[i]);
    }
    return OK;
}

/* Drops what this build cannot change: it says so. */
static void keep_known(struct standing *standing)
{
    size_t kept = 0;
    for (size_t i = 0; i < standing->overrides; i++) {
        struct override override = standing->override[i];
        if (recipe_key_exists(override.key)) {
            standing->override[kept++] = override;
            continue;
        }
        log_warning("live setting is not known to this build", "key=%s value=%s", override.key,
                    override.value);
        free(override.key);
        free(override.value);
    }
    standing->overrides = kept;
}

/* By generation_paused + decoding_held, or training_paused. */
static const char *const pause_names[] = {"running", "paused", "held"};

static void tell(const struct live *live)
{
    for (size_t i = 0; i < live->standing.overrides; i++) {
        const struct override *override = &live->standing.override[i];
        SCOPED_MEM char *given = NULL;
        err_free(recipe_get(live->given, override->key, &given));
        log_info("live setting in force", "key=%s value=%s recipe=%s", override->key,
                 override->value, or_empty(given));
    }
    const struct standing *now = &live->standing;
    if (now->generation_paused || now->training_paused)
        log_info("paused", "generation=%s training=%s",
                 pause_names[now->generation_paused + now->decoding_held],
                 pause_names[now->training_paused]);
}

err_t live_open(const struct recipe *given, struct live **ret)
{
    SCOPED(live) live = mem_new(sizeof *live);
    struct recipe *recipe = NULL;
    live->given = given;
    TRY(read_store(live));
    keep_known(&live->standing);
    TRY(err_wrap(combine(live, &(struct live_request){0}, &recipe),
                 "%s and what was changed while the run went on do not go together; change the "
                 "recipe",
                 given->file));
    put_in_force(live, recipe);
    tell(live);
    *ret = STEAL(live);
    return OK;
}

void live_free(struct live *live)
{
    if (!live)
        return;
    recipe_free(live->recipe);
    bytes_done(&live->text);
    standing_done(&live->standing);
    pausers_done(&live->pausers);
    free(live);
}

/* ---- requests */

err_t live_repeated(const struct live *live, const struct live_request *request, bool *ret_is,
                    struct live_result *ret)
{
    *ret_is = false;
    TRY(live_request_check(request));
    const char *id = or_empty(request->request_id);
    struct digest name = hash128(id, strlen(id), 0), what = live_request_digest(request);
    for (size_t i = 0; *id && i < live->remembered; i++) {
        const struct remembered *r = &live->ring[i];
        if (!digest_equal(&r->id, &name))
            continue;
        if (!digest_equal(&r->asked, &what))
            return err_reason(
                err_field(
                    err_new(ERR_INVALID, "request_id: '%s' has asked something else before", id),
                    "request_id", "one that was not used, or the same request again"),
                "REQUEST_ID_REUSED");
        *ret_is = true;
        *ret = r->result;
    }
    return OK;
}

static struct change change_of(const struct live *live, const struct store *store,
                               const struct live_request *request)
{
    return (struct change){.id = live->standing.changes + 1,
                           .time_ms = clock_wall_ms(),
                           .first_round = store_next_round(store),
                           .request = live_request_digest(request),
                           .kind = (char *)request->kind,
                           .author = (char *)or_empty(request->author),
                           .reason = (char *)or_empty(request->reason),
                           .request_id = (char *)or_empty(request->request_id)};
}

static void add_value(struct change *change, const char *key, const char *before, const char *after)
{
    change->value = mem_grow(change->value, change->values + 1, sizeof *change->value);
    change->value[change->values++] =
        (struct change_value){mem_string(key), mem_string(before), mem_string(after)};
}

static void values_free(struct change *change)
{
    for (size_t i = 0; i < change->values; i++) {
        mem_free(change->value[i].key);
        mem_free(change->value[i].before);
        mem_free(change->value[i].after);
    }
    mem_free(change->value);
}

static void log_change(const struct change *change)
{
    for (size_t i = 0; i < change->values; i++)
        log_info("changed",
                 "change=%" PRIu64 " kind=%s key=%s before=%s after=%s first_round=%" PRIu64
                 " author=\"%s\" reason=\"%s\"",
                 change->id, change->kind, change->value[i].key, change->value[i].before,
                 change->value[i].after, change->first_round, change->author, change->reason);
}

/* Durable, then in force. One that changes nothing is written only to be remembered. Takes
 * standing, which is empty then. */
static err_t write_change(struct live *live, struct store *store, const struct change *change,
                          struct standing *standing, const struct store_rules *rules,
                          struct live_result *ret)
{
    *ret = (struct live_result){change->values ? change->id : 0, change->first_round};
    if (!change->values && !*change->request_id)
        return OK;
    standing->changes = change->id;
    TRY(store_change(store, change, standing, rules, clock_ms()));
    standing_done(&live->standing);
    live->standing = *standing;
    *standing = (struct standing){0};
    remember(live, change);
    pausers_take(&live->pausers, change);
    log_change(change);
    return OK;
}

/* What stands after a change other than of settings. */
static struct standing same_standing(const struct live *live)
{
    struct standing copy = live->standing;
    copy.override = mem_array(copy.overrides, sizeof *copy.override);
    for (size_t i = 0; i < copy.overrides; i++)
        copy.override[i] = (struct override){mem_string(live->standing.override[i].key),
                                             mem_string(live->standing.override[i].value)};
    return copy;
}

/* ---- settings */

static void add_changed(void *arg, const char *key, const char *before, const char *after)
{
    add_value(arg, key, before, after);
}

static void add_override(void *arg, const char *key, const char *given, const char *value)
{
    (void)given;
    struct standing *standing = arg;
    standing->override =
        mem_grow(standing->override, standing->overrides + 1, sizeof *standing->override);
    standing->override[standing->overrides++] =
        (struct override){mem_string(key), mem_string(value)};
}

static err_t check_etag(const struct live *live, const char *etag)
{
    if (!*or_empty(etag) || strcmp(etag, live->etag) == 0)
        return OK;
    return err_reason(err_field(err_new(ERR_ABORTED, "etag: the settings have changed since"),
                                "etag", live->etag),
                      "STALE_ETAG");
}

err_t live_update(struct live *live, struct store *store, const struct live_request *request,
                  struct live_result *ret)
{
    bool repeated;
    SCOPED(recipe) recipe = NULL;
    SCOPED_VALUE(standing)
    standing = {.generation_paused = live->standing.generation_paused,
                .decoding_held = live->standing.decoding_held,
                .training_paused = live->standing.training_paused};
    TRY(live_repeated(live, request, &repeated, ret));
    if (repeated)
        return OK;
    TRY(check_etag(live, request->etag));
    if (store_ended(store))
        return err_reason(
            err_new(ERR_PRECONDITION, "the run has ended: no round is formed any more"),
            "RUN_ENDED");
    TRY(combine(live, request, &recipe));
    struct change change = change_of(live, store, request);
    recipe_differences(live->recipe, recipe, add_changed, &change);
    recipe_differences(live->given, recipe, add_override, &standing);
    struct store_rules rules = settings_store(recipe);
    err_t failed = OK;
    if (request->validate_only)
        *ret = (struct live_result){0, change.first_round};
    else
        failed = write_change(live, store, &change, &standing, &rules, ret);
    if (!err_failed(failed) && !request->validate_only)
        put_in_force(live, STEAL(recipe));
    values_free(&change);
    return failed;
}

/* ---- the rest */

static void add_paused(struct change *change, const char *key, int before, int after)
{
    if (before != after)
        add_value(change, key, pause_names[before], pause_names[after]);
}

err_t live_pause(struct live *live, struct store *store, const struct live_request *request,
                 bool generation, bool training, enum live_pause to, struct live_result *ret)
{
    bool repeated;
    TRY(live_repeated(live, request, &repeated, ret));
    if (repeated)
        return OK;
    SCOPED_VALUE(standing) standing = same_standing(live);
    if (generation) {
        standing.generation_paused = to != LIVE_GOES_ON;
        standing.decoding_held = to == LIVE_HELD;
    }
    if (training)
        standing.training_paused = to != LIVE_GOES_ON;
    struct change change = change_of(live, store, request);
    const struct standing *was = &live->standing;
    add_paused(&change, "generation", was->generation_paused + was->decoding_held,
               standing.generation_paused + standing.decoding_held);
    add_paused(&change, "training", was->training_paused, standing.training_paused);
    err_t failed = write_change(live, store, &change, &standing, NULL, ret);
    values_free(&change);
    return failed;
}

err_t live_note(struct live *live, struct store *store, const struct live_request *request,
                const struct change_value *values, size_t count, struct live_result *ret)
{
    bool repeated;
    TRY(live_repeated(live, request, &repeated, ret));
    if (repeated)
        return OK;
    SCOPED_VALUE(standing) standing = same_standing(live);
    struct change change = change_of(live, store, request);
    for (size_t i = 0; i < count; i++)
        add_value(&change, values[i].key, values[i].before, values[i].after);
    err_t failed = write_change(live, store, &change, &standing, NULL, ret);
    values_free(&change);
    return failed;
}

const struct recipe *live_given(const struct live *live)
{
    return live->given;
}

const struct recipe *live_recipe(const struct live *live)
{
    return live->recipe;
}

const char *live_text(const struct live *live)
{
    return (const char *)live->text.data;
}

const char *live_etag(const struct live *live)
{
    return live->etag;
}

bool live_generation_paused(const struct live *live)
{
    return live->standing.generation_paused;
}

bool live_decoding_held(const struct live *live)
{
    return live->standing.decoding_held;
}

bool live_training_paused(const struct live *live)
{
    return live->standing.training_paused;
}

const struct pauser *live_pauser(const struct live *live)
{
    return live->standing.generation_paused ? &live->pausers.generation : &live->pausers.training;
}
