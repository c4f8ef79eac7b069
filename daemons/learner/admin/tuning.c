/* GetSettings, UpdateSettings, ListChanges: the settings in force, and the list of what was
 * changed. */
#include "admin.pb-c.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/admin/services.h"
#include "learner/steer/live.h"
#include "svc/recipe/recipe_live.h"
#include "svc/security.h"
#include <string.h>

/* ---- settings read out */

struct listing {
    struct desk_visit *visit;
    char *const *keys; // (count) of options or sections; none: all
    size_t count;
    Rlhfd__Admin__V1__Settings settings;
};

static bool is_wanted(const struct listing *listing, const char *key)
{
    for (size_t i = 0; i < listing->count; i++) {
        size_t len = strlen(listing->keys[i]);
        if (strncmp(listing->keys[i], key, len) == 0 && (key[len] == 0 || key[len] == '.'))
            return true;
    }
    return listing->count == 0;
}

static void add_setting(void *arg, const struct recipe_setting *setting)
{
    struct listing *listing = arg;
    struct desk_visit *visit = listing->visit;
    if (!is_wanted(listing, setting->key))
        return;
    char *given = NULL;
    err_free(recipe_get(live_given(visit->desk->live), setting->key, &given)); // it is in the table
    Rlhfd__Admin__V1__Setting *out = desk_new(visit, sizeof *out);
    rlhfd__admin__v1__setting__init(out);
    out->key = desk_text(visit, setting->key);
    out->value = desk_text(visit, setting->value);
    out->given = desk_keep(visit, given);
    out->kind = (char *)setting->kind;
    out->allowed = desk_text(visit, setting->allowed);
    out->help = (char *)setting->help;
    out->live = setting->live;
    desk_push(visit, (void ***)&listing->settings.settings, &listing->settings.n_settings, out);
}

static Rlhfd__Admin__V1__Settings list_settings(struct desk_visit *visit, char *const *keys,
                                                size_t count)
{
    const struct live *live = visit->desk->live;
    struct listing listing = {visit, keys, count, RLHFD__ADMIN__V1__SETTINGS__INIT};
    listing.settings.etag = (char *)live_etag(live);
    recipe_describe(live_recipe(live), add_setting, &listing);
    return listing.settings;
}

static err_t answer_settings(struct desk_visit *visit, struct store *store)
{
    (void)store;
    const Rlhfd__Admin__V1__GetSettingsRequest *request = (const void *)visit->request;
    if (request->n_keys > CHANGE_VALUES_MAX)
        return desk_invalid("keys", "at most 256 of them");
    for (size_t i = 0; i < request->n_keys; i++)
        if (!recipe_key_exists(request->keys[i]))
            return err_reason(err_field(err_new(ERR_NOT_FOUND, "%.100s: no such key or section",
                                                request->keys[i]),
                                        "keys",
                                        "keys and sections of the recipe: \"lag.max\", \"lag\""),
                              "UNKNOWN_KEY");
    Rlhfd__Admin__V1__Settings settings = list_settings(visit, request->keys, request->n_keys);
    return desk_reply(visit, &settings.base);
}

/* ---- settings changed */

static const char *assigned(const Rlhfd__Admin__V1__UpdateSettingsRequest *request, const char *key)
{
    for (size_t i = 0; i < request->n_settings; i++)
        if (strcmp(request->settings[i]->key, key) == 0)
            return request->settings[i]->value;
    return NULL;
}

static bool is_masked(const Rlhfd__Admin__V1__UpdateSettingsRequest *request, const char *key)
{
    for (size_t i = 0; i < request->n_update_mask; i++)
        if (strcmp(request->update_mask[i], key) == 0)
            return true;
    return request->n_update_mask == 0;
}

static err_t check_update(const Rlhfd__Admin__V1__UpdateSettingsRequest *request)
{
    if (!request->n_settings && !request->n_update_mask)
        return desk_invalid("settings", "at least one, or a key in update_mask");
    if (request->n_settings > CHANGE_VALUES_MAX || request->n_update_mask > CHANGE_VALUES_MAX)
        return desk_invalid("settings", "at most 256 of them");
    for (size_t i = 0; i < request->n_settings; i++) {
        const char *key = request->settings[i]->key;
        if (!is_masked(request, key))
            return desk_invalid("update_mask", "empty, or every key of settings among them");
        for (size_t j = 0; j < i; j++)
            if (strcmp(request->settings[j]->key, key) == 0)
                return desk_invalid("settings", "each key once");
    }
    return OK;
}

/* What the request assigns; keys of the mask without a setting go back. */
static struct live_request updating(struct desk_visit *visit,
                                    const Rlhfd__Admin__V1__UpdateSettingsRequest *request)
{
    bool by_mask = request->n_update_mask;
    size_t count = by_mask ? request->n_update_mask : request->n_settings;
    struct live_assignment *at = desk_keep(visit, mem_array(count, sizeof *at));
    for (size_t i = 0; i < count; i++) {
        const char *key = by_mask ? request->update_mask[i] : request->settings[i]->key;
        at[i] = (struct live_assignment){key, assigned(request, key)};
    }
    return (struct live_request){.at = at,
                                 .count = count,
                                 .kind = "settings",
                                 .author = desk_author(visit, request->author),
                                 .reason = request->reason,
                                 .request_id = request->request_id,
                                 .etag = request->etag,
                                 .validate_only = request->validate_only};
}

static err_t answer_update(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__UpdateSettingsRequest *request = (const void *)visit->request;
    struct live_result result;
    TRY(check_update(request));
    struct live_request live = updating(visit, request);
    TRY(live_update(visit->desk->live, store, &live, &result));
    char **keys = desk_keep(visit, mem_array(live.count, sizeof *keys));
    for (size_t i = 0; i < live.count; i++)
        keys[i] = (char *)live.at[i].key;
    Rlhfd__Admin__V1__Settings settings = list_settings(visit, keys, live.count);
    Rlhfd__Admin__V1__UpdateSettingsReply reply = RLHFD__ADMIN__V1__UPDATE_SETTINGS_REPLY__INIT;
    reply.settings = &settings;
    reply.change = result.change;
    reply.first_round = result.first_round;
    return desk_reply(visit, &reply.base);
}

/* ---- changes */

static void add_values(struct desk_visit *visit, const struct change *change,
                       Rlhfd__Admin__V1__Change *ret)
{
    for (size_t i = 0; i < change->values; i++) {
        Rlhfd__Admin__V1__ChangedValue *value = desk_new(visit, sizeof *value);
        rlhfd__admin__v1__changed_value__init(value);
        value->key = change->value[i].key;
        value->before = change->value[i].before;
        value->after = change->value[i].after;
        desk_push(visit, (void ***)&ret->values, &ret->n_values, value);
    }
}

static void add_change(struct desk_visit *visit, const struct change *change,
                       Rlhfd__Admin__V1__ListChangesReply *reply)
{
    Rlhfd__Admin__V1__Change *out = desk_new(visit, sizeof *out);
    rlhfd__admin__v1__change__init(out);
    out->id = change->id;
    out->time_ms = change->time_ms;
    out->kind = change->kind;
    out->author = change->author;
    out->reason = change->reason;
    out->request_id = change->request_id;
    out->first_round = change->first_round;
    add_values(visit, change, out);
    desk_push(visit, (void ***)&reply->changes, &reply->n_changes, out);
}

static err_t answer_changes(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__ListChangesRequest *request = (const void *)visit->request;
    Rlhfd__Admin__V1__ListChangesReply reply = RLHFD__ADMIN__V1__LIST_CHANGES_REPLY__INIT;
    SCOPED_VALUE(change_page) page = {0};
    SCOPED_VALUE(standing) standing = {0};
    size_t most;
    TRY(desk_page_size(request->page_size, 100, &most));
    TRY(store_standing(store, &standing));
    TRY(store_changes(store, request->after, request->newest_first, most, &page));
    for (size_t i = 0; i < page.count; i++)
        add_change(visit, &page.at[i], &reply);
    uint64_t last = page.count ? page.at[page.count - 1].id : 0,
             end = request->newest_first ? 1 : standing.changes;
    reply.next = last == end ? 0 : last;
    return desk_reply(visit, &reply.base);
}

/* ---- loop thread */

static void get_settings(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_settings);
}

static void update_settings(struct rpc_call *call, struct rpc_message *message,
                            const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_update);
}

static void list_changes(struct rpc_call *call, struct rpc_message *message,
                         const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer_changes);
}

struct rpc_service tuning_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/GetSettings",
         &rlhfd__admin__v1__get_settings_request__descriptor,
         &rlhfd__admin__v1__settings__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = get_settings},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/UpdateSettings",
         &rlhfd__admin__v1__update_settings_request__descriptor,
         &rlhfd__admin__v1__update_settings_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = update_settings},
         0},
        {"/rlhfd.admin.v1.LearnerAdmin/ListChanges",
         &rlhfd__admin__v1__list_changes_request__descriptor,
         &rlhfd__admin__v1__list_changes_reply__descriptor,
         RPC_UNARY,
         CALLER_READS,
         {.message = list_changes},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
