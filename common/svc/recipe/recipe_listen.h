/* Where the daemons of a recipe listen: each at four addresses, those that it leaves out beside
 * the first.
 *
 *     SCOPED_VALUE(recipe_listeners) all = {0};
 *     TRY(recipe_listeners(recipe, &all));
 *     all.at[i].address                      -- "127.0.0.1:7013"
 *     recipe_wrong(recipe, all.at[i].key, ...)
 *
 * Any thread. */
#pragma once
#include "svc/recipe/recipe.h"

enum recipe_listener_kind { LISTENS_DATA, LISTENS_ADMIN, LISTENS_PROBES, LISTENS_METRICS };
enum { RECIPE_LISTENERS = 12 };

struct recipe_listener {
    enum recipe_listener_kind kind;
    const char *daemon;      // "learner"
    const char *key, *given; // the key that decides, "learner.listen", and its value; borrowed
    char *address;
};
struct recipe_listeners {
    struct recipe_listener at[RECIPE_LISTENERS];
    size_t count; // fewer for a daemon's recipe
};

/* Whether this recipe has to make sense for this daemon: for all, or for it alone
 * (recipe_source). */
bool recipe_concerns(const struct recipe *recipe, const char *daemon);

/* INVALID, at the key: no address, or no room above a port for those that follow from it. */
err_t recipe_listeners(const struct recipe *recipe, struct recipe_listeners *ret);
void recipe_listeners_done(struct recipe_listeners *all);

/* INVALID: an address beyond this machine that is not allowed. Of a daemon's recipe only its own
 * are looked at. */
err_t recipe_check_listen(const struct recipe *recipe);
