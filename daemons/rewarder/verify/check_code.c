/* Whether the code in a completion passes the row's tests, in a sandbox. A test that fails, takes
 * too long or breaks a limit is the code's failure. A sandbox that cannot be started, or a group's
 * deadline before that of a test, is ours, and an error. */
#include "base/clock.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include "rewarder/sandbox/sandbox.h"
#include "rewarder/verify/check.h"
#include "rewarder/verify/code_tests.h"
#include <string.h>

enum { CODE_BYTES = 100 << 10 /* Linux takes 128 KiB in one argument */, PROCESSES = 16 };

struct code {
    enum sandbox_level level;
    size_t words;
    char **argv; // (words + 1): the command; where {code} stands, the code
};

static void code_free(struct code *code)
{
    if (!code)
        return;
    for (size_t i = 0; i < code->words; i++)
        mem_free(code->argv[i]);
    mem_free(code->argv);
    mem_free(code);
}
DEFINE_SCOPED(code)

static err_t code_open(const struct verify_keys *keys, void **ret_state)
{
    static const char *const python[] = {"python3", "-I", "-c", "{code}"};
    const bool own = keys->command.count > 0;
    const size_t count = own ? keys->command.count : sizeof python / sizeof *python;
    bool has_code = false;
    SCOPED_MEM char *why = NULL;
    SCOPED(code) code = mem_new(sizeof *code);
    code->argv = mem_array(count + 1, sizeof *code->argv);
    for (; code->words < count; code->words++) {
        code->argv[code->words] =
            mem_string(own ? keys->command.at[code->words] : python[code->words]);
        has_code |= strcmp(code->argv[code->words], "{code}") == 0;
    }
    if (!has_code)
        return err_new(ERR_INVALID, "command: no word is {code}, where the code stands");
    TRY(sandbox_choose(keys->sandbox, &code->level, &why));
    *ret_state = STEAL(code);
    return OK;
}

static void code_close(void *state)
{
    code_free(state);
}

/* ---- one test */

static err_t run(const struct verify_keys *keys, const struct code *code,
                 const struct scorer_sample *sample, const struct code_test *test,
                 struct sandbox_result *ret)
{
    SCOPED_MEM const char **argv = mem_array(code->words + 1, sizeof *argv);
    const double now_s = clock_s(), until_s = now_s + (double)keys->timeout_ms / 1000;
    const bool cut = sample->deadline_s > 0 && sample->deadline_s < until_s;
    const struct sandbox_orders orders = {.level = code->level,
                                          .argv = argv,
                                          .memory_bytes = (uint64_t)keys->memory_mib << 20,
                                          .processes = PROCESSES};
    const struct sandbox_input input = {.text = test->input.data ? (char *)test->input.data : "",
                                        .len = test->input.len,
                                        .deadline_s = cut ? sample->deadline_s : until_s,
                                        .stop = sample->stop};
    for (size_t i = 0; i < code->words; i++)
        argv[i] = strcmp(code->argv[i], "{code}") == 0 ? (char *)test->source.data : code->argv[i];
    heartbeat_rest(); // the deadline is the stage's
    err_t failed = sandbox_run(&orders, &input, ret);
    heartbeat_step();
    if (!err_failed(failed) && ret->fate == SANDBOX_LATE &&
        (cut || clock_s() < until_s)) // stopped, or the group had no time left
        failed = err_new(ERR_DEADLINE, "no time was left for a test of %lld ms (timeout_ms)",
                         (long long)keys->timeout_ms);
    return failed;
}

static err_t passes(const struct verify_keys *keys, const struct code *code,
                    const struct scorer_sample *sample, const struct code_test *test, bool *ret)
{
    SCOPED_VALUE(sandbox_result) result = {0};
    *ret = false;
    if (test->source.len > CODE_BYTES)
        return OK;
    if (strlen((char *)test->source.data) != test->source.len)
        return OK; // a zero byte is no program's
    TRY(run(keys, code, sample, test, &result));
    *ret = result.fate == SANDBOX_EXITED && result.number == 0 &&
           code_test_passed(test, (struct text_slice){result.out.len ? (char *)result.out.data : "",
                                                      result.out.len});
    return OK;
}

static err_t code_score(const struct verify_keys *keys, const void *state,
                        const struct scorer_sample *sample, double *ret)
{
    const struct text_slice text =
        answer_block((struct text_slice){sample->text, sample->text_len});
    SCOPED_VALUE(code_tests) tests = {0};
    size_t passed = 0;
    TRY(code_tests_read(json_object_get(sample->row, keys->column), keys->column, text,
                        keys->partial, &tests));
    for (size_t i = 0; i < tests.count; i++) {
        bool ok;
        TRY(passes(keys, state, sample, &tests.at[i], &ok));
        passed += ok;
        if (!ok && !keys->partial)
            break;
    }
    *ret = keys->partial ? (double)passed / (double)tests.count : passed == tests.count;
    return OK;
}

const struct check check_code = {
    .name = "code", .open = code_open, .score = code_score, .close = code_close};
