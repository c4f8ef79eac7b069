/* A round is trained with what it was recorded with, whether just now or before a restart. */
#include "base/log.h"
#include "base/mem.h"
#include "learner/store/history.h"
#include "learner/train/inner.h"
#include "svc/recipe/recipe_place.h"
#include <inttypes.h>
#include <string.h>

/* A controller that steers goes on where it stood, unless the coefficient itself was changed; a
 * fixed one is the recipe's. */
static err_t configure(struct train *train, bool goes_on)
{
    const struct recipe *recipe = train->recipe;
    TRY(train->updates ? updates_configure(train->updates, recipe)
                       : updates_new(recipe, &train->start.trainees, &train->updates));
    if (goes_on && recipe->learner.kl.target > 0)
        updates_set_kl_coef(train->updates, train->at.kl_coef);
    train->at.kl_coef = updates_kl_coef(train->updates);
    updates_set_running(train->updates, &train->at.running);
    return OK;
}

/* The updates read the recipe before until they have this one. */
static err_t take(struct train *train, struct recipe *recorded, const char *text, bool again,
                  bool goes_on)
{
    SCOPED(recipe) before = train->recorded;
    mem_free(train->recorded_text);
    train->recipe = train->recorded = recorded;
    train->recorded_text = mem_string(text);
    train->recorded_again = again;
    return configure(train, goes_on);
}

err_t train_use_settings(struct train *train, const struct drawn *drawn)
{
    const char *text = drawn->round->settings;
    const bool same = train->recorded_text && strcmp(text, train->recorded_text) == 0;
    if (same && train->recorded_used && drawn->again == train->recorded_again)
        return OK;
    SCOPED(recipe) recorded = NULL;
    TRY(restart_settings(train->given, text, drawn->again, &recorded));
    const bool goes_on = recorded->learner.kl.coef == train->recipe->learner.kl.coef;
    TRY(take(train, STEAL(recorded), text, drawn->again, goes_on));
    train->recorded_used = true;
    if (drawn->again && restart_tell_settings(train->given, train->recipe))
        log_info("settings in force", "round=%" PRIu64 " which=recorded", drawn->round->round);
    return OK;
}

/* ---- after a start or a rollback */

/* Where the store stands, and what the last round before the checkpoint was recorded with. */
struct position {
    struct train *train;
    struct branch branch;
    char *settings; // NULL: there is no such round
    bool ended;     // no more rounds
};

static err_t read_position(void *arg, struct store *store)
{
    struct position *position = arg;
    struct train *train = position->train;
    SCOPED(round) last = NULL;
    position->branch = store_branch(store);
    position->ended = store_ended(store);
    train->again_below = store_next_round(store);
    train->at.lineage = store_lineage(store);
    if (!train->at.round || train->at.round > train->again_below)
        return OK;
    TRY(store_round(store, train->at.round - 1, &last));
    position->settings = STEAL(last->settings);
    return OK;
}

/* A run that goes on after its end was reached keeps the learning rate that it ended with. INVALID:
 * that is 0. */
static err_t check_rate(const struct train *train, bool ended)
{
    const struct recipe_optimizer *to = &train->given->learner.optimizer;
    const struct optimizer *optimizer = train->start.trainees.at[0].optimizer;
    const struct course course = optimizer_course(optimizer);
    if (ended || !course.total || optimizer_steps(optimizer) < course.total ||
        to->min_lr_ratio > 0 || strcmp(to->schedule, "constant") == 0)
        return OK;
    return recipe_wrong(train->given, "learner.optimizer.schedule",
                        "%s has come to its end, a learning rate of 0, with update %" PRId64
                        ", and further rounds would train nothing; to go on set min_lr_ratio above "
                        "0, or constant",
                        to->schedule, course.total);
}

/* Settings that this build does not know are of no use to a controller either. */
err_t train_resume(struct train *train, struct branch *ret_branch)
{
    struct position position = {.train = train};
    SCOPED(recipe) recorded = NULL;
    TRY(storage_call(train->options.storage, read_position, &position));
    SCOPED_MEM char *settings = position.settings;
    TRY(check_rate(train, position.ended));
    *ret_branch = position.branch;
    train->checkpointed_round =
        train->at.round; // of round 0 there is none: model.path stands for it
    if (train->start.resumed && settings) {
        err_t unknown = restart_settings(train->given, settings, true, &recorded);
        if (err_code(unknown) != ERR_INVALID)
            TRY(unknown);
        err_free(unknown);
    }
    train->recorded_used = false;
    return recorded ? take(train, STEAL(recorded), settings, true, true)
                    : configure(train, train->start.resumed);
}
