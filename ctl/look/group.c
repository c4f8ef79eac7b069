/* groups: what is leased and stored, one of them in full, and taking some out. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LIMIT = 50, LIMIT_MAX = 1000000, PAGE = 500, TEXT_SHOWN = 2000 };

#define FILTER_HELP                                                                                             \
    "A filter is terms joined by blanks, all of which must hold: state=stored lag>=2 reward<0.5 generator=g0\n" \
    "version<=17 prompt=12 slot=3 epoch=0 tokens>100; operators = != < <= > >=."

/* ---- list */

/* Up to limit groups; *ret_more: there are others. */
static err_t read_groups(struct admin *admin, const char *filter, long limit, json_t **ret,
                         bool *ret_more)
{
    SCOPED_JSON json_t *all = json_array();
    SCOPED_MEM char *token = mem_string("");
    do {
        SCOPED_JSON json_t *reply = NULL;
        const size_t left = (size_t)limit - json_array_size(all);
        json_t *request = json_pack("{s:s, s:i, s:s}", "filter", filter ? filter : "", "page_size",
                                    (int)(left < PAGE ? left : PAGE), "page_token", token);
        TRY(admin_call(admin, "LearnerAdmin/ListGroups", request, &reply));
        json_array_extend(all, json_object_get(reply, "groups"));
        mem_free(token);
        token = mem_string(answer_text(reply, "next_page_token"));
    } while (*token && json_array_size(all) < (size_t)limit);
    *ret_more = *token;
    *ret = STEAL(all);
    return OK;
}

static void show_groups(const json_t *groups)
{
    SCOPED(table)
    table =
        table_new("ID|STATE|>SLOT|>EPOCH|>PROMPT|>VERSION|>LAG|>REWARD|>TOKENS|>SIZE|GENERATOR");
    size_t i;
    json_t *one;
    json_array_foreach (groups, i, one) {
        const bool stored = strcmp(answer_text(one, "state"), "stored") == 0;
        const bool there = stored || *answer_text(one, "why");
        table_cell(table, "%s", answer_text(one, "id"));
        table_cell(table, "%s", answer_text(one, "state"));
        table_cell(table, "%" PRId64, answer_whole(one, "slot"));
        table_cell(table, "%" PRId64, answer_whole(one, "epoch"));
        table_cell(table, "%" PRId64, answer_whole(one, "prompt"));
        table_cell(table, "%" PRId64, answer_whole(one, "oldest_version"));
        table_cell(table, "%" PRId64, answer_whole(one, "lag"));
        table_cell(table, stored ? "%.3f" : "", answer_number(one, "reward_mean"));
        table_cell(table, there ? "%.0f" : "", (double)answer_whole(one, "tokens"));
        table_cell(table, "%s", there ? figure_bytes((double)answer_whole(one, "bytes")).text : "");
        table_cell(table, "%s", answer_text(one, "generator"));
    }
    table_print(table, stdout);
    json_array_foreach (groups, i, one)
        if (*answer_text(one, "why"))
            printf("slot %" PRId64 ": %s\n", answer_whole(one, "slot"), answer_text(one, "why"));
}

err_t command_groups_list(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *filter = NULL, *state = NULL, *limit_text = NULL;
    long limit = LIMIT;
    bool helped, more;
    const struct argument_flag rows[] = {
        {"filter", "F", "groups to list", .text = &filter},
        {"state", "WORD", "only those: leased, stored, quarantined", .text = &state},
        {"limit", "N", "most groups to list (50)", .text = &limit_text},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "groups [list] [--state WORD] [--filter F] [--limit N]",
        .purpose =
            "Shows the groups that are leased (being generated or scored), stored (waiting to be trained) or quarantined\n"
            "(no scorer could score them: rlhfctl groups retry).\n" FILTER_HELP,
        .examples = "  rlhfctl groups --filter 'state=stored lag>=2'\n"
                    "  rlhfctl groups list --state quarantined",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (limit_text)
        TRY(flag_int("--limit", limit_text, 1, LIMIT_MAX, &limit));
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *groups = NULL;
    TRY(admin_open(&flags, &admin));
    SCOPED_MEM char *whole =
        mem_printf("%s%s %s", state ? "state=" : "", state ? state : "", filter ? filter : "");
    TRY(read_groups(admin, whole, limit, &groups, &more));
    if (admin->json) {
        SCOPED_JSON json_t *object = json_pack("{s:O, s:b}", "groups", groups, "more", more);
        output_json(object);
        return OK;
    }
    show_groups(groups);
    if (more)
        fprintf(stderr, "and more: --limit %ld shows them\n", limit * 10);
    return OK;
}

/* ---- show */

/* The row is JSON in bytes: as hex nobody reads it. */
static void unfold_row(json_t *detail)
{
    SCOPED_VALUE(bytes) text = {0};
    json_t *row = NULL;
    for (const char *hex = answer_text(detail, "row"); hex[0] && hex[1]; hex += 2) {
        const char digits[] = {hex[0], hex[1], 0};
        bytes_u8(&text, (uint8_t)strtoul(digits, NULL, 16));
    }
    err_t failed = json_parse((const char *)text.data, text.len, "row", &row);
    if (!err_failed(failed))
        json_object_set_new(detail, "row", row);
    err_free(failed);
}

static void show_completion(const json_t *one, size_t number)
{
    const json_t *versions = json_object_get(one, "versions");
    const size_t count = json_array_size(versions);
    int64_t first = 0, last = 0;
    if (count) {
        first = json_integer_value(json_array_get(versions, 0));
        last = json_integer_value(json_array_get(versions, count - 1));
    }
    printf("\ncompletion %zu: reward %.4g, %zu tokens, %s, version %" PRId64, number,
           answer_number(one, "reward"), json_array_size(json_object_get(one, "tokens")),
           answer_text(one, "finish"), first);
    if (last != first)
        printf(" to %" PRId64, last);
    size_t i;
    json_t *score;
    fputs(", scores", stdout);
    json_array_foreach (json_object_get(one, "scores"), i, score)
        if (json_is_null(score)) // its scorer does not apply
            fputs(" -", stdout);
        else
            printf(" %.4g", json_number_value(score));
    printf("\n  %.*s\n", TEXT_SHOWN, answer_text(one, "text"));
}

static void show_group(const json_t *detail)
{
    const json_t *summary = json_object_get(detail, "summary");
    SCOPED_JSON json_t *list = json_pack("[O]", summary);
    size_t i;
    json_t *one;
    show_groups(list);
    printf("\nprompt: %.*s\n", TEXT_SHOWN, answer_text(detail, "prompt"));
    SCOPED_MEM char *row = json_dumps(json_object_get(detail, "row"), JSON_ENCODE_ANY);
    printf("row: %.*s\n", TEXT_SHOWN, row ? row : "");
    if (*answer_text(detail, "forward"))
        printf("numerics: %s\n", answer_text(detail, "forward"));
    json_array_foreach (json_object_get(detail, "completions"), i, one)
        show_completion(one, i);
    if (answer_number(detail, "left_out") > 0)
        printf("\n%.0f more completions: the answer had no room for them\n",
               answer_number(detail, "left_out"));
}

err_t command_groups_show(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *id;
    size_t count;
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "groups show ID",
        .purpose =
            "Shows a stored group: its row of the data, the prompt, and each completion with reward, scores and versions.\n"
            "-o json also has every token with its log-probability and version.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &id,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (strlen(id) != 32 || strspn(id, "0123456789abcdefABCDEF") != 32)
        return err_new(ERR_INVALID, "ID '%.40s': allowed: 32 hexadecimal digits", id);
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *detail = NULL;
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/GetGroup", json_pack("{s:s}", "id", id), &detail));
    unfold_row(detail);
    if (admin->json) {
        output_json(detail);
        return OK;
    }
    output_printable(detail);
    show_group(detail);
    return OK;
}

/* ---- evict */

err_t command_groups_evict(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *filter = NULL, *reason = NULL;
    bool helped, validate_only = false;
    const struct argument_flag rows[] = {
        {"filter", "F", "groups to remove; required", .text = &filter},
        {"validate-only", NULL, "only count them", .flag = &validate_only},
        {"reason", "TEXT", "why; `rlhfctl changes` shows it", .text = &reason},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "groups evict --filter F [--validate-only] [--reason TEXT]",
        .purpose =
            "Removes stored groups. They are never trained, and leave with the reason `operator`.\n" FILTER_HELP,
        .examples = "  rlhfctl groups evict --filter 'reward<-5' --validate-only",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (!filter || !*filter)
        return err_new(ERR_INVALID, "--filter is needed");
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL, *request = admin_signed(reason);
    json_object_set_new(request, "filter", json_string(filter));
    json_object_set_new(request, "validate_only", json_boolean(validate_only));
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/EvictGroups", STEAL(request), &reply));
    if (admin->json)
        output_json(reply);
    else
        printf("%" PRId64 " groups %s\n", answer_whole(reply, "groups"),
               validate_only ? "would leave" : "left");
    return OK;
}

/* ---- retry */

err_t command_groups_retry(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *filter = "state=quarantined", *reason = NULL;
    bool helped, validate_only = false;
    const struct argument_flag rows[] = {
        {"filter", "F", "which of the quarantined groups; all by default", .text = &filter},
        {"validate-only", NULL, "only count them", .flag = &validate_only},
        {"reason", "TEXT", "why; `rlhfctl changes` shows it", .text = &reason},
        ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "groups retry [--filter F] [--validate-only] [--reason TEXT]",
        .purpose =
            "Takes groups out of quarantine. Those within the lag go to a rewarder as they are; other groups' prompts are\n"
            "generated and scored anew.\n" FILTER_HELP,
        .examples = "  rlhfctl groups retry --filter 'generator=g0' --reason 'the judge is back'",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL, *request = admin_signed(reason);
    json_object_set_new(request, "filter", json_string(filter));
    json_object_set_new(request, "validate_only", json_boolean(validate_only));
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/RetryGroups", STEAL(request), &reply));
    if (admin->json)
        output_json(reply);
    else if (validate_only)
        printf("%" PRId64 " groups would be tried again\n", answer_whole(reply, "groups"));
    else
        printf("%" PRId64 " groups are scored again, %" PRId64 " slots are leased anew\n",
               answer_whole(reply, "again"), answer_whole(reply, "anew"));
    return OK;
}
