#include "ctl/make/gpu_plan.h"
#include "ctl/words/output.h"
#include "model/adapter.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe_lora.h"
#include <math.h>
#include <stdio.h>

/* CUDA's context and the module's code take more of a GPU. An estimate: drivers and devices
 * differ. */
static const double CONTEXT = 0.6e9;

static double needs(const struct device_memory *m)
{
    return device_memory_sum(m) + CONTEXT;
}

/* ---- rows */

struct making {
    struct recipe recipe; // a copy, whose settings change
    struct device_shapes shapes;
    struct gpu_plan *plan;
};

static void add_row(struct making *m, const char *settings)
{
    struct gpu_row *row = &m->plan->learner[m->plan->rows++];
    snprintf(row->settings, sizeof row->settings, "%s", settings);
    device_memory_of_learner(&m->recipe, &m->shapes, &row->memory);
}

/* A setting that the recipe has already makes no row. */
static void add_savings(struct making *m)
{
    struct recipe_learner *l = &m->recipe.learner;
    if (m->shapes.critic && l->critic.optimizer.states == RECIPE_STATES_DEVICE) {
        l->critic.optimizer.states = RECIPE_STATES_HOST;
        add_row(m, "learner.critic.optimizer.states: host");
    }
    if (!m->shapes.adapter && l->optimizer.states == RECIPE_STATES_DEVICE) {
        l->optimizer.states = RECIPE_STATES_HOST;
        add_row(m, m->shapes.critic ? "and learner.optimizer.states: host"
                                    : "learner.optimizer.states: host");
    }
    if (!l->gradient_checkpointing) {
        l->gradient_checkpointing = true;
        add_row(m, "and learner.gradient_checkpointing: true");
    }
}

/* Instead of all weights. */
static err_t add_adapter(const struct recipe *recipe, struct making *m)
{
    enum { RANK = 16 };
    struct model_config adapter;
    m->recipe = *recipe;
    m->recipe.lora.r = RANK;
    TRY(adapter_shape(&m->recipe, m->shapes.policy, &adapter));
    m->shapes.adapter = &adapter;
    add_row(m, "lora.r: 16 alone");
    m->shapes.adapter = NULL;
    return OK;
}

err_t gpu_plan_make(const struct recipe *recipe, const struct model_config *policy,
                    const struct model_config *reference, const struct model_config *critic,
                    struct gpu_plan *ret)
{
    const struct objective_row *objective = objective_row(recipe->learner.objective);
    const bool own_critic =
        objective_has_critic(objective) && recipe->learner.critic.model == RECIPE_CRITIC_SEPARATE;
    struct model_config adapter;
    struct gpu_plan plan = {0};
    struct making m = {
        .recipe = *recipe,
        .plan = &plan,
        .shapes = {.policy = policy,
                   .critic = own_critic ? (critic ? critic : policy) : NULL,
                   .reference =
                       recipe_has_reference(recipe) ? (reference ? reference : policy) : NULL,
                   .unit = objective_sequences(objective, (int)recipe->generator.num_generations)}};
    TRY(adapter_shape(recipe, policy, &adapter));
    if (adapter.lora.r)
        m.shapes.adapter = &adapter;
    device_memory_of_generator(recipe, &m.shapes, &plan.generator);
    device_memory_of_rewarder(recipe, &m.shapes, &plan.rewarder);
    add_row(&m, "as the recipe has it");
    add_savings(&m);
    if (!m.shapes.adapter)
        TRY(add_adapter(recipe, &m));
    *ret = plan;
    return OK;
}

void gpu_plan_add_reward_model(const struct recipe *recipe, const struct model_config *config,
                               bool shared, struct gpu_plan *plan)
{
    struct device_memory m;
    device_memory_of_scores(recipe, config, &m);
    const double more = fmax(m.scratch - plan->scores_scratch, 0);
    plan->rewarder.weights += shared ? 0 : m.weights;
    plan->rewarder.activations += m.activations;
    plan->rewarder.scratch += more;
    plan->scores_scratch += more;
}

void gpu_plan_add_preference_model(const struct model_config *config, int64_t tokens,
                                   struct gpu_plan *plan)
{
    struct device_memory m;
    device_memory_of_odds(config, tokens, &m);
    plan->rewarder.weights += m.weights;
    plan->rewarder.activations += m.activations;
    plan->rewarder.scratch += m.scratch;
}

/* ---- for people */

static const struct {
    const char *name;
    double bytes;
} devices[] = {{"80 GB", 80e9}, {"141 GB", 141e9}}; // A100 and H100; H200
enum { DEVICES = sizeof devices / sizeof *devices };

/* A column of its own, if it is none of those. */
static bool has_column(const struct gpu_sizes *sizes)
{
    for (int i = 0; i < DEVICES; i++)
        if (fabs(sizes->device - devices[i].bytes) < 0.05e9)
            return false;
    return sizes->device > 0;
}

static double bus_s(const struct device_memory *m, const struct gpu_sizes *sizes)
{
    return m->host / sizes->bus_bytes_per_s; // both ways at once
}

static void print_row(const struct gpu_row *row, const struct gpu_sizes *sizes)
{
    const struct device_memory *m = &row->memory;
    printf("  %-42s %7.1f", row->settings, needs(m) / 1e9);
    for (int i = 0; i < DEVICES; i++)
        printf(" %7s", needs(m) <= devices[i].bytes ? "fits" : "-");
    if (has_column(sizes))
        printf(" %7s", needs(m) <= sizes->device ? "fits" : "-");
    if (m->host > 0)
        printf("  host %.0f GB; %.0f GB pass in an update, %.3g s", m->host / 1e9, m->paged / 1e9,
               bus_s(m, sizes));
    printf("\n");
}

void gpu_plan_print(const struct gpu_plan *plan, const struct gpu_sizes *sizes)
{
    printf("GPU memory     %.1f GB a generator, %.1f GB the learner", needs(&plan->generator) / 1e9,
           needs(&plan->learner[0].memory) / 1e9);
    if (plan->rewarder.weights > 0)
        printf(", %.1f GB a rewarder", needs(&plan->rewarder) / 1e9);
    printf(", CUDA's context included; the learner uses one GPU in this version\n");
    if (sizes->device > 0 && needs(&plan->generator) > sizes->device)
        printf("               a generator does not fit into %.1f GB: fewer generator.slots, or "
               "generator.kv_bytes\n",
               sizes->device / 1e9);
    printf("  %-42s %7s", "the learner, with", "GB");
    for (int i = 0; i < DEVICES; i++)
        printf(" %7s", devices[i].name);
    if (has_column(sizes))
        printf(" %4.1f GB", sizes->device / 1e9);
    printf("\n");
    for (int i = 0; i < plan->rows; i++)
        print_row(&plan->learner[i], sizes);
}

static json_t *memory_json(const struct device_memory *m)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "bytes", needs(m), "weights",
                     m->weights, "states", m->states, "gradients", m->gradients, "activations",
                     m->activations, "kv", m->kv, "changes", m->changes, "scratch", m->scratch);
}

json_t *gpu_plan_json(const struct gpu_plan *plan, const struct gpu_sizes *sizes)
{
    json_t *rows = json_array();
    for (int i = 0; i < plan->rows; i++) {
        const struct gpu_row *row = &plan->learner[i];
        json_t *one = memory_json(&row->memory);
        json_object_set_new(one, "settings", json_string(row->settings));
        json_object_set_new(one, "host_bytes", json_real(row->memory.host));
        json_object_set_new(one, "bus_bytes", json_real(row->memory.paged));
        json_object_set_new(one, "bus_s", json_real(bus_s(&row->memory, sizes)));
        json_array_append_new(rows, one);
    }
    return json_pack("{s:o, s:o, s:o, s:f}", "generator", memory_json(&plan->generator), "rewarder",
                     memory_json(&plan->rewarder), "learner", rows, "device_bytes", sizes->device);
}
