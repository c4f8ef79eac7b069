/* plan: what a ring of some size would do, before it is built. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/make/gpu_plan.h"
#include "ctl/make/planning.h"
#include "ctl/make/reward_paths.h"
#include "ctl/make/sizing.h"
#include "ctl/words/command.h"
#include "model/adapter.h"
#include "model/backend_recipe.h"
#include "model/files/params.h"
#include "rl/objective.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/recipe/recipe_place.h"
#include <math.h>
#include <stdio.h>

struct texts {
    const char *parameters, *adapter, *changed, *generators, *bandwidth, *latency, *fanout, *train,
        *decode, *mean, *longest, *slots, *score, *disk, *device, *bus;
    bool json;
};

/* What one machine of each kind must have. */
struct machines {
    bool known; // there is a model at model.path
    struct sizing sizing;
    bool on_gpus; // the recipe or a flag asks for what GPUs must have
    struct gpu_plan gpu;
    struct gpu_sizes sizes;
};

static err_t take(const char *flag, const char *text, double min, double max, double scale,
                  double *ret)
{
    if (!text)
        return OK;
    TRY(flag_number(flag, text, min, max, ret));
    *ret *= scale;
    return OK;
}

static bool has_own_critic(const struct recipe *recipe)
{
    return objective_has_critic(objective_row(recipe->learner.objective)) &&
           recipe->learner.critic.model == RECIPE_CRITIC_SEPARATE;
}

static double parameters_of(const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    return (double)params->layout->parameters;
}

/* Of model.path, if it is there, and of the adapter that the recipe has beside it. */
static err_t count(const struct recipe *recipe, struct plan_input *in)
{
    struct model_config config;
    SCOPED_MEM char *path = file_join(recipe->model.path, "config.json");
    if (!recipe_has_lora(recipe) || !*recipe->model.path || !file_exists(path))
        return OK;
    TRY(config_read(recipe->model.path, &config));
    in->parameters = parameters_of(&config);
    TRY(adapter_shape(recipe, &config, &config));
    in->adapter = parameters_of(&config);
    return OK;
}

/* The recipe says what is trained, flags what it runs on. */
static err_t read_input(const struct recipe *recipe, const struct texts *t, struct plan_input *ret)
{
    struct plan_input in = PLAN_DEFAULTS;
    in.groups = (double)recipe->learner.groups;
    in.completions = (double)recipe->generator.num_generations;
    in.longest_tokens = (double)recipe->generator.max_tokens;
    in.mean_tokens = ceil(in.longest_tokens / 4);
    in.slots = (double)recipe->generator.slots;
    in.eta = (double)recipe->lag.max;
    in.trainees = has_own_critic(recipe) ? 2 : 1;
    in.zstd = recipe->publish.compress != RECIPE_COMPRESS_NONE;
    TRY(count(recipe, &in));
    TRY(take("--adapter", t->adapter, 1, 1e13, 1, &in.adapter));
    TRY(take("--parameters", t->parameters, 1, 1e13, 1, &in.parameters));
    TRY(take("--changed", t->changed, 0, 1, 1, &in.changed));
    TRY(take("--generators", t->generators, 1, 1e5, 1, &in.generators));
    TRY(take("--bandwidth", t->bandwidth, 1e-6, 1e4, 1e9, &in.bytes_per_s));
    TRY(take("--latency-ms", t->latency, 0, 60000, 1e-3, &in.latency_s));
    TRY(take("--fanout", t->fanout, 1, 1e5, 1, &in.fanout));
    TRY(take("--train-s", t->train, 1e-6, 1e7, 1, &in.round_s));
    TRY(take("--tokens-per-s", t->decode, 1e-3, 1e9, 1, &in.tokens_per_s));
    TRY(take("--longest", t->longest, 1, 1e8, 1, &in.longest_tokens));
    TRY(take("--mean", t->mean, 1, 1e7, 1, &in.mean_tokens));
    TRY(take("--slots", t->slots, 1, 1e7, 1, &in.slots));
    TRY(take("--score-s", t->score, 0, 1e6, 1, &in.score_s));
    TRY(take("--disk", t->disk, 1e-6, 1e4, 1e9, &in.disk_bytes_per_s));
    if (recipe_has_lora(recipe) && !(in.adapter > 0))
        return err_new(ERR_INVALID,
                       "plan: the recipe trains an adapter (lora.r), and model.path is "
                       "not there to count its parameters: give --adapter N");
    TRY(err_wrap(plan_check(&in), "plan"));
    *ret = in;
    return OK;
}

/* NOT_FOUND leaves *ret_config alone and is no error: plans are made before models are there. */
static err_t read_model(const struct recipe *recipe, const char *key, const char *path,
                        struct model_config *ret_config, bool *ret_found)
{
    err_t failed = *path ? config_read_any(path, ret_config) : err_new(ERR_NOT_FOUND, "none");
    *ret_found = !err_failed(failed);
    if (err_code(failed) != ERR_NOT_FOUND)
        return recipe_place(recipe, key, failed);
    err_free(failed);
    return OK;
}

static bool is_on_gpus(const struct recipe *recipe)
{
    return recipe->generator.backend == RECIPE_BACKEND_CUDA ||
           recipe->rewarder.backend == RECIPE_BACKEND_CUDA ||
           recipe->learner.backend == RECIPE_BACKEND_CUDA;
}

/* Bytes of the GPU that this machine has for a learner; 0: it has none. */
static double device_here(const struct recipe *recipe)
{
    SCOPED(backend) be = NULL;
    struct backend_config config = backend_of_learner(recipe);
    config.wanted = BACKEND_CUDA;
    config.trains = false;
    err_t none = backend_open(NULL, &config, &be);
    const bool found = !err_failed(none) && be->apart;
    err_free(none);
    return found ? (double)be->ops->capacity(be, NULL) : 0;
}

/* "80", "80G" or "80GB". */
static err_t take_gigabytes(const char *flag, const char *text, double *ret)
{
    SCOPED_MEM char *number = text ? mem_string(text) : NULL;
    if (number)
        number[strcspn(number, "G")] = 0;
    if (text && strcmp(text + strlen(number), "") != 0 && strcmp(text + strlen(number), "G") != 0 &&
        strcmp(text + strlen(number), "GB") != 0)
        return err_new(ERR_INVALID, "%s: '%s': a number of GB, as 80G", flag, text);
    return take(flag, number, 1e-3, 1e5, 1e9, ret);
}

static err_t read_gpus(const struct recipe *recipe, const struct texts *t,
                       const struct model_config *policy, const struct model_config *reference,
                       const struct model_config *critic, struct machines *m)
{
    m->on_gpus = t->device || is_on_gpus(recipe);
    if (!m->on_gpus)
        return OK;
    m->sizes = (struct gpu_sizes){.bus_bytes_per_s = 50e9};
    TRY(take_gigabytes("--device-memory", t->device, &m->sizes.device));
    TRY(take("--bus", t->bus, 1e-3, 1e4, 1e9, &m->sizes.bus_bytes_per_s));
    if (!t->device)
        m->sizes.device = device_here(recipe);
    return gpu_plan_make(recipe, policy, reference, critic, &m->gpu);
}

/* The rewarder's models beside its reference, one after another. */
struct adding {
    const struct recipe *recipe;
    struct machines *to;
    size_t bases;
    char *base[REWARD_PATHS_MAX]; // of reward models, which adapters share
};

static void adding_done(struct adding *a)
{
    for (size_t i = 0; i < a->bases; i++)
        mem_free(a->base[i]);
}

/* Takes base. Whether it was there before. */
static bool note_base(struct adding *a, char *base)
{
    for (size_t i = 0; i < a->bases; i++)
        if (strcmp(a->base[i], base) == 0) {
            mem_free(base);
            return true;
        }
    a->base[a->bases++] = base;
    return false;
}

static void add_preference_model(const struct adding *a, const struct model_config *config,
                                 int64_t tokens)
{
    sizing_add_preference_model(config, tokens, &a->to->sizing);
    if (a->to->on_gpus)
        gpu_plan_add_preference_model(config, tokens, &a->to->gpu);
}

/* The base may be a language model, whose own head is not loaded then. */
static void add_reward_model(const struct adding *a, const struct model_config *base, bool shared)
{
    struct model_config config = *base;
    config.parts = PARTS_CRITIC;
    config.tied = false;
    sizing_add_reward_model(a->recipe, &config, shared, &a->to->sizing);
    if (a->to->on_gpus)
        gpu_plan_add_reward_model(a->recipe, &config, shared, &a->to->gpu);
}

/* Of an adapter its base, beside which it is small. */
static err_t add_reward_path(void *arg, const struct reward_path *path)
{
    struct adding *a = arg;
    SCOPED_MEM char *base = NULL;
    struct model_config config;
    bool found;
    TRY(recipe_place(a->recipe, path->key, adapter_under(path->path, &base)));
    TRY(read_model(a->recipe, path->key, base, &config, &found));
    if (found && path->tokens)
        add_preference_model(a, &config, path->tokens);
    else if (found)
        add_reward_model(a, &config, note_base(a, STEAL(base)));
    return OK;
}

static err_t read_machines(const struct recipe *recipe, const struct texts *t, double adapter,
                           struct machines *ret)
{
    struct model_config policy, reference, critic;
    bool has_reference, has_critic;
    struct machines m = {0};
    TRY(read_model(recipe, "model.path", recipe->model.path, &policy, &m.known));
    TRY(read_model(recipe, "rewarder.reference_path", recipe->rewarder.reference_path, &reference,
                   &has_reference));
    TRY(read_model(recipe, "learner.critic.path", recipe->learner.critic.path, &critic,
                   &has_critic));
    if (m.known) {
        const struct model_config *frozen = has_reference ? &reference : NULL,
                                  *values = has_critic ? &critic : NULL;
        sizing_make(recipe, &policy, adapter, frozen, values, &m.sizing);
        TRY(read_gpus(recipe, t, &policy, frozen, values, &m));
        SCOPED_VALUE(adding) adding = {.recipe = recipe, .to = &m};
        TRY(reward_paths_each(recipe, add_reward_path, &adding));
    }
    *ret = m;
    return OK;
}

static void print_bytes(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    for (; bytes >= 1000 && unit < 4; unit++)
        bytes /= 1000;
    printf("%.3g %s", bytes, units[unit]);
}

static void print_text(const struct plan_input *in, const struct plan *p)
{
    printf("a version      full ");
    print_bytes(p->full_bytes);
    printf(", as changes of %.3g %% of the values ", in->changed * 100);
    print_bytes(p->delta_bytes);
    printf(" (%.2f %%)\n", 100 * p->delta_bytes / p->full_bytes);
    for (int way = 0; way < PLAN_WAYS; way++)
        printf("  %-4s         full %.3g s, changes %.3g s until %g generators have it\n",
               plan_way_names[way], p->spread[way].full_s, p->spread[way].delta_s, in->generators);
    printf("generators     %g needed to feed the learner, %g there\n", p->generators_needed,
           in->generators);
    printf("longest group  %.3g s from lease to record\n", p->longest_s);
    printf("lag.max        %g needed so that nobody waits for it, %g set\n", p->eta_needed,
           in->eta);
    printf("a round        %.3g s, the learner idle %.0f %% of it\n", p->round_s,
           100 * p->learner_idle);
    printf("mean lag       %.2f rounds\n", p->lag);
    printf("a checkpoint   ");
    print_bytes(p->checkpoint_bytes);
    printf(", %.3g s to write\n", p->checkpoint_bytes / in->disk_bytes_per_s);
    printf("grace period   %.0f s for a drain of the learner (terminationGracePeriodSeconds, "
           "TimeoutStopSec)\n",
           p->grace_s);
}

/* Without a model's shapes: by its parameters alone. */
static void print_weights(const struct plan *p)
{
    printf("memory         learner ");
    print_bytes(p->learner_bytes);
    printf(" (weights, gradients, optimizer), a generator ");
    print_bytes(p->generator_bytes);
    printf(" (weights); more is not told: there is no model at model.path\n");
}

static void print_machines(const struct machines *m)
{
    printf("memory         ");
    print_bytes(m->sizing.generator);
    printf(" a generator, ");
    print_bytes(m->sizing.learner);
    printf(" the learner, ");
    print_bytes(m->sizing.rewarder);
    printf(" a rewarder, at most\ndisk           ");
    print_bytes(m->sizing.disk);
    printf(" of the learner; stored groups come on top\n");
    if (m->on_gpus)
        gpu_plan_print(&m->gpu, &m->sizes);
}

static void put_machines(json_t *json, const struct machines *m)
{
    if (!m->known)
        return;
    SCOPED_JSON json_t *more = json_pack(
        "{s:f, s:f, s:f, s:f}", "generator_bytes", m->sizing.generator, "learner_bytes",
        m->sizing.learner, "rewarder_bytes", m->sizing.rewarder, "disk_bytes", m->sizing.disk);
    json_object_update(json, more);
    if (m->on_gpus)
        json_object_set_new(json, "gpu", gpu_plan_json(&m->gpu, &m->sizes));
}

static void print_json(const struct plan_input *in, const struct plan *p, const struct machines *m)
{
    SCOPED_JSON json_t *ways = json_object();
    for (int way = 0; way < PLAN_WAYS; way++)
        json_object_set_new(ways, plan_way_names[way],
                            json_pack("{s:f, s:f}", "full_s", p->spread[way].full_s, "delta_s",
                                      p->spread[way].delta_s));
    SCOPED_JSON json_t *json = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:O, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "generators",
        in->generators, "learner_bytes", p->learner_bytes, "generator_bytes", p->generator_bytes,
        "full_bytes", p->full_bytes, "delta_bytes", p->delta_bytes, "spread", ways,
        "generators_needed", p->generators_needed, "longest_s", p->longest_s, "lag_max", in->eta,
        "lag_max_needed", p->eta_needed, "round_s", p->round_s, "learner_idle", p->learner_idle,
        "lag_mean", p->lag, "checkpoint_bytes", p->checkpoint_bytes, "grace_s", p->grace_s);
    put_machines(json, m);
    SCOPED_MEM char *text = json_to_text(json);
    puts(text);
}

static const char purpose[] =
    "Estimates a ring: bytes and seconds of a version, generators needed, the lag to set.\n"
    "The recipe gives groups, completions, tokens, slots and lag.max, flags give the rest. Formulas:\n"
    "  full      2 bytes a parameter that trains (bf16): with lora.r the adapter's, else all\n"
    "  memory    learner 4 bytes a parameter and 16 more if it trains; a generator 2\n"
    "  changes   a share s of the values: gaps as varints and a byte each; packed, 1.12 times the entropy of\n"
    "            geometric gaps and signs (Shannon 1948; ./dev bench delta measures 1.09 to 1.17)\n"
    "  star      n bytes / bandwidth + latency             the learner's card sends n times\n"
    "  ring      bytes / bandwidth + (n-1) slices + n latencies   (Thakur, Rabenseifner, Gropp 2005)\n"
    "  tree      levels * (fanout * bytes / bandwidth + latency)  relays pass a whole version on\n"
    "  memory    the table of ARCHITECTURE.md, on the CPU, of the shapes at model.path, rewarder.reference_path,\n"
    "            critic.path and of reward and preference models\n"
    "  GPU       the same table's sum for backend: cuda, by shapes; states in the host's memory pass the bus once\n"
    "            each way in an update, both ways at once: 12 bytes a parameter / bus\n"
    "  needed    groups * completions * mean / (train-s * tokens-per-s) generators\n"
    "  longest   longest tokens * slots / tokens-per-s + score-s\n"
    "  cohort    (a round's tokens beyond the slots) / speed of all + longest + publishing\n"
    "  round     the largest of train-s, tokens / speed of all, (train-s + cohort) / (lag.max + 1)\n"
    "  lag.max   cohort / round, rounded up: from there on the longest is back in time\n"
    "  mean lag  lag.max if generators suffice; else at most that, and (group + train-s + publishing) / round, where\n"
    "            group is a group's time: mean * (1 + 1/2 + .. + 1/completions) * slots / tokens-per-s + score-s\n"
    "  checkpoint  14 bytes a parameter that trains (bf16, master, two moments), and of a critic of its own as many\n"
    "  grace     train-s + checkpoint / disk + 10 s: a drain finishes the round under way and writes a checkpoint\n"
    "tests/sim holds the other formulas against a discrete-event simulation of up to 1,000 generators.";

static err_t make_plan(const struct recipe *recipe, const struct texts *t)
{
    struct plan_input input;
    struct plan plan;
    struct machines machines;
    TRY(read_input(recipe, t, &input));
    TRY(read_machines(recipe, t, input.adapter, &machines));
    if (machines.known && !t->parameters)
        input.parameters = machines.sizing.parameters;
    plan_make(&input, &plan);
    if (t->json) {
        print_json(&input, &plan, &machines);
        return OK;
    }
    print_text(&input, &plan);
    if (machines.known)
        print_machines(&machines);
    else
        print_weights(&plan);
    return OK;
}

err_t command_plan(int argc, char **argv)
{
    struct texts t = {0};
    struct recipe_flag flags[] = {
        {"parameters", "N", "of the model; else of model.path, or 7e9", .text = &t.parameters},
        {"adapter", "N",
         "of its adapter; else counted, if the recipe has lora.r and model.path is there",
         .text = &t.adapter},
        {"changed", "SHARE", "of the values that a version changes (0.01)", .text = &t.changed},
        {"generators", "N", "there are (8)", .text = &t.generators},
        {"bandwidth", "GB/S", "of a node's network card, each way (3)", .text = &t.bandwidth},
        {"latency-ms", "MS", "of a message (0.1)", .text = &t.latency},
        {"fanout", "N", "generators that a relay serves (2)", .text = &t.fanout},
        {"train-s", "S", "a round's updates on the learner (60)", .text = &t.train},
        {"tokens-per-s", "N", "of one generator, all slots full (2500)", .text = &t.decode},
        {"mean", "N", "tokens of a completion; else a quarter of generator.max_tokens",
         .text = &t.mean},
        {"longest", "N", "tokens of the longest completion; else generator.max_tokens",
         .text = &t.longest},
        {"slots", "N", "of a generator; else generator.slots", .text = &t.slots},
        {"score-s", "S", "from a finished group to its record (0.1)", .text = &t.score},
        {"disk", "GB/S", "at which the learner's disk takes a checkpoint (0.2)", .text = &t.disk},
        {"device-memory", "GB",
         "of a GPU, as 80G; else this machine's, if the recipe has backend: cuda",
         .text = &t.device},
        {"bus", "GB/S", "between host and GPU, each way (50: PCIe 5.0 x16)", .text = &t.bus},
        {"json", NULL, "print one JSON object", .flag = &t.json},
    };
    struct recipe_cli cli = {.program = "rlhfctl plan",
                             .purpose = purpose,
                             .flags = flags,
                             .flags_count = sizeof flags / sizeof *flags,
                             .recipe_optional = true};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    return make_plan(recipe, &t);
}
