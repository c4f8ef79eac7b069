/* New weights into the engine: the moment at which they are taken, and the fate of sequences half
 * done (generator.in_flight).
 *
 *     swap_offer(swap);                    -- newer weights lie ready
 *     if (swap_wants(swap)) ...            -- between two steps: ask for the newest that lies ready
 *     swap_begin(swap, &weights);          -- they have come
 *     TRY(swap_bring(swap, &there));       -- between steps, until they are where the model computes
 *     TRY(swap_apply(swap, version, &done));
 *     if (!swap_holds(swap)) engine_admit(...)
 *
 * continue: between any two steps. New tokens stand on the old weights' KV.
 * recompute: between any two steps. Unfinished sequences get their KV anew before the next token.
 *     A rebuild under way gives way to newer weights once. The rebuild in its place is completed
 *     first, so that sequences go on however fast versions come.
 * finish: when the last sequence is done. Nothing is admitted from the offer on.
 *
 * The newest version is taken. Versions that came while another waited are never applied.
 *
 * Owner: the thread that owns the engine. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/engine/engine.h"
#include "model/refresh.h"
#include "svc/recipe/recipe.h"

struct swap;

/* Borrows both. Nothing is in force yet: the first weights are taken at once. EXHAUSTED: no room is
 * left for new weights (refresh.h). */
err_t swap_new(struct model *model, struct engine *engine, enum recipe_in_flight mode,
               struct swap **ret);

/* refresh_lend: once, before anything is taken. */
err_t swap_lend(struct swap *swap, void **ret_memory, size_t *ret_bytes);

/* Newer weights lie ready; again for each that replaces them there. */
void swap_offer(struct swap *swap);

/* Whether to ask for the weights now. True once, until they have come. */
bool swap_wants(struct swap *swap);

/* The weights in force are wrong, and no step is made: the next are taken at once in every mode.
 * Sequences that `finish` has half done get their KV anew. */
void swap_force(struct swap *swap);

/* Whether nothing may be admitted now. */
bool swap_holds(const struct swap *swap);

struct swapped {
    uint64_t version; // in force now
    double pause_s;   // time in which the engine stood still and new values were put in force
    double waited_s;  // time since the first offer after the last swap
    int offers;       // offers in this time; all but the last were passed over
    int reprefill;    // tokens that will be computed again before the sequences go on
    bool gave_way;    // a rebuild for the version before had not been completed
    struct refreshed how;
};

/* The weights that were asked for, borrowed until swap_apply. swap_bring: a slice of them more;
 * ret_there: that was all. */
void swap_begin(struct swap *swap, const struct new_weights *weights);
err_t swap_bring(struct swap *swap, bool *ret_there);

/* Puts them in force: the engine's next step computes with them. */
err_t swap_apply(struct swap *swap, uint64_t version, struct swapped *ret);

const char *swap_mode_name(enum recipe_in_flight mode); // its word in the recipe
void swap_free(struct swap *swap);
DEFINE_SCOPED(swap)
