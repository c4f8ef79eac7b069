/* get, set, changes: the settings of a run, read and changed while it goes on. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <string.h>

enum { WORDS_MAX = 256, CHANGES = 20, CHANGES_MAX = 100000, PAGE = 1000 };

/* ---- get */

static void show_settings(const json_t *reply)
{
    SCOPED(table) table = table_new("KEY|VALUE|RECIPE|LIVE|ALLOWED");
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(reply, "settings"), i, one) {
        table_cell(table, "%s", answer_text(one, "key"));
        table_cell(table, "%s", answer_text(one, "value"));
        table_cell(table, "%s", answer_text(one, "given"));
        table_cell(table, "%s", answer_flag(one, "live") ? "yes" : "");
        table_cell(table, "%s", answer_text(one, "allowed"));
    }
    table_print(table, stdout);
}

err_t command_get(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *words[WORDS_MAX];
    size_t count = 0;
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "get [KEY...]",
        .purpose =
            "Shows settings of the run as they are now, beside the recipe's values, and whether `set` may change them. A\n"
            "section stands for all its keys. Without KEY all settings are shown.",
        .examples = "  rlhfctl get lag\n  rlhfctl get lag.max learner.optimizer.lr -o json",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = words,
        .words_max = WORDS_MAX,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL;
    TRY(admin_open(&flags, &admin));
    json_t *request = json_pack("{s:[]}", "keys");
    for (size_t i = 0; i < count; i++)
        json_array_append_new(json_object_get(request, "keys"), json_string(words[i]));
    TRY(admin_call(admin, "LearnerAdmin/GetSettings", request, &reply));
    if (admin->json)
        output_json(reply);
    else
        show_settings(reply);
    return OK;
}

/* ---- set */

static err_t add_assignment(json_t *request, const char *word)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return err_new(ERR_INVALID, "'%s': allowed: KEY=VALUE, as in lag.max=2", word);
    json_t *key = json_stringn(word, (size_t)(equals - word));
    if (!key || !json_string_length(key))
        return err_new(ERR_INVALID, "'%s' is no UTF-8", word);
    json_array_append(json_object_get(request, "update_mask"), key);
    json_array_append_new(json_object_get(request, "settings"),
                          json_pack("{s:o, s:s}", "key", key, "value", equals + 1));
    return OK;
}

/* Keys joined by commas: in the mask without a value, back to the recipe's. */
static void add_resets(json_t *request, const char *keys)
{
    while (keys && *keys) {
        const size_t len = strcspn(keys, ",");
        json_array_append_new(json_object_get(request, "update_mask"), json_stringn(keys, len));
        keys += len + (keys[len] == ',');
    }
}

static void show_set(const json_t *reply, bool validate_only)
{
    size_t i;
    json_t *one;
    const json_t *settings = json_object_get(json_object_get(reply, "settings"), "settings");
    json_array_foreach (settings, i, one)
        printf("%s = %s  (recipe: %s)\n", answer_text(one, "key"), answer_text(one, "value"),
               answer_text(one, "given"));
    if (validate_only)
        puts("valid; nothing was changed");
    else if (!answer_whole(reply, "change"))
        puts("these are the values already; nothing was changed");
    else
        printf("change %" PRId64 ", in force from round %" PRId64 " on\n",
               answer_whole(reply, "change"), answer_whole(reply, "first_round"));
}

struct set {
    struct admin_flags admin;
    const char *reason, *reset, *etag, *request_id, *words[WORDS_MAX];
    size_t count;
    bool validate_only;
};

static err_t set_request(const struct set *set, json_t **ret)
{
    SCOPED_JSON json_t *request = admin_signed(set->reason);
    json_object_set_new(request, "settings", json_array());
    json_object_set_new(request, "update_mask", json_array());
    json_object_set_new(request, "validate_only", json_boolean(set->validate_only));
    for (size_t i = 0; i < set->count; i++)
        TRY(add_assignment(request, set->words[i]));
    add_resets(request, set->reset);
    if (set->etag)
        json_object_set_new(request, "etag", json_string(set->etag));
    if (set->request_id)
        json_object_set_new(request, "request_id", json_string(set->request_id));
    *ret = STEAL(request);
    return OK;
}

static err_t run_set(const struct set *set)
{
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL, *request = NULL;
    if (!set->count && !set->reset)
        return err_new(ERR_INVALID, "KEY=VALUE or --reset is needed");
    TRY(set_request(set, &request));
    TRY(admin_open(&set->admin, &admin));
    TRY(admin_call(admin, "LearnerAdmin/UpdateSettings", STEAL(request), &reply));
    if (admin->json)
        output_json(reply);
    else
        show_set(reply, set->validate_only);
    return OK;
}

err_t command_set(int argc, char **argv)
{
    struct set set = {0};
    bool helped;
    const struct argument_flag rows[] = {
        {"validate-only", NULL, "check the values and change nothing", .flag = &set.validate_only},
        {"reset", "KEY[,KEY]", "take the recipe's value again", .text = &set.reset},
        {"reason", "TEXT", "why; `rlhfctl changes` shows it", .text = &set.reason},
        {"etag", "E", "change only settings that are still those of `get -o json` with this etag",
         .text = &set.etag},
        {"request-id", "ID",
         "identifies this change; a second one with the same id changes nothing",
         .text = &set.request_id},
        ADMIN_FLAGS(set.admin)};
    const struct arguments arguments = {
        .usage = "set KEY=VALUE... [--validate-only] [--reason TEXT]",
        .purpose =
            "Changes settings while the run goes on: all of them or none. Changes are durable when the command returns, and\n"
            "count from the next round that is formed. `rlhfctl get` shows which settings may be changed.",
        .examples = "  rlhfctl set lag.max=2 --reason 'the learner starves'\n"
                    "  rlhfctl set learner.optimizer.lr=1e-4 learner.kl.coef=0.01 --validate-only\n"
                    "  rlhfctl set --reset lag.max",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = set.words,
        .words_max = WORDS_MAX,
        .words_count = &set.count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    return helped ? OK : run_set(&set);
}

/* ---- changes */

static void show_changes(const json_t *changes)
{
    SCOPED(table) table = table_new(">ID|TIME|KIND|AUTHOR|>ROUND|CHANGED|REASON");
    size_t i, k;
    json_t *one, *value;
    json_array_foreach (changes, i, one) {
        SCOPED_VALUE(bytes) what = {0};
        json_array_foreach (json_object_get(one, "values"), k, value)
            bytes_printf(&what, "%s%s %s -> %s", k ? ", " : "", answer_text(value, "key"),
                         answer_text(value, "before"), answer_text(value, "after"));
        table_cell(table, "%" PRId64, answer_whole(one, "id"));
        table_cell(table, "%s", figure_time(answer_whole(one, "time_ms")).text);
        table_cell(table, "%s", answer_text(one, "kind"));
        table_cell(table, "%s", answer_text(one, "author"));
        table_cell(table, "%" PRId64, answer_whole(one, "first_round"));
        table_cell(table, "%s", what.len ? (char *)what.data : "");
        table_cell(table, "%s", answer_text(one, "reason"));
    }
    table_print(table, stdout);
}

/* The newest `limit`, newest first. */
static err_t read_changes(struct admin *admin, long limit, json_t **ret)
{
    SCOPED_JSON json_t *all = json_array();
    int64_t after = 0;
    do {
        SCOPED_JSON json_t *reply = NULL;
        const size_t left = (size_t)limit - json_array_size(all);
        json_t *request = json_pack("{s:I, s:i, s:b}", "after", (json_int_t)after, "page_size",
                                    (int)(left < PAGE ? left : PAGE), "newest_first", 1);
        TRY(admin_call(admin, "LearnerAdmin/ListChanges", request, &reply));
        json_array_extend(all, json_object_get(reply, "changes"));
        after = answer_whole(reply, "next");
    } while (after && json_array_size(all) < (size_t)limit);
    *ret = STEAL(all);
    return OK;
}

err_t command_changes(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *limit_text = NULL;
    long limit = CHANGES;
    bool helped;
    const struct argument_flag rows[] = {
        {"limit", "N", "most changes to show, the newest (20)", .text = &limit_text},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "changes [--limit N]",
        .purpose =
            "Shows changes of a running run, the newest first: author, time, reason, and the first round with the new\n"
            "value. Changes that the learner made by itself (lag.max: auto) are there, too.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (limit_text)
        TRY(flag_int("--limit", limit_text, 1, CHANGES_MAX, &limit));
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *changes = NULL;
    TRY(admin_open(&flags, &admin));
    TRY(read_changes(admin, limit, &changes));
    if (admin->json) {
        SCOPED_JSON json_t *object = json_pack("{s:O}", "changes", changes);
        output_json(object);
    } else {
        show_changes(changes);
    }
    return OK;
}
