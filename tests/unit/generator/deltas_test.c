/* A hundred real updates come as deltas, packed and plain, and some as jumps. The generator then
 * has the weights, digest and greedy completions of one that loads the last version whole. */
#include "model/backward.h"
#include "model/engine/engine.h"
#include "model/optimizer.h"
#include "tensor/digest.h"
#include "unit/model/tiny.h"
#include "weights/codec/delta.h"
#include "weights/codec/deltachunk.h"
#include "weights/codec/staging.h"

enum { UPDATES = 100, ROWS = 24, PROMPT = 6, ANSWER = 30, PROMPTS = 8 };

struct learner {
    struct model *model;
    struct forward *forward;
    struct gradient *gradient;
    struct optimizer *optimizer;
};

static void update(struct learner *learner, uint64_t number)
{
    const int length = ROWS;
    struct optimizer_result result;
    struct tiny_batch batch = tiny_batch_of(&length, 0, 1, learner->model->config.V, number);
    assert_ok(gradient_zero(learner->gradient));
    tiny_backward(learner->forward, &batch, learner->gradient);
    assert_ok(optimizer_step(learner->optimizer, learner->gradient, 1e-4, &result));
    assert_true(result.changed > 0 && result.changed < 0.5);
    tiny_batch_done(&batch);
}

/* Applies a delta to values, as a subscriber does, but without a stream. */
static void follow(struct staging *staging, const struct delta *delta, bool packed, bf16 *values,
                   struct digest *digest)
{
    staging_clear(staging);
    for (size_t i = 0; i < delta->chunks; i++) {
        SCOPED_VALUE(bytes) chunk = {0};
        if (packed)
            deltachunk_compress(delta->chunk[i].data, delta->chunk[i].len, &chunk);
        const struct bytes *from = packed ? &chunk : &delta->chunk[i];
        assert_ok(staging_add(staging, values, from->data, from->len));
    }
    *digest = weights_digest_add(*digest, staging_change(staging));
    staging_apply(staging, values, NULL);
}

static void greedy(struct model *model, int32_t tokens[PROMPTS][ANSWER],
                   float logp[PROMPTS][ANSWER])
{
    SCOPED(engine) engine = NULL;
    const struct engine_completion *done;
    int count;
    assert_ok(engine_new(
        model, &(struct engine_config){.slots = PROMPTS, .max_context = PROMPT + ANSWER}, &engine));
    for (int p = 0; p < PROMPTS; p++) {
        int32_t prompt[PROMPT];
        for (int i = 0; i < PROMPT; i++)
            prompt[i] = (p * 13 + i * 5) % model->config.V;
        struct engine_request request = {.tag = (uint64_t)p,
                                         .prompt = prompt,
                                         .prompt_tokens = PROMPT,
                                         .completions = 1,
                                         .max_tokens = ANSWER};
        assert_ok(engine_admit(engine, &request));
    }
    while (engine_active(engine)) {
        assert_ok(engine_step(engine, &done, &count));
        for (int i = 0; i < count; i++) {
            assert_int_equal(done[i].tokens, ANSWER);
            memcpy(tokens[done[i].tag], done[i].token, sizeof tokens[0]);
            memcpy(logp[done[i].tag], done[i].logp, sizeof logp[0]);
        }
    }
}

static void a_hundred_deltas_are_the_last_version(void **state)
{
    (void)state;
    static int32_t tokens[2][PROMPTS][ANSWER];
    static float logp[2][PROMPTS][ANSWER];
    SCOPED(backend) be = tiny_backend(1);
    const struct model_config config = tiny_config(true);
    const struct optimizer_config adamw = OPTIMIZER_DEFAULTS;
    struct learner learner = {0};
    SCOPED(model) follower = NULL;
    SCOPED(model) fresh = NULL;
    assert_ok(model_new(be, &config, 1, &learner.model));
    assert_ok(model_new(be, &config, 1, &follower));
    assert_ok(forward_new(learner.model, ROWS, ROWS, true, &learner.forward));
    assert_ok(gradient_new(learner.model, &learner.gradient));
    assert_ok(optimizer_new(learner.model, &adamw, NULL, &learner.optimizer));
    const struct layout *layout = learner.model->params->layout;
    SCOPED(staging) staging = staging_new(layout);
    SCOPED_MEM bf16 *followed = flat_of(follower);
    struct digest digest = weights_digest(followed, 0, layout->elements);
    SCOPED(delta) held = NULL; // every tenth comes as a jump over two
    for (uint64_t u = 1; u <= UPDATES; u++) {
        SCOPED_MEM bf16 *before = flat_of(learner.model);
        update(&learner, u);
        SCOPED_MEM bf16 *after = flat_of(learner.model);
        SCOPED(delta) delta = delta_encode(layout, before, after);
        if (u % 10 == 9) {
            held = STEAL(delta);
            continue;
        }
        SCOPED(delta) jump = NULL;
        if (held) {
            const struct delta *parts[] = {held, delta};
            assert_ok(delta_compose(layout, parts, 2, &jump));
            delta_free(STEAL(held));
        }
        follow(staging, jump ? jump : delta, u % 2, followed, &digest);
    }
    const char *directory = testing_directory();
    assert_ok(model_write(learner.model, directory));
    assert_ok(model_load(be, directory, &fresh));
    assert_ok(model_put(follower, followed, NULL));
    assert_same_weights(follower, fresh);
    const struct digest whole = weights_digest_of(fresh);
    assert_memory_equal(&digest, &whole, sizeof digest);
    greedy(follower, tokens[0], logp[0]);
    greedy(fresh, tokens[1], logp[1]);
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    assert_memory_equal(logp[0], logp[1], sizeof logp[0]);
    optimizer_free(learner.optimizer);
    gradient_free(learner.gradient);
    forward_free(learner.forward);
    model_free(learner.model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_hundred_deltas_are_the_last_version)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
