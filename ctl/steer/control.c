/* pause, resume, workers: what the run does and who works for it. */
#include "base/clock.h"
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- pause, resume */

struct pausing {
    const char *method, *usage, *purpose;
    bool holds; // takes --now
};

static err_t add_part(json_t *request, const char *part)
{
    if (strcmp(part, "generation") != 0 && strcmp(part, "training") != 0)
        return err_new(ERR_INVALID, "'%s' is none of generation, training", part);
    json_object_set_new(request, part, json_true());
    return OK;
}

static void show_pausing(const json_t *reply)
{
    const bool generation = answer_flag(reply, "generation_paused");
    const bool training = answer_flag(reply, "training_paused");
    const bool held = answer_flag(reply, "decoding_held");
    const int64_t leased = answer_whole(reply, "leased");
    printf("generation: %s   training: %s\n",
           held         ? "held"
           : generation ? "paused"
                        : "goes on",
           training ? "paused" : "goes on");
    if (held)
        printf("groups under way: %" PRId64 "; they stand still until `rlhfctl resume`\n", leased);
    else if (generation && leased)
        printf("groups under way: %" PRId64
               "; they are finished and stored (`rlhfctl pause generation "
               "--now` holds them)\n",
               leased);
    if (training && answer_flag(reply, "trains"))
        printf("the round under way is trained to its end\n");
}

static bool all_stand_still(const json_t *reply)
{
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(reply, "workers"), i, one)
        if (strcmp(answer_text(one, "kind"), "generator") == 0 &&
            strcmp(answer_text(one, "state"), "HELD") != 0 &&
            strcmp(answer_text(one, "state"), "LOST") != 0 &&
            strcmp(answer_text(one, "state"), "DRAINING") != 0)
            return false;
    return true;
}

/* A step under way is finished first: as long as one takes. */
static err_t wait_until_held(struct admin *admin)
{
    enum { MOST_MS = 10000, EVERY_MS = 50 };
    for (const int64_t until_ms = clock_ms() + MOST_MS; clock_ms() < until_ms;
         clock_sleep_ms(EVERY_MS)) {
        SCOPED_JSON json_t *workers = NULL;
        TRY(admin_call(admin, "LearnerAdmin/ListWorkers", json_object(), &workers));
        if (all_stand_still(workers))
            return OK;
    }
    fprintf(stderr, "some generators have not stopped yet: `rlhfctl workers`\n");
    return OK;
}

static err_t run_pausing(const struct pausing *pausing, int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *reason = NULL, *part;
    size_t count = 0;
    bool helped, now = false;
    const struct argument_flag rows[] = {
        {"reason", "TEXT", "why; `rlhfctl changes` shows it", .text = &reason},
        ADMIN_FLAGS(flags),
        {"now", NULL,
         "decoding stands still between two steps and goes on from there to the same tokens",
         .flag = &now}};
    const size_t all = sizeof rows / sizeof *rows;
    const struct arguments arguments = {.usage = pausing->usage,
                                        .purpose = pausing->purpose,
                                        .flags = rows,
                                        .flags_count = pausing->holds ? all : all - 1,
                                        .words = &part,
                                        .words_max = 1,
                                        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL, *request = admin_signed(reason);
    if (count)
        TRY(add_part(request, part));
    if (now && count && strcmp(part, "generation") != 0)
        return err_new(ERR_INVALID, "--now holds decoding: it goes with generation");
    if (now)
        json_object_set_new(request, "now", json_true());
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, pausing->method, STEAL(request), &reply));
    if (now)
        TRY(wait_until_held(admin));
    if (admin->json)
        output_json(reply);
    else
        show_pausing(reply);
    return OK;
}

err_t command_pause(int argc, char **argv)
{
    static const struct pausing pausing = {
        "LearnerAdmin/Pause", "pause [generation|training] [--now] [--reason TEXT]",
        "Pauses generation, training or both. Paused generation leases no more groups; those under way are finished and\n"
        "stored. Paused training forms no more rounds; the one under way is finished. With --now groups under way stand\n"
        "still, too: generators keep them, and no lease runs out. A learner that is started again is still paused.",
        true};
    return run_pausing(&pausing, argc, argv);
}

err_t command_resume(int argc, char **argv)
{
    static const struct pausing pausing = {"LearnerAdmin/Resume",
                                           "resume [generation|training] [--reason TEXT]",
                                           "Ends a pause of generation, training or both.", false};
    return run_pausing(&pausing, argc, argv);
}

/* ---- workers */

/* Ids of numerics, where workers have several: log-probabilities of some are not the bits that
 * others compute. */
static void show_numerics(const json_t *reply)
{
    const char *first = "";
    size_t i;
    json_t *one;
    bool several = false;
    json_array_foreach (json_object_get(reply, "workers"), i, one) {
        const char *id = answer_text(one, "forward");
        several = several || (*first && *id && strcmp(first, id) != 0);
        first = *first ? first : id;
    }
    json_array_foreach (json_object_get(reply, "workers"), i, one)
        if (several && *answer_text(one, "forward"))
            printf("numerics of %s: %s\n", answer_text(one, "name"), answer_text(one, "forward"));
}

static void show_workers(const json_t *reply)
{
    SCOPED(table)
    table =
        table_new("NAME|KIND|STATE|>VERSION|>BEHIND|>LEASED|>WANTED|>TOKENS/S|>BUSY|UP|WAITS FOR");
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(reply, "workers"), i, one) {
        const double busy = answer_number(one, "busy_s"), idle = answer_number(one, "idle_s");
        table_cell(table, "%s", answer_text(one, "name"));
        table_cell(table, "%s", answer_text(one, "kind"));
        table_cell(table, "%s", answer_text(one, "state"));
        table_cell(table, "%" PRId64, answer_whole(one, "version"));
        table_cell(table, "%" PRId64, answer_whole(one, "versions_behind"));
        table_cell(table, "%" PRId64, answer_whole(one, "leased"));
        table_cell(table, "%" PRId64, answer_whole(one, "wanted"));
        table_cell(table, "%s", figure_count(answer_number(one, "tokens_per_s")).text);
        table_cell(table, busy + idle > 0 ? "%.0f%%" : "", 100 * busy / (busy + idle));
        const double lost_s = answer_number(one, "lost_s");
        table_cell(table, "%s", figure_seconds(answer_number(one, "connected_s")).text);
        if (lost_s > 0)
            table_cell(table, "gone for %s", figure_seconds(lost_s).text);
        else
            table_cell(table, "%s", answer_text(one, "waits_for"));
    }
    table_print(table, stdout);
    show_numerics(reply);
}

err_t command_workers(int argc, char **argv)
{
    struct admin_flags flags = {0};
    bool helped;
    const struct argument_flag rows[] = {ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "workers",
        .purpose =
            "Shows the generators and rewarders that are connected to the learner: the version of their weights, how far\n"
            "behind it is, groups leased to them, how busy they are, and the reason why they wait. A generator that is LOST\n"
            "has gone with its leases: they are given to others after learner.lease_grace_ms, or by `rlhfctl drain NAME`.",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL;
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/ListWorkers", json_object(), &reply));
    if (admin->json)
        output_json(reply);
    else
        show_workers(reply);
    return OK;
}
