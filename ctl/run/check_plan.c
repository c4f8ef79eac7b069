#include "ctl/run/check_plan.h"
#include "base/cpus.h"
#include "model/backend_recipe.h"
#include "rl/objective_table.h"
#include "svc/address.h"
#include "svc/recipe/recipe_listen.h"
#include "svc/recipe/recipe_place.h"
#include <inttypes.h>
#include <string.h>

/* Rounds until the data ends, if each group is used `uses` times; INT64_MAX: it never does. */
static int64_t rounds_of_data(const struct recipe *r, uint64_t rows, int64_t uses)
{
    const int64_t groups = r->learner.groups;
    int64_t all;
    if (!r->data.epochs)
        return INT64_MAX;
    if (__builtin_mul_overflow((int64_t)rows, r->data.epochs, &all) ||
        __builtin_mul_overflow(all, uses, &all))
        return INT64_MAX;
    return all / groups + (all % groups && r->learner.last_batch == RECIPE_LAST_SHORT);
}

/* Whether warm-up of the schedule at `key` ends before the last update. trial: only noted. whose:
 * of whom the updates are, for people. */
static err_t check_warmup(const struct recipe *r, const char *key, int64_t warmup, int64_t updates,
                          const char *whose, bool trial, FILE *notes)
{
    if (warmup < updates || !warmup)
        return OK;
    err_t e = recipe_wrong(r, key,
                           "%" PRId64 " updates of warm-up; the run has %" PRId64
                           "%s: the learning rate never comes to lr",
                           warmup, updates, whose);
    if (!trial)
        return e;
    if (notes)
        fprintf(notes, "%s\n", err_message(e));
    err_free(e);
    return OK;
}

/* Whether this is a trial of a longer run: --set decides how many updates there are, and leaves the
 * warm-up. */
static bool is_trial(const struct recipe *r, const char *warmup)
{
    static const char *const keys[] = {"run.rounds", "data.train", "data.epochs", "learner.groups",
                                       "learner.updates_per_round"};
    bool shortened = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        shortened = shortened || recipe_is_set_on_line(r, keys[i]);
    return shortened && !recipe_is_set_on_line(r, warmup);
}

/* The policy makes no updates in the rounds that train its critic alone. */
static err_t check_warmups(const struct recipe *r, int64_t rounds, FILE *notes)
{
    static const char policy[] = "learner.optimizer.warmup",
                      critic[] = "learner.critic.optimizer.warmup";
    const struct recipe_learner *learner = &r->learner;
    const bool has_critic = objective_has_critic(objective_row(learner->objective));
    const int64_t alone = has_critic ? learner->critic.warmup_rounds : 0,
                  updates = learner->updates_per_round;
    if (rounds > INT64_MAX / updates)
        return OK;
    if (alone && alone >= rounds)
        return recipe_wrong(r, "learner.critic.warmup_rounds",
                            "%" PRId64 " of the run's %" PRId64
                            " rounds leave none that trains the policy; allowed: fewer",
                            alone, rounds);
    TRY(check_warmup(r, policy, learner->optimizer.warmup, (rounds - alone) * updates,
                     alone ? " of the policy" : "", is_trial(r, policy), notes));
    return has_critic ? check_warmup(r, critic, learner->critic.optimizer.warmup, rounds * updates,
                                     "", is_trial(r, critic), notes)
                      : OK;
}

/* How long the run is, where that is not just run.rounds. */
static void tell_length(const struct recipe *r, int64_t rounds, FILE *notes)
{
    if (!notes || !r->data.epochs)
        return;
    fprintf(notes, "the run: %" PRId64 " rounds, which %s ends (", rounds,
            rounds == r->run.rounds ? "run.rounds" : "the data");
    if (r->run.rounds)
        fprintf(notes, "run.rounds: %" PRId64 ", ", r->run.rounds);
    fprintf(notes, "data.epochs: %" PRId64 ")\n", r->data.epochs);
}

err_t check_plan(const struct recipe *r, uint64_t rows, FILE *notes)
{
    if (!rounds_of_data(r, rows, 1))
        return recipe_wrong(r, "learner.groups",
                            "%" PRId64 " in a round are more than the data has (%" PRIu64
                            " rows, data.epochs %" PRId64
                            "), and learner.last_batch: drop makes no smaller one",
                            r->learner.groups, rows, r->data.epochs);
    const int64_t by_data = rounds_of_data(r, rows, r->replay.max_uses),
                  rounds = r->run.rounds && r->run.rounds < by_data ? r->run.rounds : by_data;
    TRY(check_warmups(r, rounds, notes));
    tell_length(r, rounds, notes);
    if (!r->sft.data.count || !r->sft.steps)
        return OK;
    return check_warmup(r, "sft.optimizer.warmup", r->sft.optimizer.warmup, r->sft.steps, "",
                        recipe_is_set_on_line(r, "sft.steps"), notes);
}

/* ---- this machine */

err_t check_cores(const struct recipe *r)
{
    const struct {
        const char *key, *cpus;
    } lists[] = {{"generator.cpus", r->generator.cpus},
                 {"rewarder.cpus", r->rewarder.cpus},
                 {"learner.cpus", r->learner.cpus}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        cpu_set_t set;
        TRY(recipe_place(r, lists[i].key, cpus_usable(lists[i].cpus, &set)));
    }
    return OK;
}

err_t check_backends(const struct recipe *r)
{
    const struct {
        const char *key;
        struct backend_config config;
    } daemons[] = {{"generator.backend", backend_of_generator(r)},
                   {"rewarder.backend", backend_of_rewarder(r)},
                   {"learner.backend", backend_of_learner(r)}};
    for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++)
        if (daemons[i].config.wanted == BACKEND_CUDA)
            TRY(recipe_place(r, daemons[i].key, backend_check(NULL, &daemons[i].config)));
    return OK;
}

/* Other hosts may be other machines. */
static bool meet(const struct recipe_listener *one, const struct recipe_listener *other)
{
    struct address a = {.port = 0}, b = {.port = 0};
    err_free(address_parse(one->address, &a)); // the recipe has addresses only
    err_free(address_parse(other->address, &b));
    if (!a.port || a.port != b.port || strcmp(a.host, b.host) != 0)
        return false;
    return strcmp(one->daemon, other->daemon) == 0 || address_is_loopback(one->address);
}

err_t check_listens(const struct recipe *r)
{
    SCOPED_VALUE(recipe_listeners) all = {0};
    TRY(recipe_listeners(r, &all));
    for (size_t i = 1; i < all.count; i++)
        for (size_t j = 0; j < i; j++)
            if (meet(&all.at[i], &all.at[j]))
                return recipe_wrong(
                    r, all.at[i].key,
                    "'%s' and %s '%s' take the same port (without addresses of their own, admin, "
                    "probes and metrics take listen's + %d, + %d and + %d)",
                    all.at[i].given, all.at[j].key, all.at[j].given, ADDRESS_ADMIN, ADDRESS_PROBES,
                    ADDRESS_METRICS);
    return OK;
}
