/* At lag 0 the ring is the synchronous algorithm: a plain loop in one process (sample a round,
 * score it, train it, again), with no lease, store, lag rule or wire, makes the same weights,
 * version by version, as the three daemons do. */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "learner/train/load.h"
#include "model/engine/engine.h"
#include "model/text/tokenizer.h"
#include "tensor/digest.h"
#include "testing/encode.h"
#include "testing/models.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20, GROUPS = 8, RUN_MS = 120000 };

/* Everything the loop needs, in the order of the ring. */
struct loopback {
    struct recipe *recipe;
    struct jsonl *data;
    struct backend *be;
    struct trainees trainees, referred;
    struct model *model; // the policy's
    struct tokenizer *tokenizer;
    struct engine *engine;
    struct score_kit scoring;
    struct updates *updates;
    struct step *referring; // computes log-probabilities of the reference
    uint64_t version;
    struct trainee_digests after[ROUNDS * 4 + 1]; // of each version
};

static struct recipe *recipe_of(const struct ring *ring)
{
    struct recipe *recipe = NULL;
    struct recipe_source source = {.file = ring->recipe, .run = ring->run};
    assert_ok(recipe_read(&source, &recipe));
    return recipe;
}

static void open_reference(struct loopback *l)
{
    const struct objective *sft = objective_find(OBJECTIVE_SUPERVISED);
    struct step_config config = {
        .objective = sft, .settings = sft->row.defaults, .micro_tokens = 512, .longest = 256};
    struct optimizer_config optimizer = settings_optimizer(&l->recipe->learner.optimizer);
    struct model *reference;
    assert_ok(model_load(l->be, l->recipe->model.path, &reference));
    reference->kv = (enum kv_format)l->recipe->model.kv;
    assert_ok(trainees_add(&l->referred, "reference", reference, &optimizer, NULL));
    assert_ok(step_new(trainees_first(&l->referred), &config, &l->referring));
}

/* Summed up from the weights in memory. */
static struct trainee_digests digests_of(const struct loopback *l)
{
    struct trainee_digests digests = trainees_digests(&l->trainees);
    for (uint32_t i = 0; i < digests.count; i++)
        digests.at[i].weights = weights_digest_of(model_trained(l->trainees.at[i].model));
    return digests;
}

static void open_loop(struct loopback *l, const struct ring *ring)
{
    *l = (struct loopback){.recipe = recipe_of(ring)};
    const struct recipe *r = l->recipe;
    assert_ok(jsonl_open(r->data.train.at[0].path, &l->data));
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &l->be));
    assert_ok(tokenizer_load(r->model.path, &l->tokenizer));
    assert_ok(load_trainees(r, l->be, r->model.path, NULL, &l->trainees));
    l->model = trainees_first(&l->trainees)->model;
    assert_ok(updates_new(r, &l->trainees, &l->updates));
    assert_ok(kit_of(r, &l->scoring));
    struct engine_config engine = {.slots = (int)r->generator.num_generations, .max_context = 256};
    assert_ok(engine_new(l->model, &engine, &l->engine));
    open_reference(l);
    l->after[0] = digests_of(l);
}

static void close_loop(struct loopback *l)
{
    step_free(l->referring);
    trainees_done(&l->referred);
    score_kit_done(&l->scoring);
    engine_free(l->engine);
    updates_free(l->updates);
    trainees_done(&l->trainees);
    tokenizer_free(l->tokenizer);
    backend_free(l->be);
    jsonl_free(l->data);
    recipe_free(l->recipe);
}

/* ---- sampling: one prompt at a time */

static void add_completion(const struct loopback *l, const struct engine_completion *c,
                           struct completion *ret)
{
    struct bytes text = {0};
    size_t n = (size_t)c->tokens, kept = c->finish == ENGINE_EOS ? n - 1 : n;
    assert_ok(tokenizer_decode(l->tokenizer, c->token, kept, true, &text));
    *ret = (struct completion){.tokens = (uint32_t)n,
                               .token = mem_copy(c->token, n * sizeof(uint32_t)),
                               .spans = 1,
                               .span = mem_array(1, sizeof(struct span)),
                               .finish = (enum finish)c->finish,
                               .text = mem_array(text.len + 1, 1),
                               .text_len = (uint32_t)text.len};
    ret->span[0].version = l->version;
    completion_one_turn(ret);
    if (text.len)
        memcpy(ret->text, text.data, text.len);
    bytes_done(&text);
}

static void set_prompt(const struct loopback *l, uint64_t row, struct group *group)
{
    struct bytes text = {0};
    int32_t ids[256];
    int count = 0;
    assert_ok(jsonl_row(l->data, row, &text));
    group->row = mem_printf("%.*s", (int)text.len, (const char *)text.data);
    SCOPED_JSON json_t *object = json_loads(group->row, 0, NULL);
    const char *prompt = json_string_value(json_object_get(object, "prompt"));
    assert_ok(encode_text(l->tokenizer, prompt, strlen(prompt), 256, ids, &count));
    group->prompt_tokens = (uint32_t)count;
    group->prompt_token = mem_copy(ids, (size_t)count * sizeof *ids);
    bytes_done(&text);
}

static struct group *sample(struct loopback *l, uint64_t slot)
{
    const struct recipe *r = l->recipe;
    uint64_t rows = jsonl_rows(l->data), epoch = slot / rows;
    struct rng order = rng_keyed((uint64_t)r->run.seed, RNG_SHUFFLE, epoch, 0);
    uint64_t row = rng_permute(&order, slot % rows, rows);
    uint32_t k = (uint32_t)r->generator.num_generations;
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.completions = k,
                            .completion = mem_array(k, sizeof(struct completion)),
                            .temperature = (float)r->generator.temperature};
    set_prompt(l, row, group);
    struct engine_request request = {.prompt = (const int32_t *)group->prompt_token,
                                     .prompt_tokens = (int)group->prompt_tokens,
                                     .completions = (int)k,
                                     .max_tokens = (int)r->generator.max_tokens,
                                     .sampling = {.temperature = group->temperature,
                                                  .top_p = 1,
                                                  .seed = (uint64_t)r->run.seed,
                                                  .prompt = row,
                                                  .epoch = (uint32_t)epoch},
                                     .stop = l->model->config.eos,
                                     .stops = l->model->config.eos_count};
    SCOPED_MEM float **logp = mem_array(k, sizeof *logp);
    assert_ok(engine_admit(l->engine, &request));
    while (engine_active(l->engine)) {
        const struct engine_completion *finished;
        int count = 0;
        assert_ok(engine_step(l->engine, &finished, &count));
        for (int i = 0; i < count; i++) {
            const int at = finished[i].completion;
            add_completion(l, &finished[i], &group->completion[at]);
            logp[at] = mem_copy(finished[i].logp, (size_t)finished[i].tokens * sizeof(float));
        }
    }
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    for (uint32_t i = 0; i < k; i++) {
        memcpy((float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, i), logp[i],
               group->completion[i].tokens * sizeof(float));
        mem_free(logp[i]);
    }
    return group;
}

/* ---- scoring */

static void refer(struct loopback *l, struct group *group)
{
    group_add(group, COLUMN_REFERENCE_LOGP, 1);
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *c = &group->completion[i];
        struct sequence s = {.prompt = group->prompt_token,
                             .token = c->token,
                             .prompt_tokens = (int)group->prompt_tokens,
                             .tokens = (int)c->tokens,
                             .context = (int)group->prompt_tokens};
        struct step_batch one = {
            .sequences = 1, .sequence = &s, .inverse_temperature = 1.0f / group->temperature};
        double logp[256];
        assert_in_range(c->tokens, 1, 256);
        assert_ok(step_logp(l->referring, &one, logp));
        float *reference = (float *)group_values(group, COLUMN_REFERENCE_LOGP, i);
        for (uint32_t t = 0; t < c->tokens; t++)
            reference[t] = (float)logp[t];
    }
}

/* ---- training */

static err_t note_version(void *arg, uint32_t u)
{
    (void)u;
    struct loopback *l = arg;
    l->after[++l->version] = digests_of(l);
    return OK;
}

static void one_round(struct loopback *l, uint64_t number)
{
    struct group *groups[GROUPS];
    struct round_group place[GROUPS];
    struct round round = {.updates = (uint32_t)l->recipe->learner.updates_per_round,
                          .round = number,
                          .first_version = l->version,
                          .seed = (uint64_t)l->recipe->run.seed,
                          .groups = GROUPS,
                          .group = place};
    for (uint64_t g = 0; g < GROUPS; g++) {
        groups[g] = sample(l, number * GROUPS + g);
        place[g] = (struct round_group){.age = number};
        assert_ok(kit_score(&l->scoring, groups[g]));
        if (recipe_has_reference(l->recipe))
            refer(l, groups[g]);
    }
    struct round_report report = {0};
    assert_ok(updates_run(l->updates, &round, groups, note_version, l, &report));
    assert_int_equal((int)report.logp_differing, 0);
    if (number >= (uint64_t)l->recipe->learner.critic.warmup_rounds)
        assert_true(number == 0 || report.grad_norm > 0);
    for (uint64_t g = 0; g < GROUPS; g++)
        group_free(groups[g]);
}

/* ---- the daemons' versions, from their log */

static void compare(const struct loopback *l, const struct ring *ring)
{
    const struct recipe *r = l->recipe;
    struct store_options options = {.run = r->run.name,
                                    .data = jsonl_digest(l->data),
                                    .rows = jsonl_rows(l->data),
                                    .seed = (uint64_t)r->run.seed,
                                    .shuffle = r->data.shuffle};
    struct store_rules rules = settings_store(r);
    char *directory = file_join(ring->run, "store");
    SCOPED(store) store = NULL;
    assert_ok(store_open(directory, &options, &rules, 0, &store));
    const uint64_t still =
        (uint64_t)(r->learner.critic.warmup_rounds * r->learner.updates_per_round);
    assert_int_equal(store_last_version(store), l->version);
    for (uint64_t v = 1; v <= l->version; v++) {
        struct trainee_digests made;
        assert_ok(store_digests_of(store, v, &made));
        const char *differs = trainee_digests_differ(&made, &l->after[v]);
        if (differs)
            fail_msg("%s of version %d of the daemons is not that of the loop", differs, (int)v);
        const bool moved = !digest_equal(&l->after[v].at[0].weights, &l->after[0].at[0].weights);
        assert_true(v == 1 || moved == (v > still));
    }
    free(directory);
}

static void equals_the_loop_with(const char *extra, const char *learner, const char *rewarder,
                                 bool kill_generator)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = ROUNDS,
                                                           .groups = GROUPS,
                                                           .learner = learner,
                                                           .rewarder = rewarder,
                                                           .extra = extra});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    for (int killed = 0; kill_generator && killed < 2; killed++) {
        ring_wait_rounds(&ring, 3 + 5 * killed, RUN_MS);
        kill(ring_pid(&ring, "generator"), SIGKILL);
    }
    int status = process_wait(&up, RUN_MS);
    if (status)
        print_error("%s", file_text(ring.log));
    assert_int_equal(status, 0);
    struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, ROUNDS);
    struct loopback loop;
    open_loop(&loop, &ring);
    for (uint64_t round = 0; round < ROUNDS; round++)
        one_round(&loop, round);
    compare(&loop, &ring);
    print_message("%d versions equal: %s%s\n", (int)loop.version, learner,
                  kill_generator ? ", generator killed twice" : "");
    close_loop(&loop);
}

static void equals_the_loop(const char *learner, const char *rewarder, bool kill_generator)
{
    equals_the_loop_with(NULL, learner, rewarder, kill_generator);
}

static void rloo(void **state)
{
    (void)state;
    equals_the_loop("objective: rloo", NULL, false);
    equals_the_loop("objective: rloo", NULL, true);
}

static void grpo(void **state)
{
    (void)state;
    static const char learner[] = "objective: grpo, updates_per_round: 4, epochs: 2, ratio_to: "
                                  "proximal, kl: {coef: 0.05, estimator: k3}";
    equals_the_loop(learner, "reference: frozen, ", false);
    equals_the_loop(learner, "reference: frozen, ", true);
}

static void online_dpo(void **state)
{
    (void)state;
    equals_the_loop("objective: online_dpo", "reference: frozen, ", false);
    equals_the_loop("objective: online_dpo", "reference: frozen, ", true);
}

/* Both trainees: a critic of its own, and a head on the policy's trunk, each after a warm-up. */
static void ppo(void **state)
{
    (void)state;
    equals_the_loop("objective: ppo, updates_per_round: 4, epochs: 2, ppo: {truncated: bootstrap}, "
                    "critic: {head: normal, warmup_rounds: 3, optimizer: {lr: 1e-3}}",
                    NULL, true);
    equals_the_loop("objective: ppo, updates_per_round: 2, critic: {model: shared, head: normal, "
                    "values: epoch, warmup_rounds: 6}",
                    NULL, true);
}

/* An adapter alone trains. The reference is the model without it. The learner computes it, for the
 * KL term and for pairs, or a rewarder sends it. */
static void lora(void **state)
{
    (void)state;
    static const char all[] = "lora: {r: 4, target_modules: [all-linear], use_rslora: true}\n",
                      some[] = "lora: {r: 8}\n";
    static const char grpo[] = "objective: grpo, updates_per_round: 4, epochs: 2, ratio_to: "
                               "proximal, kl: {coef: 0.05, estimator: k3}";
    equals_the_loop_with(all, grpo, NULL, true);
    equals_the_loop_with(all, grpo, "reference: frozen, ", false);
    equals_the_loop_with(some, "objective: online_dpo", NULL, true);
    equals_the_loop_with(some, "objective: ppo, critic: {model: shared, head: normal}", NULL, true);
    equals_the_loop_with(some, "objective: ppo, critic: {head: normal}", NULL, false);
}

TESTS(cmocka_unit_test(rloo), cmocka_unit_test(grpo), cmocka_unit_test(online_dpo),
      cmocka_unit_test(ppo), cmocka_unit_test(lora))
