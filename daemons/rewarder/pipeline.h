/* The rewarder's pipeline: groups on their way through the recipe's stages.
 *
 *     TRY(pipeline_open(&(struct pipeline_options){.loop = loop, .list = list, .left = on_left, .arg = daemon}, &pipeline));
 *     pipeline_put(pipeline, group, call);       -- on_left(daemon, group, call) follows, once
 *
 * A stage starts as soon as earlier stages have filled the columns that it needs; the others run
 * side by side. A stage that fails is tried again where that may help, with pauses, within its
 * deadline. Otherwise the group leaves at once, with group->failure and without a column of the
 * rewarder. So does a group whose stage gives no answer in time, but only if that stage has
 * answered another meanwhile. A stage that answers none is open (circuit.h): its groups wait, their
 * deadlines stand still, and single probes ask it. Owner: the loop's thread; the threads of stages
 * see only their calls. */
#pragma once
#include "rewarder/stage_list.h"

struct pipeline;
struct pipeline_options {
    struct loop *loop;
    struct stage_list *list; // taken by pipeline_open, also where it fails
    /* The group with all columns, or with a failure; borrowed during the call. */
    void (*left)(void *arg, const struct group *group, void *tag);
    void (*dropped)(void *tag); // by pipeline_free: the group has not left; NULL: nothing to do
    /* A stage does not answer at all, and why: groups wait for it. NULL: all answer again. */
    void (*held)(void *arg, const char *why); // may be NULL
    bool impatient; // no group waits for a stage that does not answer: it leaves
    void *arg;
};

/* EXHAUSTED: no more threads. INVALID: rewarder.cpus. */
err_t pipeline_open(const struct pipeline_options *options, struct pipeline **ret);

/* Takes group. */
void pipeline_put(struct pipeline *pipeline, struct group *group, void *tag);
size_t pipeline_count(const struct pipeline *pipeline); // groups that have not left
bool pipeline_has(const struct pipeline *pipeline, const struct digest *id); // likewise

/* Tells the calls in threads to stop, and waits for them. */
void pipeline_free(struct pipeline *pipeline);
DEFINE_SCOPED(pipeline)
