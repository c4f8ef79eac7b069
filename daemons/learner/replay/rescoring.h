/* Hands groups that an operator wants scored once more (store/quarantine.h) to rewarders. A group
 * is handed to another where a rewarder goes before it has answered. Its lease's deadline ends the
 * waiting.
 *
 *     struct rescoring *rescoring = rescoring_new(&options);
 *     rescoring_start(rescoring);       -- with the other parts that wait for changes of the store
 *
 * Owner: the storage thread; between it and the loop go single groups. */
#pragma once
#include "learner/replay/ingest.h"

struct rescoring;
struct rescoring_options {
    struct storage *storage;
    struct loop *loop;
    struct ingest *ingest;
};
struct rescoring *rescoring_new(const struct rescoring_options *options);
void rescoring_start(struct rescoring *rescoring);
void rescoring_free(struct rescoring *rescoring); // after the storage thread's last job
