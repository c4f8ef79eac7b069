/* Reward models made for tests: drawn weights and a drawn head, with a policy's tokenizer beside
 * them, as transformers' ForSequenceClassification.
 *
 *     const char *directory = reward_model_drawn(ring.model, &(struct drawn){.pad = -1, .seed = 9});
 *
 * Owner: the test's thread. */
#pragma once
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/adapter.h"
#include "model/model.h"
#include "testing/testing.h"

struct drawn {
    int pad;           // its pad token; -1: none
    int more;          // rows of the vocabulary that the policy does not have
    int width, layers; // 0: the policy's
    uint64_t seed;
};

static inline struct model_config drawn_config(const char *policy, const struct drawn *how)
{
    struct model_config config;
    assert_ok(config_read(policy, &config));
    if (how->width)
        config = config_default(config.V, how->width, 3 * how->width, how->layers, 4, 4,
                                config.max_positions, false);
    config.parts = PARTS_CRITIC;
    config.tied = false;
    config.pad = how->pad;
    config.V += how->more;
    return config;
}

/* A directory of the test's. */
static inline const char *reward_model_drawn(const char *policy, const struct drawn *how)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json"};
    const char *directory = testing_directory();
    const struct model_config config = drawn_config(policy, how);
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_new(be, &config, how->seed, &model));
    assert_ok(model_draw_value(model, how->seed + 2, 0.5));
    assert_ok(model_save(model, directory));
    for (int i = 0; i < 2; i++) {
        SCOPED_MEM char *from = file_join(policy, files[i]);
        SCOPED_MEM char *to = file_join(directory, files[i]);
        assert_ok(file_copy(from, to));
    }
    return directory;
}

/* A directory of a reward model's adapter beside the policy: all of its values and its head are
 * drawn. A base that is a reward model works as well. */
static inline const char *reward_adapter_drawn(const char *base, uint64_t seed)
{
    const char *directory = testing_directory();
    const struct lora lora = {.r = 2, .alpha = 4, .roles = 1U << PARAM_Q | 1U << PARAM_DOWN};
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    bool fresh;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load_critic(be, base, &model, &fresh));
    assert_ok(adapter_new(model, base, &lora, LORA_GAUSSIAN, seed));
    const size_t elements = model->adapter->params->layout->elements;
    const struct rng rng = rng_keyed(seed, RNG_TEST, 0, 0);
    SCOPED_MEM bf16 *flat = mem_array(elements, sizeof *flat);
    for (size_t i = 0; i < elements; i++)
        flat[i] = bf16_from_float((float)(rng_uniform(&rng, i) - 0.5));
    assert_ok(model_put(model->adapter, flat, NULL));
    assert_ok(model_save(model->adapter, directory));
    return directory;
}
