#include "learner/job/explain.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/printable.h"
#include "learner/job/asked.h"
#include "learner/store/history.h"
#include "learner/store/lag.h"
#include "learner/train/checkpoint.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct explained {
    const struct recipe *recipe;
    struct store *store; // borrowed
    uint64_t version;
    struct round *round;
    json_t *object;
};

static void explained_done(struct explained *e)
{
    round_free(e->round);
    json_decref(e->object);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static err_t describe_group(struct explained *e, const struct round_group *group, json_t *list)
{
    SCOPED_VALUE(trace) trace = {0};
    char text[DIGEST_TEXT];
    TRY(store_trace(e->store, group->slot, group->attempt, &trace));
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(digest_text(&group->id, text)));
    json_object_set_new(object, "content", json_string(digest_text(&group->content, text)));
    json_object_set_new(object, "slot", number(group->slot));
    json_object_set_new(object, "attempt", number(group->attempt));
    json_object_set_new(object, "prompt", number(trace.prompt));
    json_object_set_new(object, "epoch", number(trace.epoch));
    json_object_set_new(object, "generator", json_string(trace.generator));
    json_object_set_new(object, "lag", number(lag_of(e->round->round, group->age)));
    json_object_set_new(object, "reward", json_real(trace.reward));
    json_object_set_new(object, "completions", number(trace.completions));
    json_object_set_new(object, "tokens", number(trace.tokens));
    json_object_set_new(object, "oldest_version", number(trace.oldest_version));
    json_object_set_new(object, "newest_version", number(trace.newest_version));
    json_array_append_new(list, object);
    return OK;
}

static json_t *describe_update(uint64_t version, const struct trainee_digests *digests)
{
    char text[DIGEST_TEXT];
    json_t *object = json_object(), *list = json_array();
    json_object_set_new(object, "version", number(version));
    json_object_set_new(object, "weights",
                        json_string(digest_text(&digests->at[0].weights, text))); // the policy's
    json_object_set_new(object, "trainees", list);
    for (uint32_t i = 0; i < digests->count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", digests->at[i].name, "weights",
                                              digest_text(&digests->at[i].weights, text)));
    return object;
}

static void describe_updates(struct explained *e)
{
    const struct round *round = e->round;
    json_t *list = json_array();
    json_object_set_new(e->object, "updates", list);
    for (uint64_t v = round->first_version + 1; v <= round->first_version + round->updates; v++) {
        struct trainee_digests digests;
        err_t failed = store_digests_of(e->store, v, &digests);
        if (err_failed(failed)) { // not made yet
            err_free(failed);
            break;
        }
        json_array_append_new(list, describe_update(v, &digests));
    }
}

/* The checkpoint with these weights, or the newest before, from which they can be made again. */
static err_t describe_checkpoint(struct explained *e)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    TRY(checkpoint_list(e->recipe->directory, &list));
    size_t i = 0;
    while (i < list.count && list.version[i] > e->version)
        i++;
    if (i == list.count)
        return OK;
    SCOPED_MEM char *path = checkpoint_path(e->recipe->directory, list.version[i]);
    json_t *object = json_object();
    json_object_set_new(object, "version", number(list.version[i]));
    json_object_set_new(object, "path", json_string(path));
    json_object_set_new(e->object, "checkpoint", object);
    return OK;
}

static err_t describe(struct explained *e)
{
    const struct round *round = e->round;
    json_t *groups = json_array();
    e->object = json_object();
    json_object_set_new(e->object, "run", json_string(store_run(e->store)));
    json_object_set_new(e->object, "version", number(e->version));
    json_object_set_new(e->object, "lineage", number(round->lineage));
    json_object_set_new(e->object, "round", number(round->round));
    json_object_set_new(e->object, "run_rounds", number(round->run_rounds));
    json_object_set_new(e->object, "first_version", number(round->first_version));
    json_object_set_new(e->object, "lag_limit", number(round->limit));
    json_object_set_new(e->object, "seed", number(round->seed));
    json_object_set_new(e->object, "fingerprint", json_string(round->fingerprint));
    describe_updates(e);
    TRY(describe_checkpoint(e));
    json_object_set_new(e->object, "groups", groups);
    for (size_t i = 0; i < round->groups; i++)
        TRY(describe_group(e, &round->group[i], groups));
    json_object_set_new(e->object, "settings", json_string(round->settings));
    return OK;
}

/* ---- for people */

static long long whole(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void put_updates(const json_t *updates, struct bytes *out)
{
    size_t i, j;
    json_t *update, *trainee;
    json_array_foreach ((json_t *)updates, i, update)
        json_array_foreach (json_object_get(update, "trainees"), j, trainee)
            bytes_printf(out, "weights      %s  version %lld, %s\n", text_of(trainee, "weights"),
                         whole(update, "version"), text_of(trainee, "name"));
}

static void put_groups(const json_t *groups, struct bytes *out)
{
    size_t i;
    json_t *group;
    bytes_printf(out, "\n%8s %8s %6s %8s %4s %9s %7s %12s  %s\n", "slot", "prompt", "epoch",
                 "attempt", "lag", "reward", "tokens", "versions", "generator");
    json_array_foreach ((json_t *)groups, i, group) {
        char versions[48];
        snprintf(versions, sizeof versions, "%lld..%lld", whole(group, "oldest_version"),
                 whole(group, "newest_version"));
        bytes_printf(out, "%8lld %8lld %6lld %8lld %4lld %9.4f %7lld %12s  %s\n",
                     whole(group, "slot"), whole(group, "prompt"), whole(group, "epoch"),
                     whole(group, "attempt"), whole(group, "lag"),
                     json_real_value(json_object_get(group, "reward")), whole(group, "tokens"),
                     versions, text_of(group, "generator"));
    }
}

void explain_text(const json_t *e, struct bytes *ret)
{
    const json_t *checkpoint = json_object_get(e, "checkpoint"),
                 *updates = json_object_get(e, "updates");
    bytes_printf(ret, "version      %lld of run %s, lineage %lld\n", whole(e, "version"),
                 text_of(e, "run"), whole(e, "lineage"));
    bytes_printf(ret, "made by      round %lld, update %lld, from version %lld\n",
                 whole(e, "round"), whole(e, "version") - whole(e, "first_version"),
                 whole(e, "first_version"));
    if (whole(e, "run_rounds"))
        bytes_printf(ret, "run          %lld rounds in all, as far as was known then\n",
                     whole(e, "run_rounds"));
    put_updates(updates, ret);
    bytes_printf(ret, "recorded by  %s\n", text_of(e, "fingerprint"));
    if (checkpoint)
        bytes_printf(
            ret, "checkpoint   %s%s\n", text_of(checkpoint, "path"),
            whole(checkpoint, "version") == whole(e, "version") ? "" : " (the newest before it)");
    else
        bytes_printf(ret, "checkpoint   none of it or before it is on disk\n");
    bytes_printf(ret, "groups       %zu, lag at most %lld\n",
                 json_array_size(json_object_get(e, "groups")), whole(e, "lag_limit"));
    put_groups(json_object_get(e, "groups"), ret);
    bytes_printf(ret, "\nsettings\n");
    for (const char *line = text_of(e, "settings"); *line;) {
        size_t len = strcspn(line, "\n");
        bytes_printf(ret, "  %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

err_t explain_version(const struct recipe *recipe, struct store *store, uint64_t version,
                      json_t **ret)
{
    uint64_t round;
    SCOPED_VALUE(explained) e = {.recipe = recipe, .store = store, .version = version};
    TRY(store_maker(store, version, &round));
    TRY(store_round(store, round, &e.round));
    TRY(err_wrap(describe(&e), "version %" PRIu64, version));
    *ret = STEAL(e.object);
    return OK;
}

/* ---- the job */

err_t job_explain(const struct job_options *options, const struct recipe *recipe)
{
    uint64_t version;
    bool json = options->output && strcmp(options->output, "json") == 0;
    SCOPED(store) store = NULL;
    SCOPED_JSON json_t *explained = NULL;
    SCOPED_VALUE(bytes) out = {0};
    if (options->output && !json && strcmp(options->output, "text") != 0)
        return err_new(ERR_INVALID, "--output '%.40s'; allowed: text, json", options->output);
    TRY(job_require_run(recipe));
    TRY(job_version(options, &version));
    SCOPED_MEM char *directory = file_join(recipe->directory, "store");
    TRY(store_read(directory, &store));
    TRY(explain_version(recipe, store, version, &explained));
    if (!json) {
        explain_text(explained, &out);
        SCOPED_VALUE(bytes) shown = {0};
        printable(&shown, (const char *)out.data, out.len, "\n");
        fwrite(shown.data, 1, shown.len, stdout);
        return OK;
    }
    SCOPED_MEM char *text = json_dumps(explained, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    puts(text);
    return OK;
}
