/* Data of which nothing can be trained pauses generation after some slots, is named with a sample,
 * writes few lines, and goes on once it is mended and resumed. A run that ends without a round is
 * no success. */
#include "admin.pb-c.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "testing/asking.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROWS = 300, RUN_MS = 60000, LOG_MAX = 12000, SLOTS_MOST = 64 + 2 * 96, FAILURES = 5 };

/* Rows of another form than the ring's; format: the prompt and the sorted word go in. */
static void write_rows(const struct ring *ring, const char *format)
{
    struct bytes text = {0};
    for (int i = 0; i < ROWS; i++) {
        char word[] = "abcde";
        word[i % 5] = (char)('f' + i % 20);
        bytes_printf(&text, format, word, word);
        bytes_u8(&text, '\n');
    }
    SCOPED_MEM char *path = file_join(ring->directory, "train.jsonl");
    assert_ok(file_write(path, text.data, text.len));
    bytes_done(&text);
}

static off_t size_of_log(const struct ring *ring, const char *name)
{
    struct stat status;
    SCOPED_MEM char *path = mem_printf("%s/%s.log", ring->run, name);
    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

static void assert_few_lines(const struct ring *ring)
{
    assert_true(size_of_log(ring, "learner") < LOG_MAX);
    assert_true(size_of_log(ring, "rewarder") < LOG_MAX);
    assert_true(size_of_log(ring, "generator") < LOG_MAX);
}

static void resume(const struct daemons *d)
{
    Rlhfd__Admin__V1__PauseRequest request = RLHFD__ADMIN__V1__PAUSE_REQUEST__INIT;
    Rlhfd__Admin__V1__PauseReply *reply = NULL;
    assert_ok(ask(d->admin[LEARNER], "LearnerAdmin/Resume", &request.base,
                  &rlhfd__admin__v1__pause_reply__descriptor, (void **)&reply));
    protobuf_c_message_free_unpacked(&reply->base, NULL);
}

/* Leases that this learner granted before it paused. */
static void assert_paused(const struct daemons *d, const char *why, double most)
{
    daemons_wait_ready(d, LEARNER, 503, why);
    daemons_wait_ready(d, LEARNER, 503, "train.jsonl:");
    double granted = daemons_metric(d, LEARNER, "rlhfd_leases_granted_total");
    if (granted > most)
        fail_msg("%g leases before it was paused; at most %g are right", granted, most);
    assert_near(daemons_metric(d, LEARNER, "rlhfd_held_up{cause=\"unusable\"}"), 1, 0);
    assert_few_lines(d->ring);
}

static void wait_granted(const struct daemons *d, double least)
{
    for (int64_t until = clock_ms() + RUN_MS; clock_ms() < until; clock_sleep_ms(20))
        if (daemons_metric(d, LEARNER, "rlhfd_leases_granted_total") >= least)
            return;
    fail_msg("fewer than %g leases", least);
}

static void kill_all(struct daemons *d)
{
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(d, (enum daemon_kind)kind);
}

/* Started again with settings that mend it: paused still, until somebody resumes it. */
static void mend(struct daemons *d, const char *settings, const char *why)
{
    kill_all(d);
    d->settings = settings;
    for (int kind = LEARNER; kind < DAEMON_KINDS; kind++) {
        daemons_start_one(d, (enum daemon_kind)kind, "");
        daemons_announced(d, (enum daemon_kind)kind);
    }
    daemons_wait_ready(d, LEARNER, 503, why);
    assert_near(daemons_metric(d, LEARNER, "rlhfd_leases_granted_total"), 0, 0);
    resume(d);
    assert_int_equal(daemons_wait_learner(d, RUN_MS), 0);
    assert_int_equal(ring_read(d->ring).rounds, 3);
    ring_audit(d->ring);
}

static struct ring three_rounds(void)
{
    return ring_prepare(&(struct ring_options){.rounds = 3, .groups = 8, .lag = 1});
}

static void prompts_that_are_too_long(void **)
{
    struct ring ring = three_rounds();
    struct daemons d = daemons_start(&ring, "data.max_prompt_tokens=3");
    assert_paused(&d, "1 to 3 are allowed (data.max_prompt_tokens)", SLOTS_MOST);
    resume(&d); // nothing has been mended: so many slots again, then the same
    wait_granted(&d, 2 * 64);
    assert_paused(&d, "1 to 3 are allowed (data.max_prompt_tokens)", 2 * SLOTS_MOST);
    mend(&d, "data.max_prompt_tokens=16", "1 to 3 are allowed");
}

static void chats_without_a_template(void **)
{
    struct ring ring = three_rounds();
    write_rows(&ring,
               "{\"prompt\": [{\"role\": \"user\", \"content\": \"%s>\"}], \"text\": \"%s>\", "
               "\"completion\": \"abcde\"}");
    struct daemons d = daemons_start(&ring, "");
    assert_paused(&d, "needs the model's chat template", SLOTS_MOST);
    mend(&d, "data.prompt_column=text", "needs the model's chat template");
}

static void more_tokens_than_the_model_has(void **)
{
    struct ring ring = three_rounds();
    write_rows(&ring, "{\"prompt\": \"%s>\", \"completion\": \"%s\", \"max_tokens\": 100000}");
    struct daemons d = daemons_start(&ring, "");
    assert_paused(&d, "'max_tokens' is 100000", SLOTS_MOST);
    kill_all(&d);
}

static void groups_that_nobody_can_score(void **)
{
    struct ring ring = three_rounds();
    const char *bad = "rewarder.scorers=[{\"kind\":\"exact\",\"column\":\"answer\"}]";
    struct daemons d = daemons_start(&ring, bad);
    assert_paused(&d, "errored by the rewarder: ", FAILURES * SLOTS_MOST);
    assert_paused(&d, "kind 'exact': completion 0: the row has no column 'answer'",
                  FAILURES * SLOTS_MOST);
    daemons_wait_ready(&d, REWARDER, 200, "could not be scored; the last: slot ");
    daemons_wait_ready(&d, REWARDER, 200, "'answer'");
    mend(&d, "rewarder.scorers=[{\"kind\":\"exact\",\"column\":\"completion\"}]",
         "errored by the rewarder");
}

/* Each completion takes longer than its group has; the last group may have waited for a thread in
 * vain. */
static void groups_that_a_stage_never_answers(void **)
{
    struct ring ring = three_rounds();
    const char *slow = "rewarder.scorers=[{\"kind\":\"regex\",\"deadline_ms\":1,\"breaker\":0,"
                       "\"pattern\":\"(?:[a-z]?){60}[0-9]\"}]";
    struct daemons d = daemons_start(&ring, slow);
    assert_paused(&d,
                  "quarantined by the rewarder: rewarder.scorers[0]: kind 'regex': ", SLOTS_MOST);
    daemons_wait_ready(&d, REWARDER, 200, "could not be scored; the last: slot ");
    mend(&d, "rewarder.scorers=[{\"kind\":\"length\",\"max\":6}]", "quarantined by the rewarder");
}

/* `rlhfctl check` finds such data before a start; what it does not see ends the learner like
 * this. */
static void assert_ends_without_a_round(struct daemons *d, const char *part)
{
    int status = process_wait(&d->process[LEARNER], RUN_MS);
    SCOPED_MEM char *log = mem_printf("%s/learner.log", d->ring->run);
    SCOPED_MEM char *text = file_text(log);
    if (status != 1 || !strstr(text, "the run has ended without a round") || !strstr(text, part))
        fail_msg("status %d, wanted '%s': %s", status, part, text);
}

static void a_run_without_a_round_is_no_success(void **)
{
    struct ring ring = ring_prepare(
        &(struct ring_options){.rounds = 0, .prompts = 20, .epochs = 1, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "data.max_prompt_tokens=3");
    assert_ends_without_a_round(&d, "none of its 20 slots left a usable group; the last: slot 19 ");
    daemons_start_one(&d, LEARNER, ""); // it ends at once
    assert_ends_without_a_round(&d, "none of its 20 slots left a usable group");
}

static void too_few_rows_for_a_round(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 0,
                                            .prompts = 5,
                                            .epochs = 1,
                                            .groups = 8,
                                            .lag = 1,
                                            .learner = "objective: rloo, last_batch: drop"});
    struct daemons d = daemons_start(&ring, "");
    assert_ends_without_a_round(&d, "5 usable groups of 5 slots");
}

TESTS(cmocka_unit_test(prompts_that_are_too_long), cmocka_unit_test(chats_without_a_template),
      cmocka_unit_test(more_tokens_than_the_model_has),
      cmocka_unit_test(groups_that_nobody_can_score),
      cmocka_unit_test(groups_that_a_stage_never_answers),
      cmocka_unit_test(a_run_without_a_round_is_no_success),
      cmocka_unit_test(too_few_rows_for_a_round))
