#include "rewarder/program/program_scorer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/heartbeat.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/answer_fault.h"
#include "rewarder/exchange.h"
#include "rewarder/program/program_words.h"
#include "rewarder/sandbox/sandbox.h"
#include "svc/cell.h"
#include "svc/metrics.h"
#include "svc/recipe/recipe.h"
#include <string.h>

enum { LEAVE_MS = 200, PATIENCE_S = 60 };

struct program_keys {
    struct recipe_texts command, read;
    int64_t processes, memory_mib, disk_mib, tasks, answer_mib;
    enum sandbox_choice sandbox;
    bool network;
};
static const struct recipe_option keys[] = {
    STAGE_KEY(struct program_keys, texts, command, "[]",
              "program and arguments; a word that begins with ./ or ../ is a file in the run's "
              "directory, else beside the recipe",
              .min = 1, .max = 4000, .required = true),
    STAGE_KEY(struct program_keys, count, processes, "1",
              "of this rewarder, each with a group at a time", .min = 1, .max = 256),
    STAGE_KEY(struct program_keys, choice, sandbox, "auto",
              "the least isolation: auto is the highest that this machine gives, restricted or "
              "strong; none: the program is as free as the rewarder",
              .words = "auto|strong|restricted|none"),
    STAGE_KEY(struct program_keys, flag, network, "false", "the sandbox leaves the network open"),
    STAGE_KEY(struct program_keys, texts, read, "[]",
              "files and directories that it may read, beside the system's and those of its "
              "command; ./ as in command",
              .min = 1, .max = 4000),
    STAGE_KEY(struct program_keys, count, memory_mib, "2048",
              "memory of one process with its children; theirs are added up", .min = 16,
              .max = 1 << 24),
    STAGE_KEY(struct program_keys, count, disk_mib, "256",
              "files in its directory, which is empty at first and goes with it", .min = 1,
              .max = 1 << 24),
    STAGE_KEY(struct program_keys, count, tasks, "64", "processes and threads at once", .min = 1,
              .max = 10000),
    STAGE_KEY(struct program_keys, count, answer_mib, "4", "an answer's bytes, at most", .min = 1,
              .max = 64),
};

/* One process' place; of one thread. */
struct place {
    struct sandbox *sandbox; // NULL: none runs
    struct bytes answer;
};

struct program {
    const struct program_keys *keys;
    struct exchange *exchange;
    enum sandbox_level level;
    struct program_words words;
    struct sandbox_orders orders;
    struct place *place; // (processes)
};

/* ---- levels */

static struct metric started =
    METRIC_COUNTER("rlhfd_programs_started_total", "processes of programs that score");
static struct metric levels[3] = {
#define LEVEL(name)                                                                                \
    METRIC_LABELLED(METRIC_KIND_GAUGE, "rlhfd_program_stages",                                     \
                    "stages whose programs run at this level of the sandbox",                      \
                    "level=\"" name "\"")
    LEVEL("none"), LEVEL("restricted"), LEVEL("strong")};
static struct metric *const rows[] = {&started, &levels[0], &levels[1], &levels[2]};

/* ---- one group */

/* Once per thread, and again after a process has ended. */
static err_t start_process(const struct program *program, struct place *place)
{
    if (place->sandbox)
        return OK;
    TRY(sandbox_start(&program->orders, &place->sandbox));
    metric_add(&started, 1);
    return OK;
}

static void end_process(struct place *place)
{
    sandbox_free(STEAL(place->sandbox));
}

/* Names what the program did, as it is done with an answer over a network. Takes failed. */
static err_t fault_of(err_t failed)
{
    enum answer_fault fault;
    switch (err_code(failed)) {
    case ERR_DEADLINE:
        fault = ANSWER_LATE;
        break;
    case ERR_RANGE:
        fault = ANSWER_TOO_LONG;
        break;
    case ERR_UNAVAILABLE:
        fault = ANSWER_CUT;
        break;
    default:
        return failed;
    }
    err_t named = answer_fault(fault, "the program %s", err_message(failed));
    err_free(failed);
    return named;
}

static err_t ask(const struct program *program, struct place *place, const struct stage_call *call,
                 const char *request)
{
    const struct sandbox_line line = {.text = request,
                                      .len = strlen(request),
                                      .max = (size_t)program->keys->answer_mib << 20,
                                      .deadline_s = call->deadline_s ? call->deadline_s
                                                                     : clock_s() + PATIENCE_S,
                                      .stop = call->stop};
    heartbeat_rest(); // the deadline is the stage's
    err_t failed = start_process(program, place);
    if (!err_failed(failed))
        failed = fault_of(sandbox_ask(place->sandbox, &line, &place->answer));
    heartbeat_step();
    return failed;
}

/* ret: (completions), null: where the program does not apply. *ret_said: the program itself says
 * that it failed, which is no breach of the rules. */
static err_t read_answer(const struct place *place, const json_t *request, uint32_t completions,
                         double *ret, bool *ret_null, bool *ret_said)
{
    SCOPED_JSON json_t *answer = NULL;
    TRY(exchange_parse(place->answer.data, place->answer.len, &answer));
    if (!json_equal(json_object_get(answer, "id"), json_object_get(request, "id")))
        return answer_fault(ANSWER_WRONG_ID, "the answer's id is not the request's");
    const json_t *said = json_object_get(answer, "error");
    if (said) {
        *ret_said = true;
        return answer_fault(ANSWER_PROGRAM_ERROR, "%.300s",
                            json_is_string(said) ? json_string_value(said) : "without a reason");
    }
    return exchange_scores(json_object_get(answer, "scores"), "scores", completions, ret, ret_null);
}

/* Functions of TRL may ask for the tokens of completions, too. */
static void put_tokens(const struct group *group, json_t *request)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *c = &group->completion[i];
        json_t *ids = json_array();
        for (uint32_t k = 0; c->token && k < c->tokens; k++)
            json_array_append_new(ids, json_integer(c->token[k]));
        json_array_append_new(all, ids);
    }
    json_object_set_new(request, "completion_ids", all);
}

static err_t score(const struct program *program, struct place *place, struct stage_call *call)
{
    const uint32_t completions = call->group->completions;
    const struct exchange_part all = {0, completions};
    SCOPED_JSON json_t *request = NULL;
    SCOPED_MEM double *scores = mem_array(completions, sizeof *scores);
    SCOPED_MEM bool *null = mem_array(completions, sizeof *null);
    bool said = false;
    TRY(exchange_group(program->exchange, call->group, call->row, &all, &request));
    put_tokens(call->group, request);
    SCOPED_MEM char *text = json_to_text(request);
    err_t failed = ask(program, place, call, text);
    if (!err_failed(failed))
        failed = read_answer(place, request, completions, scores, null, &said);
    if (err_failed(failed)) {
        if (!said)
            end_process(place); // the next answer could be the one that is missing
        return failed;
    }
    memcpy(group_add(call->added, COLUMN_SCORES, 1), scores, completions * sizeof *scores);
    if (memchr(null, true, completions))
        memcpy(group_add(call->added, COLUMN_INAPPLICABLE, 1), null, completions);
    return OK;
}

static void program_start(void *state, struct stage_call *call)
{
    const struct program *program = state;
    call->done(call, score(program, &program->place[call->thread], call));
}

/* ---- begin and end */

static void program_close(void *state)
{
    struct program *program = state;
    if (!program)
        return;
    for (int64_t i = 0; program->place && i < program->keys->processes; i++) {
        if (program->place[i].sandbox)
            sandbox_leave(program->place[i].sandbox, LEAVE_MS);
        end_process(&program->place[i]);
        bytes_done(&program->place[i].answer);
    }
    mem_free(program->place);
    program_words_done(&program->words);
    exchange_free(program->exchange);
    mem_free(program);
}

static void program_free(struct program *program)
{
    program_close(program);
}
DEFINE_SCOPED(program)

static err_t program_open(const struct stage_context *context, void **ret_state)
{
    SCOPED(program) program = mem_new(sizeof *program);
    const struct program_keys *from = program->keys = context->keys;
    SCOPED_MEM char *why = NULL;
    metrics_register(rows, sizeof rows / sizeof *rows);
    TRY(program_words_read(&from->command, &from->read, &program->words));
    TRY(sandbox_choose(from->sandbox, &program->level, &why));
    TRY(exchange_open(context->recipe, &program->exchange));
    program->place = mem_array((size_t)from->processes, sizeof *program->place);
    program->orders = (struct sandbox_orders){.level = program->level,
                                              .argv = (const char *const *)program->words.argv,
                                              .read = (const char *const *)program->words.read,
                                              .read_count = program->words.reads,
                                              .memory_bytes = (uint64_t)from->memory_mib << 20,
                                              .disk_bytes = (uint64_t)from->disk_mib << 20,
                                              .processes = from->tasks,
                                              .network = from->network};
    metric_add(&levels[program->level], 1);
    log_info("program in a sandbox", "stage=%s level=%s command=\"%s\" higher=\"%s\"", context->key,
             sandbox_level_name(program->level), program->words.argv[0], why);
    *ret_state = STEAL(program);
    return OK;
}

static size_t program_threads(const void *from)
{
    return (size_t)((const struct program_keys *)from)->processes;
}

const struct stage_class scorer_program = {
    .name = "program",
    .help = "The numbers of a program of the user's, in a sandbox: a group as a line of JSON in, a "
            "line of scores out (docs/rewards.md).",
    .under = "rewarder.scorers",
    STAGE_KEYS(struct program_keys, keys),
    .thread = STAGE_ALONE,
    .threads = program_threads,
    .outside = true,
    .fills = STAGE_SCORES,
    .open = program_open,
    .start = program_start,
    .close = program_close,
};
