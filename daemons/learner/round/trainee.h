/* A model that learns: which of its tensors train, its gradient, its optimizer, the digest of its
 * weights. Learner and supervised job hold a list of them. The first is the policy, whose weights
 * are published and evaluated.
 *
 *     SCOPED_VALUE(trainees) trainees = {0};
 *     TRY(trainees_add(&trainees, "policy", STEAL(model), &config, "sft"));
 *     trainee_freeze(trainees_first(&trainees), 0);                -- its embedding stays as it is
 *     struct trainee_digests digests = trainees_digests(&trainees); -- what a version's record says
 *
 * Owner: the thread that owns the backend of its model. */
#pragma once
#include "learner/store/rounds.h"
#include "model/optimizer.h"

/* The names of trainees that others look for. */
#define TRAINEE_POLICY "policy"
#define TRAINEE_REWARD "reward" // a reward model, in the policy's place
#define TRAINEE_CRITIC "critic"
/* A reference that moves: it follows the policy, and no gradient trains it. */
#define TRAINEE_REFERENCE "reference"

struct trainee {
    char name[TRAINEE_NAME_MAX];
    struct model *model; // runs; if it has an adapter, this alone trains (model_trained)
    /* A flag for each tensor that trains, by its index in the layout; NULL: all do. */
    bool *trains;
    struct gradient *gradient; // NULL: it follows another
    struct optimizer *optimizer;
};

/* Places are fixed: a trainee's address stays valid. */
struct trainees {
    size_t count;
    struct trainee at[TRAINEES_MAX];
    /* A reference that stands still: in no list, digest or checkpoint. NULL: there is none. */
    struct model *frozen;
};

/* Takes model, on failure too; config and directory: as optimizer_new has them. The name is no
 * other's, and of a to z and _: it becomes a directory's. INVALID: another name; else as
 * optimizer_new and gradient_new. */
err_t trainees_add(struct trainees *trainees, const char *name, struct model *model,
                   const struct optimizer_config *config, const char *directory);

/* The same of one that follows another (optimizer_follow): no gradient. */
err_t trainees_add_follower(struct trainees *trainees, const char *name, struct model *model,
                            const struct optimizer_config *config, const char *directory);
void trainees_done(struct trainees *trainees);

static inline struct trainee *trainees_first(struct trainees *trainees)
{
    return &trainees->at[0];
}

/* NULL: none of that name. */
struct trainee *trainees_find(struct trainees *trainees, const char *name);

/* From the next update on the tensor keeps its value: optimizer_select. */
void trainee_freeze(struct trainee *trainee, int tensor);

/* The digests of the weights that training made (optimizer_digest), and whether the weights in
 * memory still have them (optimizer_verify). */
struct trainee_digests trainees_digests(const struct trainees *trainees);
err_t trainees_verify(const struct trainees *trainees);

/* ---- what is recorded of them, in whatever order */

/* NULL: none of that name. */
const struct digest *trainee_digests_find(const struct trainee_digests *list, const char *name);

/* The name of one whose digests differ, or that only one of the lists has; borrowed from a list.
 * NULL: they agree. */
const char *trainee_digests_differ(const struct trainee_digests *a,
                                   const struct trainee_digests *b);

/* Whether the list has these names and no other. PRECONDITION: it lacks one, or has another, which
 * the error names; `who` says whose list it is. */
err_t trainees_match(const char *const *names, size_t count, const struct trainee_digests *recorded,
                     const char *who);

/* Whether a text may be a trainee's name. */
bool trainee_name_is(const char *name);
