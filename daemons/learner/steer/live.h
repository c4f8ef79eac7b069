/* The settings in force, with the changes that operators and controllers made to them.
 *
 *     TRY(live_open(recipe, &live));                              -- before the store is opened for writing
 *     struct store_rules rules = settings_store(live_recipe(live));
 *     struct live_assignment to[] = {{"lag.max", "2"}};
 *     struct live_request request = {.at = to, .count = 1, .kind = "auto", .author = "lag controller", .reason = "starves"};
 *     TRY(live_update(live, store, &request, &result));           -- durable; counts from round result.first_round on
 *
 * A live change wins over the recipe file, over restarts too, until it is taken back: by value
 * NULL, or the recipe's own value. Changes in force are logged at the start. A round is recorded
 * with live_text, and trained with the settings of its record. Owner: the storage thread; live_open
 * and live_free: before and after it. */
#pragma once
#include "learner/steer/pauser.h"
#include "learner/store/changes.h"
#include "svc/recipe/recipe.h"

struct live;
struct live_assignment {
    const char *key, *value; // NULL: back to the recipe's
};

/* A request; texts may be NULL: "". A repeated request with the same request_id changes nothing and
 * gets the same answer. The last LIVE_REMEMBERED changes are known for that, over restarts too. */
struct live_request {
    const struct live_assignment *at;
    size_t count;
    const char *kind; // "settings", "auto", ...
    const char *author, *reason, *request_id;
    const char *etag; // if not empty, the live_etag which this changes; else ABORTED
    bool validate_only;
};
struct live_result {
    uint64_t change;      // its number; 0: nothing changed
    uint64_t first_round; // in which it counts
};
enum { LIVE_REMEMBERED = 1000 };

/* Reads the changes from RUN/store, if there is one. INVALID: the recipe contradicts a live change,
 * which the error names. */
err_t live_open(const struct recipe *given, struct live **ret);
void live_free(struct live *live);
DEFINE_SCOPED(live)

/* Checks the values by the options table, writes the change durably, and puts it in force: as the
 * store's rules, and as the settings of the next round. NOT_FOUND, INVALID: of recipe_change
 * (svc/recipe/recipe_live.h), and of texts that are too long; ABORTED: another etag. Then nothing
 * has changed; other errors are of the store. */
err_t live_update(struct live *live, struct store *store, const struct live_request *request,
                  struct live_result *ret);

/* generation: no more leases. LIVE_HELD: leased slots are not decoded either. training: no more
 * rounds. Only those that are true are paused or resumed. */
enum live_pause { LIVE_GOES_ON, LIVE_PAUSED, LIVE_HELD };
err_t live_pause(struct live *live, struct store *store, const struct live_request *request,
                 bool generation, bool training, enum live_pause to, struct live_result *ret);

/* Records something else that is done for the request, which request->at describes, in a write of
 * its own. */
err_t live_note(struct live *live, struct store *store, const struct live_request *request,
                const struct change_value *values, size_t count, struct live_result *ret);

/* Whether the request was answered before; then *ret is what it was. INVALID: its request_id asked
 * something else then, or its texts are too long. Every call above begins so. */
err_t live_repeated(const struct live *live, const struct live_request *request, bool *ret_is,
                    struct live_result *ret);

const struct recipe *live_given(const struct live *live);  // at the start, by the file
const struct recipe *live_recipe(const struct live *live); // in force for the next round
const char *live_text(const struct live *live);            // recipe_render of it
const char *live_etag(const struct live *live);            // of live_text
bool live_generation_paused(const struct live *live);
bool live_decoding_held(const struct live *live); // then generation is paused, too
bool live_training_paused(const struct live *live);
/* The last pause of generation; of training, if generation is not paused */
const struct pauser *live_pauser(const struct live *live);
