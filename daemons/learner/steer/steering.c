#include "learner/steer/steering.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/metrics.h"
#include <inttypes.h>

struct steering {
    struct live *live;
    struct lag_control control;
};

/* A round on its way to the storage thread. */
struct news {
    struct steering *steering;
    struct lag_seen seen;
};

static struct metric target = METRIC_GAUGE(
    "rlhfd_lag_target", "rounds of lag that pacing aims at: lag.max, or where auto stands");
static struct metric in_force =
    METRIC_GAUGE("rlhfd_lag_limit",
                 "lag over which nothing is trained; above the target while older leases drain");
static struct metric moves =
    METRIC_COUNTER("rlhfd_lag_moves_total", "changes of the limit by lag.max: auto");
static struct metric *const rows[] = {&target, &in_force, &moves};

static err_t show(void *arg, struct store *store)
{
    const struct steering *steering = arg;
    struct store_counts counts;
    store_counts(store, &counts);
    metric_set(&target, (double)recipe_lag_target(live_recipe(steering->live)));
    metric_set(&in_force, (double)counts.limit);
    return OK;
}

struct steering *steering_new(struct live *live, struct storage *storage)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    struct steering *steering = mem_new(sizeof *steering);
    steering->live = live;
    storage_post(storage, show, steering);
    return steering;
}

struct lag_control_config steering_config(const struct recipe *recipe)
{
    const struct recipe_lag *lag = &recipe->lag;
    return (struct lag_control_config){.min = (uint64_t)lag->auto_min,
                                       .max = (uint64_t)lag->auto_max,
                                       .idle_low = lag->auto_idle.at[0],
                                       .idle_high = lag->auto_idle.at[1],
                                       .ess_low = lag->auto_ess.at[0],
                                       .ess_high = lag->auto_ess.at[1],
                                       .kl_low = lag->auto_kl.at[0],
                                       .kl_high = lag->auto_kl.at[1],
                                       .rounds = (uint64_t)lag->auto_rounds,
                                       .groups = (uint64_t)recipe->learner.groups};
}

/* Errors of the store are final; a move that cannot be is left out, and said. */
static err_t move_to(struct steering *steering, struct store *store, const struct lag_move *move)
{
    struct live_result result;
    SCOPED_MEM char *value = mem_printf("%" PRIu64, move->eta);
    SCOPED_MEM char *reason = mem_printf(
        "%s (idle: learner %.3f, generators %.3f; ess %.3f, kl %.5f)", lag_why_name(move->why),
        move->learner_idle, move->generator_idle, move->ess, move->kl);
    const struct live_assignment at[] = {{"lag.auto_at", value}};
    err_t failed = live_update(
        steering->live, store,
        &(struct live_request){
            .at = at, .count = 1, .kind = "auto", .author = "lag.max: auto", .reason = reason},
        &result);
    if (err_code(failed) != ERR_INVALID)
        return failed;
    log_limited(LOG_WARNING, 1, "lag stays", "why=\"%s\"", err_message(failed));
    err_free(failed);
    return OK;
}

static err_t look(struct steering *steering, struct store *store, const struct lag_seen *seen)
{
    const struct recipe *recipe = live_recipe(steering->live);
    uint64_t eta = (uint64_t)recipe_lag_target(recipe);
    if (recipe->lag.max != RECIPE_COUNT_AUTO) {
        steering->control = (struct lag_control){0};
        return OK;
    }
    struct lag_control_config config = steering_config(recipe);
    struct lag_move move = lag_control_step(&steering->control, &config, eta, seen);
    if (move.eta == eta || store_ended(store)) // after the last round nothing is left to steer
        return OK;
    metric_add(&moves, 1);
    return move_to(steering, store, &move);
}

static err_t take_news(void *arg, struct store *store)
{
    struct news *news = arg;
    struct steering *steering = news->steering;
    err_t failed = look(steering, store, &news->seen);
    mem_free(news);
    TRY(failed);
    return show(steering, store);
}

void steering_see(struct steering *steering, struct storage *storage, const struct lag_seen *seen)
{
    if (!steering)
        return;
    const struct news news = {steering, *seen};
    storage_post(storage, take_news, mem_copy(&news, sizeof news));
}

void steering_free(struct steering *steering)
{
    mem_free(steering);
}
