/* trace: one group's way through the ring, joined from what each daemon has noted of it. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace {
    struct admin *admin;
    json_t *stations; // of all daemons, by time; each with its daemon's name
    json_t *parents;  // {NAME: traceparent as it came there}
    size_t silent;    // daemons that did not answer
};

static int by_time(const void *a, const void *b)
{
    const double x = answer_number(*(json_t *const *)a, "time_s"),
                 y = answer_number(*(json_t *const *)b, "time_s");
    return (x > y) - (x < y);
}

static void sort_stations(struct trace *trace)
{
    const size_t count = json_array_size(trace->stations);
    SCOPED_MEM json_t **at = mem_array(count, sizeof *at);
    for (size_t i = 0; i < count; i++)
        at[i] = json_incref(json_array_get(trace->stations, i));
    if (count)
        qsort(at, count, sizeof *at, by_time);
    json_array_clear(trace->stations);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(trace->stations, at[i]);
}

static void take_trace(struct trace *trace, const char *name, const json_t *reply)
{
    size_t i;
    json_t *one;
    json_object_set_new(trace->parents, name, json_string(answer_text(reply, "traceparent")));
    json_array_foreach (json_object_get(reply, "stations"), i, one) {
        json_object_set_new(one, "daemon", json_string(name));
        json_array_append(trace->stations, one);
    }
}

/* A daemon that has not seen the group is no fault, nor is one that does not answer, unless none
 * knows the group. Daemons of an older build know no such method. */
static err_t ask_all(struct trace *trace, const char *id)
{
    err_t failed = OK;
    for (size_t i = 0; i < trace->admin->target->count; i++) {
        SCOPED_JSON json_t *reply = NULL;
        err_t one = admin_call_daemon(trace->admin, i, "Admin/TraceGroup",
                                      json_pack("{s:s}", "id", id), 0, &reply);
        if (reply)
            take_trace(trace, trace->admin->target->daemon[i].name, reply);
        trace->silent += err_failed(one) && err_code(one) != ERR_NOT_FOUND;
        if (err_failed(failed) || err_code(one) == ERR_NOT_FOUND)
            err_free(one);
        else
            failed = one;
    }
    sort_stations(trace);
    if (json_array_size(trace->stations)) {
        err_free(failed);
        return OK;
    }
    if (err_failed(failed))
        return failed;
    return err_new(ERR_NOT_FOUND,
                   "no daemon has group %s among its latest ones; `rlhfctl groups list` has those "
                   "under way",
                   id);
}

/* The record of it in the learner's store, while there is one. */
static json_t *summary_of(struct admin *admin, const char *id)
{
    SCOPED_JSON json_t *detail = NULL;
    err_free(admin_call(admin, "LearnerAdmin/GetGroup", json_pack("{s:s}", "id", id), &detail));
    json_t *summary = json_object_get(detail, "summary");
    return summary ? json_incref(summary) : NULL;
}

static void show_number(struct table *table, const json_t *station)
{
    const char *name = answer_text(station, "name");
    const int64_t number = answer_whole(station, "number");
    if (strcmp(name, "drawn") == 0)
        table_cell(table, "round %" PRId64, number);
    else if (strcmp(name, "leased") == 0 || strcmp(name, "granted") == 0)
        table_cell(table, "attempt %" PRId64, number);
    else if (number)
        table_cell(table, "version %" PRId64, number);
    else
        table_cell(table, "%s", answer_text(station, "detail"));
}

static void show(const struct trace *trace, const json_t *summary)
{
    SCOPED(table) table = table_new(">AT|>AFTER|DAEMON|STATION|WHAT|>TOOK");
    size_t i;
    json_t *one;
    double first_s = 0, last_s = 0;
    if (summary)
        printf("slot %" PRId64 ", row %" PRId64 ", attempt %" PRId64 ": %s, %.0f tokens\n\n",
               answer_whole(summary, "slot"), answer_whole(summary, "prompt"),
               answer_whole(summary, "attempt"), answer_text(summary, "state"),
               answer_number(summary, "tokens"));
    json_array_foreach (trace->stations, i, one) {
        const double at_s = answer_number(one, "time_s"), took_s = answer_number(one, "seconds");
        first_s = i ? first_s : at_s;
        table_cell(table, "%.4f s", at_s - first_s);
        table_cell(table, i ? "%.4f s" : "", at_s - last_s);
        table_cell(table, "%s", answer_text(one, "daemon"));
        table_cell(table, "%s", answer_text(one, "name"));
        show_number(table, one);
        table_cell(table, took_s > 0 ? "%.4f s" : "", took_s);
        last_s = at_s;
    }
    table_print(table, stdout);
    if (trace->silent)
        fprintf(stderr, "%zu daemons did not say: their stations are missing\n", trace->silent);
}

err_t command_trace(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *id;
    size_t count;
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "trace GROUP",
        .purpose =
            "Shows the way of one group through the ring, with times: leased, decoded, scored by each stage, stored,\n"
            "drawn, trained in which version. Each daemon keeps its latest 1000 groups or so. GROUP is an ID of\n"
            "`rlhfctl groups list`, and the trace id of W3C's traceparent, with which the group travels.",
        .examples = "  rlhfctl trace 5f1d7a84db6e5b1c2f0c7f0a4bd1c9e3 --run RUN",
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
        return err_new(ERR_INVALID, "GROUP '%.40s': allowed: 32 hexadecimal digits", id);
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *stations = json_array();
    SCOPED_JSON json_t *parents = json_object();
    TRY(admin_open(&flags, &admin));
    struct trace trace = {.admin = admin, .stations = stations, .parents = parents};
    TRY(ask_all(&trace, id));
    SCOPED_JSON json_t *summary = summary_of(admin, id);
    if (admin->json) {
        SCOPED_JSON json_t *all = json_pack("{s:s, s:O*, s:O, s:O}", "id", id, "summary", summary,
                                            "traceparents", parents, "stations", stations);
        output_json(all);
        return OK;
    }
    output_printable(stations);
    show(&trace, summary);
    return OK;
}
