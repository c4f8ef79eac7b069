/* The reference gives the log-probabilities that the decode engine stamped at the same weights, bit
 * for bit. Models that do not fit are refused at the start. Groups go over RPC through the
 * rewarder's real stages. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "hop/courier.h"
#include "model/engine/engine.h"
#include "model/text/tokenizer.h"
#include "rewarder/reference.h"
#include "rewarder/score.h"
#include "svc/loop.h"
#include "svc/security.h"
#include "testing/encode.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPLETIONS = 4, PROMPTS = 6, CONTEXT = 64 };

static struct ring prepare(void)
{
    return ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8, .lag = 0});
}

/* The ring's recipe with a frozen reference and up to two more settings. */
static struct recipe *recipe_with(const struct ring *ring, const char *a, const char *b)
{
    const char *sets[] = {"rewarder.reference=frozen", "model.kv=fp32", a, b};
    struct recipe_source source = {
        .file = ring->recipe, .sets = sets, .sets_count = 2 + (a != NULL) + (b != NULL)};
    struct recipe *recipe = NULL;
    assert_ok(recipe_read(&source, &recipe));
    return recipe;
}

/* ---- the stage on this thread */

struct referring {
    void *state;
};

static void referring_done(struct referring *referring)
{
    if (referring->state)
        reference_frozen.close(referring->state);
}

static err_t open_reference(const struct recipe *recipe, struct referring *ret)
{
    const struct stage_context context = {.recipe = recipe, .key = "rewarder.reference"};
    return reference_frozen.open(&context, &ret->state);
}

static err_t refer(const struct referring *referring, struct group *group)
{
    return kit_add(&reference_frozen, referring->state, group);
}

/* ---- groups as the generator makes them */

static struct group *group_of(uint64_t slot, const int32_t *prompt, int tokens, float temperature)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.id = group_id("test", 1, slot, 1),
                            .run = mem_string("test"),
                            .lineage = 1,
                            .slot = slot,
                            .attempt = 1,
                            .row = mem_string("{\"prompt\": \"ba>\", \"completion\": \"ab\"}"),
                            .prompt_tokens = (uint32_t)tokens,
                            .prompt_token = mem_copy(prompt, (size_t)tokens * sizeof *prompt),
                            .temperature = temperature,
                            .evaluation = temperature == 0,
                            .completions = COMPLETIONS,
                            .completion = mem_array(COMPLETIONS, sizeof(struct completion)),
                            .generator = mem_string("g")};
    return group;
}

static void take(struct group *group, const struct engine_completion *c)
{
    struct span span = {0, 0};
    group->completion[c->completion] = (struct completion){
        .tokens = (uint32_t)c->tokens,
        .token = mem_copy(c->token, (size_t)c->tokens * sizeof *c->token),
        .spans = 1,
        .span = mem_copy(&span, sizeof span),
        .finish = c->finish == ENGINE_EOS ? FINISH_EOS : FINISH_LENGTH,
        .text = mem_string("ab"),
        .text_len = 2,
    };
    completion_one_turn(&group->completion[c->completion]);
}

/* Stamped: what the engine said of each completion's tokens. */
static void stamp(struct group *group, float *const *logp)
{
    float *to = group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    for (uint32_t i = 0; i < group->completions; i++) {
        memcpy(to, logp[i], group->completion[i].tokens * sizeof *to);
        to += group->completion[i].tokens;
        mem_free(logp[i]);
    }
}

/* PROMPTS groups, decoded together by the engine with the model in `directory`. */
static void decode(const char *directory, float temperature, struct group **ret)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED(engine) engine = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load(be, directory, &model));
    assert_ok(tokenizer_load(directory, &tokenizer));
    assert_ok(
        engine_new(model, &(struct engine_config){PROMPTS * COMPLETIONS, CONTEXT, 0}, &engine));
    for (uint64_t i = 0; i < PROMPTS; i++) {
        int32_t prompt[16];
        int tokens = 0;
        char text[16];
        snprintf(text, sizeof text, "%.*s>", (int)(1 + i), "qwzxka");
        assert_ok(encode_text(tokenizer, text, strlen(text), 16, prompt, &tokens));
        struct engine_request request = {
            .tag = i,
            .prompt = prompt,
            .prompt_tokens = tokens,
            .completions = COMPLETIONS,
            .max_tokens = 8,
            .sampling = {.temperature = temperature, .seed = 5, .prompt = i},
            .stop = model->config.eos,
            .stops = model->config.eos_count};
        assert_ok(engine_admit(engine, &request));
        ret[i] = group_of(i, prompt, tokens, temperature);
    }
    float *logp[PROMPTS][COMPLETIONS] = {0};
    while (engine_active(engine)) {
        const struct engine_completion *c;
        int n;
        assert_ok(engine_step(engine, &c, &n));
        for (int f = 0; f < n; f++, c++) {
            take(ret[c->tag], c);
            logp[c->tag][c->completion] = mem_copy(c->logp, (size_t)c->tokens * sizeof *c->logp);
        }
    }
    for (uint64_t i = 0; i < PROMPTS; i++)
        stamp(ret[i], logp[i]);
}

/* How many tokens have other bits under the reference than the stamped ones; every completion must
 * have them. */
static int differing(const struct group *group)
{
    int n = 0;
    for (uint32_t i = 0; i < group->completions; i++) {
        const float *stamped = group_values(group, COLUMN_BEHAVIOUR_LOGP, i);
        const float *found = group_values(group, COLUMN_REFERENCE_LOGP, i);
        assert_non_null(found);
        for (uint32_t t = 0; t < group->completion[i].tokens; t++)
            n += memcmp(&found[t], &stamped[t], sizeof(float)) != 0;
    }
    return n;
}

static void it_has_the_bits_that_were_stamped(void **state)
{
    (void)state;
    static const float temperatures[] = {1.0f, 0.7f, 1.3f, 0.0f}; // 0: evaluations
    static const char *const threads[] = {"rewarder.threads=1", "rewarder.threads=2"};
    static const char *const micro[] = {"learner.micro_tokens=16", "learner.micro_tokens=4096"};
    struct ring ring = prepare();
    uint64_t tokens = 0;
    for (int n = 0; n < 16; n++) {
        SCOPED(recipe) recipe = recipe_with(&ring, threads[n % 2], micro[n / 2 % 2]);
        SCOPED_VALUE(referring) reference = {0};
        assert_ok(open_reference(recipe, &reference));
        struct group *groups[PROMPTS];
        decode(ring.model, temperatures[n / 4], groups);
        for (int i = 0; i < PROMPTS; i++) {
            assert_ok(refer(&reference, groups[i]));
            assert_int_equal(differing(groups[i]), 0);
            tokens += group_tokens(groups[i]);
            group_free(groups[i]);
        }
    }
    assert_true(tokens > 16 * PROMPTS * COMPLETIONS * 2);
    print_message("%llu tokens compared, 0 differ\n", (unsigned long long)tokens);
}

/* For pairs the best and the worst are enough; a tie has neither, unless ties are pairs too. */
static void of_training_pairs_only_the_two(void **state)
{
    (void)state;
    struct ring ring = prepare();
    struct group *groups[PROMPTS];
    SCOPED(recipe)
    recipe = recipe_with(&ring, "learner.objective=online_dpo", "learner.dpo.margin=0.25");
    SCOPED_VALUE(referring) reference = {0};
    assert_ok(open_reference(recipe, &reference));
    decode(ring.model, 1.0f, groups);
    for (uint32_t i = 0; i < PROMPTS; i++) {
        uint32_t best = i % COMPLETIONS, worst = (i + 1) % COMPLETIONS;
        bool tie = i % 3 == 2;
        double *reward = group_add(groups[i], COLUMN_REWARD, 1);
        reward[best] = tie ? 0.25 : 1;
        reward[worst] = tie ? 0.25 : -1;
        assert_ok(refer(&reference, groups[i]));
        for (uint32_t c = 0; c < COMPLETIONS; c++) {
            const float *found = group_values(groups[i], COLUMN_REFERENCE_LOGP, c);
            bool wanted = !tie && (c == best || c == worst);
            assert_int_equal(found != NULL, wanted);
            if (wanted)
                assert_memory_equal(found, group_values(groups[i], COLUMN_BEHAVIOUR_LOGP, c),
                                    groups[i]->completion[c].tokens * sizeof(float));
        }
        group_free(groups[i]);
    }
}

/* ---- other models */

/* A directory with a model of its own seed, or of another vocabulary's tokenizer. */
static char *other_model(const struct ring *ring, const char *name, const char *text,
                         const char *vocabulary, const char *positions)
{
    char *directory = testing_path(ring->directory, name), *output;
    char *file = mem_printf("%s.txt", directory);
    assert_ok(file_write(file, text, strlen(text)));
    int status = process_run(&output, 60000, "rlhfctl", "tokenizer", "train", file, "--alphabet",
                             "data", "--vocab", vocabulary, "--out", directory, NULL);
    assert_int_equal(status, 0);
    free(output);
    status = process_run(&output, 60000, "rlhfctl", "model", "new", directory, "--layers", "1",
                         "--width", "32", "--heads", "2", "--ff", "64", "--max-positions",
                         positions, "--seed", "9", NULL);
    assert_int_equal(status, 0);
    free(output);
    free(file);
    return directory;
}

static err_t open_with(const struct ring *ring, const char *path)
{
    char *set = mem_printf("rewarder.reference_path=%s", path);
    SCOPED(recipe) recipe = recipe_with(ring, set, "generator.max_tokens=500");
    SCOPED_VALUE(referring) reference = {0};
    err_t failed = open_reference(recipe, &reference);
    free(set);
    return failed;
}

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz>";

static void another_model_may_be_the_reference(void **state)
{
    (void)state;
    struct ring ring = prepare();
    struct group *groups[PROMPTS];
    char *set = mem_printf("rewarder.reference_path=%s",
                           other_model(&ring, "other", alphabet, "29", "256"));
    /* The same letters give the same tokenizer, whatever order they were seen in. */
    SCOPED(recipe) recipe = recipe_with(&ring, set, NULL);
    SCOPED_VALUE(referring) reference = {0};
    assert_ok(open_reference(recipe, &reference));
    decode(ring.model, 1.0f, groups);
    for (int i = 0; i < PROMPTS; i++) {
        assert_ok(refer(&reference, groups[i]));
        assert_true(differing(groups[i]) > 0); // one layer, other weights
        group_free(groups[i]);
    }
    free(set);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct ring ring = prepare();
    assert_err(
        ERR_PRECONDITION, "vocabulary of 26 tokens",
        open_with(&ring, other_model(&ring, "letters", "abcdefghijklmnopqrstuvwx", "26", "256")));
    assert_err(
        ERR_PRECONDITION, "another tokenizer",
        open_with(&ring, other_model(&ring, "signs", "ABCDEFGHIJKLMNOPQRSTUVWXYZ<", "29", "256")));
    assert_err(ERR_PRECONDITION, "sequences of 64 tokens",
               open_with(&ring, other_model(&ring, "short", alphabet, "29", "64")));
    assert_err(ERR_NOT_FOUND, "/nowhere/config.json", open_with(&ring, "/nowhere"));
}

static void a_group_it_cannot_compute_stays_as_it_was(void **state)
{
    (void)state;
    struct ring ring = prepare();
    SCOPED(recipe) recipe = recipe_with(&ring, NULL, NULL);
    SCOPED_VALUE(referring) reference = {0};
    assert_ok(open_reference(recipe, &reference));
    struct group *groups[PROMPTS];
    decode(ring.model, 1.0f, groups);
    groups[0]->completion[2].token[0] = 29;
    groups[1]->completion[3].token[groups[1]->completion[3].tokens - 1] = UINT32_MAX;
    groups[2]->prompt_token[0] = 1u << 31;
    groups[3]->temperature = 1e-40f;
    for (int i = 0; i < 3; i++)
        assert_err(ERR_INVALID, "the vocabulary has 29", refer(&reference, groups[i]));
    assert_err(ERR_DATA_LOSS, "log-probability", refer(&reference, groups[3]));
    struct completion *long_one = &groups[4]->completion[1];
    long_one->token = mem_grow(long_one->token, 1000, sizeof *long_one->token);
    memset(long_one->token, 0, 1000 * sizeof *long_one->token);
    long_one->tokens = 1000;
    assert_err(ERR_RANGE, "at most 256 fit", refer(&reference, groups[4]));
    for (int i = 0; i < 5; i++)
        assert_null(column_list_find(&groups[i]->columns, COLUMN_REFERENCE_LOGP));
    assert_ok(refer(&reference, groups[5]));
    assert_int_equal(differing(groups[5]), 0);
    for (int i = 0; i < PROMPTS; i++)
        group_free(groups[i]);
}

/* ---- the rewarder's stages between a generator and a learner, all in this process */

struct stages {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_server *learner, *rewarder;
    struct relay *relay;
    struct score *score;
    struct courier *generator;
    struct group *arrived[PROMPTS]; // by slot
    int settled;
};

static void append(struct rpc_call *call, struct rpc_message *message,
                   const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct stages *s = user;
    struct group *group = NULL;
    assert_ok(
        group_decode(rpc_message_data(message), rpc_message_len(message), &GROUP_LIMITS, &group));
    assert_true(group->slot < PROMPTS && !s->arrived[group->slot]);
    s->arrived[group->slot] = group;
    SCOPED_VALUE(bytes) out = {0};
    disposition_encode(&(struct disposition){.id = group->id, .outcome = OUTCOME_STORED}, &out);
    struct rpc_message *answer = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(call, answer);
    rpc_message_free(answer);
}

static void on_settled(void *arg, const struct disposition *disposition, struct rpc_message *answer,
                       void *tag)
{
    (void)answer;
    (void)tag;
    struct stages *s = arg;
    assert_int_equal(disposition->outcome, OUTCOME_STORED);
    if (++s->settled == PROMPTS)
        loop_stop(s->loop);
}

static void on_up(void *arg)
{
    (void)arg;
}

static void on_courier_up(void *arg, size_t again)
{
    (void)arg;
    (void)again;
}

static void on_down(void *arg, err_t why)
{
    (void)arg;
    err_free(why);
}

static void on_answered(void *arg)
{
    (void)arg;
}

static void on_room(void *arg)
{
    struct stages *s = arg;
    score_room(s->score);
}

static char *serve(struct stages *s, struct rpc_service service, struct rpc_server **ret)
{
    struct rpc_service services[] = {service};
    struct rpc_server_options options = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    assert_ok(rpc_server_start(s->rpc, &options, ret));
    return mem_printf("127.0.0.1:%d", rpc_server_port(*ret));
}

static void open_stages(struct stages *s, const struct recipe *recipe)
{
    static const struct rpc_method replay[] = {
        {"/rlhfd.v1.Replay/Append", NULL, NULL, RPC_BIDI, CALLER_ANY, {.message = append}, 0}, {0}};
    static const struct rpc_method rewards = {"/rlhfd.v1.Rewards/Score", NULL, NULL, RPC_BIDI};
    assert_ok(loop_new(&s->loop));
    assert_ok(rpc_new(s->loop, &s->rpc));
    SCOPED_MEM char *learner = serve(s, (struct rpc_service){replay, s}, &s->learner);
    struct relay_options relay = {.rpc = s->rpc,
                                  .learner = learner,
                                  .room = on_room,
                                  .answered = on_answered,
                                  .down = on_down,
                                  .up = on_up,
                                  .arg = s};
    assert_ok(relay_open(&relay, &s->relay));
    struct score_options score = {.loop = s->loop, .recipe = recipe, .relay = s->relay};
    assert_ok(score_new(&score, &s->score));
    SCOPED_MEM char *rewarder = serve(s, score_service(s->score), &s->rewarder);
    struct courier_options courier = {.rpc = s->rpc,
                                      .peer = rewarder,
                                      .method = &rewards,
                                      .settled = on_settled,
                                      .up = on_courier_up,
                                      .down = on_down,
                                      .arg = s};
    assert_ok(courier_open(&courier, &s->generator));
}

static void close_stages(struct stages *s)
{
    courier_close(s->generator, NULL);
    rpc_server_free(s->rewarder);
    score_free(s->score);
    relay_free(s->relay);
    rpc_server_free(s->learner);
    rpc_free(s->rpc);
    loop_free(s->loop);
    for (int i = 0; i < PROMPTS; i++)
        group_free(s->arrived[i]);
}

static void send(struct stages *s, struct group *group)
{
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    courier_send(s->generator, &group->id, rpc_message_copy(out.data, out.len), NULL);
    group_free(group);
}

/* Group 1 has a token outside the vocabulary, group 4 lacks the scorer's column. */
static void leave(float temperature)
{
    struct ring ring = prepare();
    SCOPED(recipe) recipe = recipe_with(&ring, "rewarder.threads=2", NULL);
    struct stages s = {0};
    struct group *groups[PROMPTS];
    open_stages(&s, recipe);
    decode(ring.model, temperature, groups);
    groups[1]->completion[0].token[0] = 29;
    free(groups[4]->row);
    groups[4]->row = mem_string("{\"prompt\": \"ba>\"}");
    for (int i = 0; i < PROMPTS; i++)
        send(&s, groups[i]);
    assert_ok(loop_run(s.loop));
    for (int i = 0; i < PROMPTS; i++) {
        const struct group *group = s.arrived[i];
        bool whole = i != 1 && i != 4;
        if (whole)
            assert_int_equal(differing(s.arrived[i]), 0);
        assert_int_equal(group_width(group, COLUMN_SCORES), whole ? 2 : 0);
        for (uint32_t n = 0; whole && n < COMPLETIONS; n++)
            assert_true(group_value(group, COLUMN_REWARD, n) > 0);
        assert_true(whole == !group->failure);
        if (whole)
            continue;
        assert_int_equal(group->columns.count, 1); // as its generator sent it
        assert_non_null(strstr(group->failure, i == 1 ? "rewarder.reference: kind 'frozen': "
                                                      : "rewarder.scorers[0]: kind 'exact': "));
    }
    close_stages(&s);
}

static void groups_leave_the_rewarder_with_it(void **state)
{
    (void)state;
    leave(0.7f);
    leave(0.0f); // an evaluation's
}

TESTS(cmocka_unit_test(it_has_the_bits_that_were_stamped),
      cmocka_unit_test(of_training_pairs_only_the_two),
      cmocka_unit_test(another_model_may_be_the_reference),
      cmocka_unit_test(what_does_not_fit_is_refused),
      cmocka_unit_test(a_group_it_cannot_compute_stays_as_it_was),
      cmocka_unit_test(groups_leave_the_rewarder_with_it))
