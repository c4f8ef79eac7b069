#include "ctl/make/sizing.h"
#include "model/files/params.h"
#include "model/odds.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/recipe/recipe_stage.h"
#include <math.h>

enum {
    WORKER_BASE = 20 << 20, // code, gRPC, tokenizer
    LEARNER_BASE = 34 << 20,
    PAGE = 64,
    HEAD_ROWS = 512, // rows whose logits are in memory at once, in training
    DRAWN_ROWS = 64, // the same in a generator
    TEXTS = 1 << 20  // a checkpoint's tokenizer and manifest
};

static double elements(const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    return (double)params->layout->elements;
}

/* Of a forward of n rows. */
static double forward_bytes(const struct model_config *c, double n)
{
    return n * (36.0 * c->C + 12.0 * c->F);
}

static double context(const struct recipe *r, const struct model_config *c)
{
    return config_context(c, r->data.max_prompt_tokens, r->generator.max_tokens);
}

static double kv_bytes(const struct recipe *r, const struct model_config *c)
{
    if (r->generator.kv_bytes)
        return (double)r->generator.kv_bytes;
    const double pages = (double)r->generator.slots * ceil(context(r, c) / PAGE);
    return pages * PAGE * 2 * c->L * c->K * c->D * (r->model.kv == RECIPE_KV_FP32 ? 4 : 2);
}

static double generator_bytes(const struct recipe *r, const struct model_config *c, double P,
                              double A)
{
    const double slots = (double)r->generator.slots;
    const double step =
        forward_bytes(c, (double)r->generator.step_rows) + 4.0 * c->V * fmin(slots, DRAWN_ROWS);
    const double track = 2 * (P + A) + kv_bytes(r, c) + step;
    return WORKER_BASE + 4 * (A > 0 ? A : P) + track * (r->eval.every ? 2 : 1);
}

/* Of what a learner, or a reference, computes at once. */
static double rows(const struct recipe *r, const struct model_config *c)
{
    return pack_rows((int)r->learner.micro_tokens, (int)context(r, c));
}

/* Activations of what is computed at once, and logits of a stretch of it. */
static double step_bytes(const struct recipe *r, const struct model_config *c, double head)
{
    const double n = rows(r, c);
    const double kept = r->learner.gradient_checkpointing
                            ? 4.0 * c->C * (c->L - 1) + 64.0 * c->C + 24.0 * c->F
                            : (32.0 * c->C + 12.0 * c->F) * (c->L + 1);
    return n * kept + HEAD_ROWS * 4.0 * (head + 2.0 * c->C);
}

static double learner_bytes(const struct recipe *r, const struct model_config *c, double P,
                            double A)
{
    const double trains = A > 0 ? A : P;
    const double weights = 4 * (P + A), optimizer = 12 * trains, versions = 5 * trains;
    const double gradients = A > 0 ? 4 * A + 4.0 * c->C : 4 * P + (c->tied ? 4.0 * c->V * c->C : 0);
    return LEARNER_BASE + weights + gradients + optimizer + versions + step_bytes(r, c, c->V) +
           (r->eval.every ? 2 * trains : 0);
}

/* A reference that the learner keeps: packed, or as what trains; and what it computes at once. */
static double reference_bytes(const struct recipe *r, const struct model_config *c)
{
    const double each = recipe_reference_moves(r) ? 4 + 12 : 2;
    if (r->learner.reference.kind == RECIPE_REFERENCE_NONE)
        return 0;
    return each * elements(c) + forward_bytes(c, rows(r, c)) + HEAD_ROWS * 4.0 * c->V;
}

void sizing_make(const struct recipe *recipe, const struct model_config *policy, double adapter,
                 const struct model_config *reference, const struct model_config *critic,
                 struct sizing *ret)
{
    const double P = elements(policy);
    struct sizing s = {.parameters = P};
    s.generator = generator_bytes(recipe, policy, P, adapter);
    s.learner = learner_bytes(recipe, policy, P, adapter);
    s.rewarder = WORKER_BASE;
    s.checkpoint = (2 + 12) * (adapter > 0 ? adapter : P) + TEXTS;
    if (objective_has_critic(objective_row(recipe->learner.objective))) {
        const struct model_config *own = critic ? critic : policy;
        if (recipe->learner.critic.model == RECIPE_CRITIC_SEPARATE) {
            s.learner += 20 * elements(own) + step_bytes(recipe, own, 0);
            s.checkpoint += (4 + 12) * elements(own);
        } else
            s.learner += 20.0 * policy->C;
    }
    s.learner += reference_bytes(recipe, policy);
    s.checkpoint += recipe_reference_moves(recipe) ? (2 + 12) * P : 0;
    if (recipe_has_reference(recipe)) {
        const struct model_config *frozen = reference ? reference : policy;
        s.rewarder += 2 * elements(frozen) + forward_bytes(frozen, rows(recipe, frozen)) +
                      HEAD_ROWS * 4.0 * frozen->V;
    }
    s.disk = ((double)recipe->checkpoint.keep + 2) * s.checkpoint +
             (double)recipe->replay.min_free_bytes;
    *ret = s;
}

void sizing_add_reward_model(const struct recipe *recipe, const struct model_config *config,
                             bool shared, struct sizing *sizing)
{
    const int at_once = pack_rows(SCORES_GROUP_TOKENS, (int)context(recipe, config));
    sizing->rewarder += (shared ? 0 : 2 * elements(config)) + forward_bytes(config, at_once);
}

void sizing_add_preference_model(const struct model_config *config, int64_t tokens,
                                 struct sizing *sizing)
{
    const int at_once = pack_rows(SCORES_GROUP_TOKENS, odds_longest(config, tokens) + 1);
    sizing->rewarder +=
        2 * elements(config) + forward_bytes(config, at_once) + ODDS_HEAD_ROWS * 4.0 * config->V;
}
