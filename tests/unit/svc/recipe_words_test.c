/* Key names of other trainers are answered with the key that is meant, wherever they are
 * written. */
#include "base/mem.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/recipe_live.h"
#include "svc/recipe/recipe_words.h"
#include "testing/testing.h"
#include <ctype.h>
#include <string.h>

static err_t refuse(const char *text, const char *set)
{
    SCOPED(recipe) recipe = NULL;
    struct recipe_source source = {.sets = &set, .sets_count = set != NULL};
    err_t e = recipe_parse(text, strlen(text), "ring.yaml", ".", &source, &recipe);
    if (!err_failed(e))
        print_error("accepted: %s %s\n", text, set ? set : "");
    return e;
}

static void every_answer_is_in_the_options_table(void **state)
{
    (void)state;
    const struct recipe_word *word;
    size_t i = 0;
    for (; (word = recipe_word_at(i)); i++) {
        if (*word->ours && !recipe_key_exists(word->ours))
            fail_msg("%s: '%s' is no key", word->name, word->ours);
        if (!*word->ours && !*word->note)
            fail_msg("%s: neither a key nor a word", word->name);
        if (recipe_key_exists(word->name))
            fail_msg("%s is a key of ours: nobody would be asked", word->name);
        if (recipe_word_find(word->name) != word)
            fail_msg("%s is given twice", word->name);
    }
    assert_true(i > 300);
    assert_null(recipe_word_find("learner.groups"));
}

/* "learner.kl.coef" within a sentence; the length of the key that begins at text. */
static size_t key_length(const char *text)
{
    size_t len = 0;
    while (islower((unsigned char)text[len]) || isdigit((unsigned char)text[len]) ||
           text[len] == '_' || (text[len] == '.' && islower((unsigned char)text[len + 1])))
        len++;
    return len;
}

static void keys_named_in_notes_exist(void **state)
{
    (void)state;
    const struct recipe_word *word;
    size_t keys = 0;
    for (size_t i = 0; (word = recipe_word_at(i)); i++)
        for (const char *p = word->note; *p;) {
            const size_t len = key_length(p);
            SCOPED_MEM char *key = mem_printf("%.*s", (int)len, p);
            const bool file = strstr(key, ".json") != NULL;
            if (strchr(key, '.') && !file) {
                keys++;
                if (!recipe_key_exists(key))
                    fail_msg("%s: its note names '%s', which is no key", word->name, key);
            }
            p += len ? len : 1;
        }
    assert_true(keys > 50);
}

static void a_word_is_answered_where_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"learning_rate: 1e-5",
         "ring.yaml:1: learning_rate: no such key; did you mean 'learner.optimizer.lr'?"},
        {"learner:\n  groups: 8\n  learning_rate: 1e-5",
         "ring.yaml:3: learner.learning_rate: no such key; did you mean 'learner.optimizer.lr'?"},
        {"learner: {optimizer: {max_grad_norm: 1}}", "did you mean 'learner.optimizer.clip_norm'?"},
        {"beta: 0.04",
         "did you mean 'learner.kl.coef'? in GRPO, RLOO and PPO; the beta of online DPO is learner.dpo.beta"},
        {"learner: {kl: {beta: 0.04}}", "did you mean 'learner.kl.coef'?"},
        {"learner: {num_iterations: 2}",
         "did you mean 'learner.epochs'? passes over a round's groups; learner.updates_per_round"},
        {"generator: {max_completion_length: 9}", "did you mean 'generator.max_tokens'?"},
        {"per_device_train_batch_size: 9",
         "did you mean 'learner.groups'? counts prompts of a round"},
        {"gradient_accumulation_steps: 9", "did you mean 'learner.micro_tokens'?"},
        {"actor_rollout_ref:\n  model: {x: 1}\n  rollout:\n    n: 8\n",
         "ring.yaml:4: actor_rollout_ref.rollout.n: no such key; did you mean 'generator.num_generations'?"},
        {"trainer: {total_epochs: 2}",
         "ring.yaml:1: trainer.total_epochs: no such key; did you mean 'data.epochs'?"},
        {"rollout_batch_size: 128", "did you mean 'learner.groups'?"},
        {"rollout: {temperature: 1}", "did you mean 'generator.temperature'?"},
        {"max_head_offpolicyness: 4", "did you mean 'lag.max'?"},
        {"sync_ref_model: true", "did you mean 'learner.reference.kind'?"},
        {"entropy_coef: 0.1", "no such key, and nothing like it: there is no entropy bonus"},
        {"sft: {learning_rate: 1}", "did you mean 'sft.optimizer.lr'?"},
        {"sft: {batch_size: 1}", "did you mean 'sft.batch'?"},
        {"critic: {optim: {lr: 1}}",
         "ring.yaml:1: critic: no such key; did you mean 'learner.critic'?"},
        {"critic_learning_rate: 1e-5", "did you mean 'learner.critic.optimizer.lr'?"},
        {"gae_lambda: 1", "did you mean 'learner.ppo.lambda'?"},
        {"gamma: 1", "did you mean 'learner.ppo.gamma'?"},
        {"trainer: {critic_warmup: 5}", "did you mean 'learner.critic.warmup_rounds'? in rounds"},
        {"seed: 3", "did you mean 'run.seed'?"},
        {"top_p: 0.9", "did you mean 'generator.top_p'?"},
        {"lerner: {groups: 3}", "did you mean 'learner'?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, refuse(cases[i].text, NULL));
    assert_err(ERR_INVALID,
               "--set: learning-rate: no such key; did you mean 'learner.optimizer.lr'?",
               refuse("", "learning-rate=1"));
    assert_err(
        ERR_INVALID,
        "--set: actor_rollout_ref.rollout.n: no such key; did you mean 'generator.num_generations'?",
        refuse("", "actor_rollout_ref.rollout.n=8"));
    assert_err(ERR_INVALID, "did you mean 'generator.temperature'?",
               refuse("", "actor_rollout_ref.rollout.temperature=1"));
    assert_err(ERR_INVALID,
               "--set: learner.num_ppo_epochs: no such key; did you mean 'learner.epochs'?",
               refuse("", "learner.num_ppo_epochs=8"));
}

static void a_live_change_is_answered_alike(void **state)
{
    (void)state;
    SCOPED(recipe) recipe = NULL, *changed = NULL;
    assert_ok(recipe_parse("", 0, "ring.yaml", ".", NULL, &recipe));
    err_t e = recipe_change(recipe, &(struct recipe_assignment){"kl_coef", "0.1"}, 1, &changed);
    assert_string_equal(err_field_name(e), "kl_coef");
    assert_err(ERR_NOT_FOUND, "kl_coef: no such key; did you mean 'learner.kl.coef'?", e);
    char *value = NULL;
    assert_err(ERR_INVALID, "max_staleness: no such key; did you mean 'lag.max'?",
               recipe_get(recipe, "max_staleness", &value));
}

TESTS(cmocka_unit_test(every_answer_is_in_the_options_table),
      cmocka_unit_test(keys_named_in_notes_exist),
      cmocka_unit_test(a_word_is_answered_where_it_stands),
      cmocka_unit_test(a_live_change_is_answered_alike))
