#include "svc/recipe/recipe_check.h"
#include "base/cpus.h"
#include "base/gpus.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/recipe/recipe_listen.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/recipe/recipe_objective.h"
#include "svc/recipe/recipe_place.h"
#include <inttypes.h>
#include <string.h>

/* Of sampling: what lies below is greedy in all but name, and logits over it overflow. */
#define TEMPERATURE_MIN 0.001

static err_t check_replay(const struct recipe *r)
{
    int64_t most = recipe_lag_most(r), least = (most + 1) * r->learner.groups;
    if (r->replay.max_uses > most + 1)
        return recipe_wrong(r, "replay.max_uses",
                            "%" PRId64
                            " is too many; a round trains a group once and in lag.max + 1 = "
                            "%" PRId64 " rounds it is too old",
                            r->replay.max_uses, most + 1);
    if (r->replay.max_groups >= least)
        return OK;
    return recipe_wrong(r, "replay.max_groups",
                        "%" PRId64
                        " is too few; it must be at least (lag.%s + 1) * learner.groups = (%" PRId64
                        " + 1) * %" PRId64 " = %" PRId64,
                        r->replay.max_groups, r->lag.max == RECIPE_COUNT_AUTO ? "auto_max" : "max",
                        most, r->learner.groups, least);
}

static err_t check_publish(const struct recipe *r)
{
    if (r->publish.fanout && r->publish.transport != RECIPE_GRPC)
        return recipe_wrong(r, "publish.fanout",
                            "%" PRId64
                            " goes with publish.transport: grpc alone; NCCL needs no relays",
                            r->publish.fanout);
    bool steered = r->lag.max == RECIPE_COUNT_AUTO;
    int64_t least = steered ? r->lag.auto_min : r->lag.max;
    if (r->publish.every <= least + 1)
        return OK;
    return recipe_wrong(r, "publish.every",
                        "%" PRId64 " is too seldom; it must be at most lag.%s + 1 = %" PRId64
                        ", or generators wait for weights that never come",
                        r->publish.every, steered ? "auto_min" : "max", least + 1);
}

int64_t recipe_lag_target(const struct recipe *recipe)
{
    const struct recipe_lag *lag = &recipe->lag;
    if (lag->max != RECIPE_COUNT_AUTO)
        return lag->max;
    int64_t at = lag->auto_at < lag->auto_min ? lag->auto_min : lag->auto_at;
    return at < lag->auto_max ? at : lag->auto_max;
}

int64_t recipe_lag_most(const struct recipe *recipe)
{
    return recipe->lag.max == RECIPE_COUNT_AUTO ? recipe->lag.auto_max : recipe->lag.max;
}

static err_t check_band(const struct recipe *r, const char *key, const struct recipe_pair *band)
{
    if (band->at[0] <= band->at[1])
        return OK;
    return recipe_wrong(r, key, "[%g, %g] is no band; the first must not be above the second",
                        band->at[0], band->at[1]);
}

static err_t check_lag(const struct recipe *r)
{
    const struct recipe_lag *lag = &r->lag;
    int64_t most = recipe_lag_most(r);
    if (lag->auto_min > lag->auto_max)
        return recipe_wrong(r, "lag.auto_min",
                            "%" PRId64 " is too many; it must be at most lag.auto_max = %" PRId64,
                            lag->auto_min, lag->auto_max);
    if (lag->on_stale == RECIPE_STALE_KEEP && lag->hard_max < most)
        return recipe_wrong(
            r, "lag.hard_max",
            "%" PRId64 " is too few; with on_stale: keep it must be at least lag.%s = %" PRId64,
            lag->hard_max, lag->max == RECIPE_COUNT_AUTO ? "auto_max" : "max", most);
    TRY(check_band(r, "lag.auto_idle", &lag->auto_idle));
    TRY(check_band(r, "lag.auto_ess", &lag->auto_ess));
    return check_band(r, "lag.auto_kl", &lag->auto_kl);
}

static err_t check_group(const struct recipe *r)
{
    if (r->generator.slots < r->generator.num_generations)
        return recipe_wrong(r, "generator.slots",
                            "%" PRId64 " is too few; one group needs generator.num_generations = "
                            "%" PRId64,
                            r->generator.slots, r->generator.num_generations);
    return OK;
}

static err_t check_updates(const struct recipe *r)
{
    int64_t most = r->learner.groups * r->learner.epochs;
    if (r->learner.updates_per_round > most)
        return recipe_wrong(r, "learner.updates_per_round",
                            "%" PRId64
                            " is too many; each update needs a group: at most learner.groups * "
                            "learner.epochs = %" PRId64,
                            r->learner.updates_per_round, most);
    if (r->learner.updates_per_round % r->learner.epochs)
        return recipe_wrong(r, "learner.epochs",
                            "%" PRId64 " does not divide learner.updates_per_round = %" PRId64
                            ", which is epochs times minibatches",
                            r->learner.epochs, r->learner.updates_per_round);
    return OK;
}

static err_t check_scorers(const struct recipe *r)
{
    const struct recipe_scorers *scorers = &r->rewarder.scorers;
    for (size_t i = 0; i < scorers->count; i++)
        if (scorers->at[i].weight != 0)
            return OK;
    return scorers->count
               ? recipe_wrong(r, "rewarder.scorers", "every weight is 0: all rewards would be 0")
               : OK;
}

static err_t check_end(const struct recipe *r)
{
    if (!r->run.rounds && !r->data.epochs)
        return recipe_wrong(
            r, "run.rounds",
            "0, and data.epochs is 0 too: the run would never end; set one of them");
    if (!r->sft.steps && !r->sft.epochs)
        return recipe_wrong(
            r, "sft.steps",
            "0, and sft.epochs is 0 too: training would never end; set one of them");
    return OK;
}

static err_t check_eval(const struct recipe *r)
{
    if (r->eval.temperature > 0 && r->eval.temperature < TEMPERATURE_MIN)
        return recipe_wrong(r, "eval.temperature",
                            "%g is too low; allowed: 0, the likeliest token, or from %g on",
                            r->eval.temperature, TEMPERATURE_MIN);
    if (!r->eval.every || *r->data.eval)
        return OK;
    return recipe_wrong(r, "eval.every", "%" PRId64 " needs data.eval, which is not set",
                        r->eval.every);
}

/* Port 0 is "any free one", which nobody can call. */
static err_t check_peers(const struct recipe *r)
{
    const struct {
        const char *daemon, *key, *address;
    } peers[] = {{"generator", "generator.rewarder", r->generator.rewarder},
                 {"generator", "generator.learner", r->generator.learner},
                 {"generator", "generator.address", r->generator.address},
                 {"rewarder", "rewarder.learner", r->rewarder.learner}};
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        struct address address = {.port = 0};
        if (!*peers[i].address || !recipe_concerns(r, peers[i].daemon))
            continue;
        TRY(recipe_place(r, peers[i].key, address_parse(peers[i].address, &address)));
        if (!address.port)
            return recipe_wrong(r, peers[i].key,
                                "'%s' has port 0, which cannot be called; allowed: 1 to 65535",
                                peers[i].address);
    }
    return OK;
}

/* Which cores there are is known where the daemon runs. */
static err_t check_cpus(const struct recipe *r)
{
    const struct {
        const char *key, *cpus;
    } lists[] = {{"generator.cpus", r->generator.cpus},
                 {"rewarder.cpus", r->rewarder.cpus},
                 {"learner.cpus", r->learner.cpus}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        cpu_set_t set;
        err_t failed = cpus_parse(lists[i].cpus, &set);
        if (!err_failed(failed))
            continue;
        SCOPED_MEM char *why = mem_string(err_message(failed));
        err_free(failed);
        return recipe_wrong(r, lists[i].key, "%s", why);
    }
    return OK;
}

/* Which GPUs there are is known where the daemon runs. */
static err_t check_devices(const struct recipe *r)
{
    int device;
    return recipe_place(r, "generator.device", gpus_nth(r->generator.device, 0, &device));
}

/* Dropout in training would be no part of what generates. */
static err_t check_lora(const struct recipe *r)
{
    const bool lora = recipe_has_lora(r);
    if (r->lora.dropout > 0)
        return recipe_wrong(r, "lora.dropout",
                            "%g would give the learner other log-probabilities than the generator "
                            "has for the same weights; allowed: 0",
                            r->lora.dropout);
    if (lora && *r->lora.path && r->lora.target_modules.count)
        return recipe_wrong(r, "lora.target_modules",
                            "goes with a new adapter; that of lora.path says its modules itself");
    if (r->sft.lora && !lora)
        return recipe_wrong(r, "sft.lora", "true needs lora.r above 0, or lora.path");
    if (r->sft.lora && strcmp(r->sft.output, r->model.path) == 0)
        return recipe_wrong(r, "sft.output",
                            "'%s' is model.path, and sft.lora writes an adapter: give another one",
                            r->sft.output);
    return OK;
}

static err_t check_reward(const struct recipe *r)
{
    const struct recipe_reward *reward = &r->learner.reward;
    const int64_t length =
        reward->overlong_length ? reward->overlong_length : r->generator.max_tokens;
    if (reward->overlong_buffer <= length)
        return OK;
    return recipe_wrong(
        r, "learner.reward.overlong_buffer",
        "%" PRId64 " is too many; it ends at %s = %" PRId64 " tokens, and is no longer than that",
        reward->overlong_buffer,
        reward->overlong_length ? "learner.reward.overlong_length" : "generator.max_tokens",
        length);
}

err_t recipe_check(const struct recipe *recipe)
{
    static err_t (*const checks[])(const struct recipe *recipe) = {
        check_replay,  check_publish, check_lag,           check_group, check_updates,
        check_end,     check_eval,    recipe_check_listen, check_peers, recipe_check_objective,
        check_scorers, check_cpus,    check_devices,       check_lora,  check_reward,
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        TRY(checks[i](recipe));
    return OK;
}
