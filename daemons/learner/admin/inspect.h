/* Groups as operators see them: a line each, or one with its texts. Texts need the model's
 * tokenizer, which takes a while to read. A thread of its own reads it at the first request for a
 * group.
 *
 *     TRY(inspect_open(recipe->model.path, &inspect));
 *     if (!inspect_group(inspect, call, &listed, bytes, group))      -- too many at once: group is still ours
 *
 * Any thread, but inspect_free: the loop's, once nobody asks any more. */
#pragma once
#include "learner/store/groups.h"
#include "rpc/call.h"

struct inspect;
/* EXHAUSTED: no more threads. */
err_t inspect_open(const char *model_directory, struct inspect **ret);

/* Answers the call with a GroupDetail. Takes group, unless false. */
bool inspect_group(struct inspect *inspect, struct rpc_call *call, const struct listed *listed,
                   uint64_t bytes, struct group *group);

struct Rlhfd__Admin__V1__GroupSummary;
/* Borrows the id and the generator's name. */
void inspect_summary(const struct listed *listed, uint64_t bytes,
                     struct Rlhfd__Admin__V1__GroupSummary *ret);

/* Finishes the calls under way. */
void inspect_free(struct inspect *inspect);
DEFINE_SCOPED(inspect)
