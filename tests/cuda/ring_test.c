/* Three real daemons, the generator on the module and the others on the CPU. Forward ids differ, so
 * no token counts as our own. The distance of the two is told, and the run learns all the same. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cuda/module.h"
#include "model/engine/engine.h"
#include "model/forward.h"
#include "testing/models.h"
#include "testing/process.h"
#include "testing/ring.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 240000, ROUNDS = 12, GROUPS = 8, COMPLETIONS = 4 };

/* The checked build's turn is with `RLHFD_EMU=full`: it is twenty times slower. */
static int choose(void **state)
{
    (void)state;
    const char *path = getenv("RLHFD_BACKEND");
    if (!path)
        setenv("RLHFD_BACKEND", TEST_BIN "/librlhfd_cuda_emu.so", 1);
    if (path && strstr(path, "_checked") && !getenv("RLHFD_EMU"))
        exit(77);
    return 0;
}

/* ---- what metrics.jsonl says */

struct line {
    double logp_compared, kl, kl_k3, reward;
};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static int read_lines(const struct ring *ring, struct line *ret, int room)
{
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    char *rest = NULL;
    int lines = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        assert_true(lines < room);
        ret[lines++] = (struct line){.logp_compared = number(object, "logp_compared"),
                                     .kl = number(object, "kl_mismatch"),
                                     .kl_k3 = number(object, "kl_mismatch_k3"),
                                     .reward = number(object, "reward_mean")};
    }
    return lines;
}

static void assert_log_says(const struct ring *ring, const char *daemon, const char *part)
{
    SCOPED_MEM char *path = mem_printf("%s/logs/%s.log", ring->run, daemon);
    SCOPED_MEM char *text = file_text(path);
    if (!strstr(text, part))
        fail_msg("%s.log has no '%s':\n%s", daemon, part, text);
}

/* For small d = ln p_g - ln p_l, k3 is d^2 / 2 on average. So the root of 2 k3 is the root mean
 * square of d, which is no less than the mean of |d|. */
static void assert_near_the_learner(const struct line *line)
{
    assert_int_equal((int)line->logp_compared, 0);
    assert_true(line->kl_k3 > 0); // another arithmetic
    assert_true(fabs(line->kl) <= 1e-3 && line->kl_k3 <= 1e-3);
    assert_true(sqrt(2 * line->kl_k3) <= 0.02);
}

/* ---- greedy texts */

enum { PROMPTS = 8, PROMPT = 7, TOKENS = 8, CONTEXT = 32 };

static void greedy(struct model *model, int32_t (*prompt)[PROMPT], int32_t (*ret)[TOKENS])
{
    SCOPED(engine) engine = NULL;
    const struct engine_config settings = {
        .slots = PROMPTS, .max_context = CONTEXT, .step_rows = 24};
    assert_ok(engine_new(model, &settings, &engine));
    for (int i = 0; i < PROMPTS; i++) {
        const struct engine_request request = {.tag = (uint64_t)i,
                                               .prompt = prompt[i],
                                               .prompt_tokens = PROMPT,
                                               .completions = 1,
                                               .max_tokens = TOKENS};
        assert_ok(engine_admit(engine, &request));
    }
    while (engine_active(engine)) {
        const struct engine_completion *c;
        int count;
        assert_ok(engine_step(engine, &c, &count));
        for (int i = 0; i < count; i++)
            memcpy(ret[c[i].tag], c[i].token, sizeof ret[0]);
    }
}

/* How much less likely than the likeliest token the CPU's forward holds the token at `at`. */
static double margin(struct model *model, struct forward *fw, const int32_t *prompt,
                     const int32_t *token, int at)
{
    int32_t all[CONTEXT], position[CONTEXT];
    const int32_t last = PROMPT + at - 1;
    const struct segment segment = {.count = last + 1};
    double most = -INFINITY;
    memcpy(all, prompt, PROMPT * sizeof *all);
    memcpy(all + PROMPT, token, (size_t)at * sizeof *all);
    for (int i = 0; i <= last; i++)
        position[i] = i;
    assert_ok(forward_run(fw, all, position, last + 1, &segment, 1));
    SCOPED_MEM float *logits = logits_of(model, fw, &last, 1);
    for (int v = 0; v < model->config.V; v++)
        most = fmax(most, (double)logits[v]);
    return most - (double)logits[token[at]];
}

/* The trained weights' greedy tokens are the CPU's up to the first place where the CPU has two
 * tokens within twice the distance that is allowed between log-probabilities. */
static void assert_greedy_texts(const char *directory)
{
    SCOPED(backend) cuda = cuda_module_open();
    SCOPED(backend) cpu = NULL;
    SCOPED(model) there = NULL;
    SCOPED(model) here = NULL;
    SCOPED(forward) fw = NULL;
    int32_t prompt[PROMPTS][PROMPT], a[PROMPTS][TOKENS], b[PROMPTS][TOKENS];
    int equal = 0;
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &cpu));
    assert_ok(model_load_compact(cuda, directory, &there));
    assert_ok(model_load_compact(cpu, directory, &here));
    assert_ok(model_keep_kv(here, KV_BF16));
    assert_ok(forward_new(here, CONTEXT, 1, FORWARD_NOTHING, &fw));
    for (int i = 0; i < PROMPTS; i++)
        for (int j = 0; j < PROMPT; j++)
            prompt[i][j] = 1 + (i * 5 + j * j) % (here->config.V - 1);
    greedy(there, prompt, a);
    greedy(here, prompt, b);
    for (int i = 0; i < PROMPTS; i++) {
        int at = 0;
        while (at < TOKENS && a[i][at] == b[i][at])
            at++;
        equal += at == TOKENS;
        if (at < TOKENS)
            assert_true(margin(here, fw, prompt[i], a[i], at) <= 0.04);
    }
    print_message("greedy: %d of %d texts are the CPU's to the end\n", equal, PROMPTS);
    assert_true(equal >= PROMPTS / 2);
}

/* ---- the run */

static void wait_up(const struct ring *ring, struct process *up)
{
    const int status = process_wait(up, WAIT_MS);
    if (status)
        file_print_end("rlhfctl up", ring->log);
    assert_int_equal(status, 0);
}

static void a_ring_learns_and_tells_the_distance(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS,
                                            .groups = GROUPS,
                                            .lag = 0,
                                            .scorers = "[{kind: length, min: 1, max: 6}]"});
    struct process up = process_start(
        ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
        "generator.backend=cuda", "--set", "learner.backend=cpu", "--set", "rewarder.backend=cpu",
        "--set", "learner.optimizer.lr=1e-2", "--set", "checkpoint.every=12", NULL);
    struct line line[ROUNDS + 1];
    double worst = 0, first = 0, last = 0;
    wait_up(&ring, &up);
    assert_int_equal(read_lines(&ring, line, ROUNDS + 1), ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        assert_near_the_learner(&line[i]);
        worst = fmax(worst, line[i].kl_k3);
        *(i < ROUNDS / 2 ? &first : &last) += line[i].reward / (ROUNDS / 2);
    }
    print_message("kl_mismatch_k3 at most %.2e; reward %.3f, then %.3f\n", worst, first, last);
    assert_true(last > first + 0.02);
    assert_log_says(&ring, "learner", "generator has other numerics");
    assert_log_says(&ring, "learner", "forward=\"backend=cuda ");
    ring_audit(&ring);
    SCOPED_MEM char *checkpoint = mem_printf("%s/checkpoints/latest", ring.run);
    assert_greedy_texts(checkpoint);
}

/* Small steps change few values: they come as lists, beside the steps. */
static void small_changes_come_as_lists(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 4, .groups = GROUPS, .lag = 0});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                      "generator.backend=cuda", "--set", "learner.backend=cpu", "--set",
                      "rewarder.backend=cpu", "--set", "learner.optimizer.lr=1e-5", NULL);
    struct line line[5];
    long listed = 0;
    wait_up(&ring, &up);
    SCOPED_MEM char *path = mem_printf("%s/logs/generator.log", ring.run);
    SCOPED_MEM char *text = file_text(path);
    for (const char *at = text; (at = strstr(at, " values_listed=")); at++)
        listed += strtol(at + strlen(" values_listed="), NULL, 10);
    print_message("%ld values came as lists\n", listed);
    assert_true(listed > 100);
    const int lines = read_lines(&ring, line, 5);
    for (int i = 0; i < lines; i++)
        assert_near_the_learner(&line[i]);
}

/* ---- numerics that may not be mixed */

static void a_learner_may_refuse_the_module(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 2, .groups = GROUPS, .lag = 0});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                      "generator.backend=cuda", "--set", "learner.backend=cpu", "--set",
                      "rewarder.backend=cpu", "--set", "run.mixed_numerics=refuse", NULL);
    assert_true(process_wait(&up, WAIT_MS) > 0);
    SCOPED_MEM char *path = mem_printf("%s/logs/generator.log", ring.run);
    SCOPED_MEM char *text = file_text(path);
    const char *said = strstr(text, " error ");
    if (!said || !strstr(said, "computes log-probabilities by 'backend=cuda ") ||
        !strstr(said, "run.mixed_numerics: tolerate takes such workers"))
        fail_msg("the generator says:\n%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_learns_and_tells_the_distance),
        cmocka_unit_test(small_changes_come_as_lists),
        cmocka_unit_test(a_learner_may_refuse_the_module),
    };
    return cmocka_run_group_tests(tests, choose, NULL);
}
