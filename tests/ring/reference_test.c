/* What the learner's store holds after a run with a frozen reference: at version 0, where policy
 * and reference are one model, each token's two log-probabilities have the same bits; later they
 * part, and are still those of the reference. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "learner/settings.h"
#include "learner/store/rounds.h"
#include "model/likelihood.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 6, RUN_MS = 120000 };

static struct store *open_store(const struct ring *ring, const struct recipe *recipe)
{
    SCOPED(jsonl) data = NULL;
    struct store *store = NULL;
    SCOPED_MEM char *directory = file_join(ring->run, "store");
    assert_ok(jsonl_open(recipe->data.train.at[0].path, &data));
    struct store_options options = {.run = recipe->run.name,
                                    .data = jsonl_digest(data),
                                    .rows = jsonl_rows(data),
                                    .seed = (uint64_t)recipe->run.seed,
                                    .shuffle = recipe->data.shuffle};
    struct store_rules rules = settings_store(recipe);
    assert_ok(store_open(directory, &options, &rules, clock_ms(), &store));
    return store;
}

struct bits {
    int tokens, from_stamped, from_reference; // compared; differing
};

/* Adds one group's tokens: the reference's log-probabilities against what was stamped, and against
 * a forward of the reference here. */
static void compare(const struct group *group, struct likelihood *reference, struct bits *bits)
{
    assert_string_equal(group->forward,
                        "backend=cpu kernels=2 kv=bf16"); // as the generator wrote it
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *c = &group->completion[i];
        struct sequence sequence = {.prompt = group->prompt_token,
                                    .token = c->token,
                                    .prompt_tokens = (int)group->prompt_tokens,
                                    .tokens = (int)c->tokens,
                                    .context = (int)group->prompt_tokens};
        SCOPED_MEM float *logp = mem_array(c->tokens, sizeof *logp);
        assert_ok(likelihood_run(reference, &sequence, 1, 1.0f / group->temperature, logp));
        const float *stamped = group_values(group, COLUMN_BEHAVIOUR_LOGP, i);
        const float *found = group_values(group, COLUMN_REFERENCE_LOGP, i);
        assert_non_null(found);
        for (uint32_t t = 0; t < c->tokens; t++) {
            bits->tokens++;
            bits->from_stamped += memcmp(&found[t], &stamped[t], sizeof *logp) != 0;
            bits->from_reference += memcmp(&found[t], &logp[t], sizeof *logp) != 0;
        }
    }
}

static struct bits compare_round(struct store *store, uint64_t number, struct likelihood *reference)
{
    SCOPED(round) round = NULL;
    struct group **groups;
    struct bits bits = {0};
    assert_ok(store_round(store, number, &round));
    assert_ok(store_round_groups(store, round, &groups));
    for (size_t g = 0; g < round->groups; g++)
        compare(groups[g], reference, &bits);
    round_groups_free(groups, round->groups);
    print_message("round %d: %d tokens, %d differ from the policy's, %d from the reference's\n",
                  (int)number, bits.tokens, bits.from_stamped, bits.from_reference);
    return bits;
}

/* The learner's own figure of a round, from metrics.jsonl. */
static double kl_of_round(const struct ring *ring, int number)
{
    SCOPED(jsonl) rounds = NULL;
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *line = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    assert_ok(jsonl_open(path, &rounds));
    assert_ok(jsonl_row(rounds, (uint64_t)number, &text));
    assert_ok(json_parse((const char *)text.data, text.len, path, &line));
    assert_true(json_is_number(json_object_get(line, "kl_reference")));
    return json_number_value(json_object_get(line, "kl_reference"));
}

static void stored_groups_carry_the_references_bits(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8});
    SCOPED(recipe) recipe = NULL;
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(likelihood) reference = NULL;
    char *output;
    int status =
        process_run(&output, RUN_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set",
                    "rewarder.reference=frozen", "--set", "model.kv=bf16", "--set",
                    "generator.temperature=0.8", "--set", "checkpoint.every=1000", NULL);
    if (status)
        print_error("%s\n", output);
    free(output);
    assert_int_equal(status, 0);
    ring_audit(&ring);
    struct recipe_source source = {.file = ring.recipe, .run = ring.run};
    assert_ok(recipe_read(&source, &recipe));
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load(be, ring.model, &model));
    model->kv = KV_BF16;
    assert_ok(likelihood_new(model, 256, 256, &reference));
    SCOPED(store) store = open_store(&ring, recipe);
    struct bits first = compare_round(store, 0, reference);
    assert_true(first.tokens > 8 * 4);
    assert_int_equal(first.from_stamped, 0);
    assert_int_equal(first.from_reference, 0);
    struct bits last = compare_round(store, ROUNDS - 1, reference);
    assert_true(last.from_stamped > last.tokens / 2);
    assert_int_equal(last.from_reference, 0);
    assert_true(kl_of_round(&ring, 0) == 0);
    assert_true(kl_of_round(&ring, ROUNDS - 1) != 0);
}

TESTS(cmocka_unit_test(stored_groups_carry_the_references_bits))
