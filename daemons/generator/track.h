/* One set of weights, and the decoding with it: leases in, finished groups out. Training has a
 * track, evaluation another, and neither depends on the other's weights or slots.
 *
 *     TRY(track_open(recipe, "generator-1", TRACK_TRAINING, &track));
 *     failed = track_admit(track, grant, &refused);      -- refused: the group that cannot be decoded
 *     TRY(track_step(track));
 *     while ((group = track_take(track))) ...            -- every token stamped with version and logp
 *
 * New weights: track_offer when they lie ready, track_wants between two steps, then track_begin.
 * Training goes on over them as generator.in_flight has it (swap.h). Evaluation forgets the rows of
 * the version before.
 *
 * Owner: the compute thread, once its thread runs. */
#pragma once
#include "generator/swap.h"
#include "model/engine/decoder.h"
#include "wire/lease.h"
#include "wire/rollout.h"

enum track_kind { TRACK_TRAINING, TRACK_EVALUATION, TRACKS };

struct track;

/* Loads model.path and its tokenizer, plans all memory. Errors name settings that do not fit
 * together. The recipe is borrowed until track_free. */
err_t track_open(const struct recipe *recipe, const char *generator, enum track_kind kind,
                 struct track **ret);

/* Takes the grant. On failure *ret_refused is its group, the caller's. A row that was leased for
 * other weights than the evaluation holds is forgotten. A slot that was leased ahead, for a version
 * to come, is kept until track_due. */
err_t track_admit(struct track *track, struct lease_grant *grant, struct group **ret_refused);
/* The next kept grant whose version, or a newer one, is in force, the caller's; NULL: none. */
struct lease_grant *track_due(struct track *track);
void track_cancel(struct track *track, const struct digest *id); // unknown ids are ignored

err_t track_step(struct track *track);
bool track_busy(const struct track *track);    // a step would do something. NULL: no
struct group *track_take(struct track *track); // the next finished group, the caller's; NULL: none

struct track_weights {
    struct new_weights values; // borrowed until they are in force
    uint32_t lineage;
    uint64_t version;
};
void track_offer(struct track *track);
bool track_wants(struct track *track); // true once after offers
void track_force(struct track *track); // the weights in force are wrong
/* The weights come, a slice a call between two steps, then into force. ret_done: they are, and *ret
 * says how. */
void track_begin(struct track *track, const struct track_weights *weights);
bool track_takes(const struct track *track); // weights are coming. NULL: no
err_t track_bring(struct track *track, struct swapped *ret, bool *ret_done);

/* Memory of the device for lists of changes (refresh_lend): once, before the first weights. */
err_t track_lend(struct track *track, void **ret_memory, size_t *ret_bytes);

int track_groups(const struct track *track); // the most at a time in its slots; NULL: 0
struct decoder_figures track_figures(const struct track *track);
uint64_t track_in_flight(const struct track *track); // tokens of completions under way
const struct model *track_model(const struct track *track);
void track_free(struct track *track);
DEFINE_SCOPED(track)
