/* Memory of GPUs for a recipe's models, as it stands and with the settings that take less. The sums
 * are model/device_memory.h's.
 *
 *     struct gpu_plan plan;
 *     TRY(gpu_plan_make(recipe, &policy, NULL, NULL, &plan));
 *     gpu_plan_print(&plan, &sizes);
 *
 * Pure, but for the printing. */
#pragma once
#include "base/json.h"
#include "model/device_memory.h"

enum { GPU_PLAN_ROWS = 5 };

/* The learner with some settings; those of the recipe come first. */
struct gpu_row {
    char settings[96];
    struct device_memory memory;
};

struct gpu_plan {
    struct device_memory generator, rewarder;
    double scores_scratch; // of the rewarder's: reward models share one backend
    int rows;
    struct gpu_row learner[GPU_PLAN_ROWS];
};

/* reference, critic: as sizing_make has them. INVALID: what lora asks for. */
err_t gpu_plan_make(const struct recipe *recipe, const struct model_config *policy,
                    const struct model_config *reference, const struct model_config *critic,
                    struct gpu_plan *ret);

/* One of a rewarder's reward models, as sizing_add_reward_model has it. */
void gpu_plan_add_reward_model(const struct recipe *recipe, const struct model_config *config,
                               bool shared, struct gpu_plan *plan);

/* A preference model, which has a backend of its own. */
void gpu_plan_add_preference_model(const struct model_config *config, int64_t tokens,
                                   struct gpu_plan *plan);

struct gpu_sizes {
    double device;          // bytes of the GPU that there is; 0: not known
    double bus_bytes_per_s; // between host and GPU, each way
};
void gpu_plan_print(const struct gpu_plan *plan, const struct gpu_sizes *sizes);
json_t *gpu_plan_json(const struct gpu_plan *plan, const struct gpu_sizes *sizes); // the caller's
