/* Prompts.Lease: slots out to generators under the lag bound, and what they say of themselves.
 *
 *     TRY(leasing_new(&options, &leasing));
 *     services[n++] = leasing_service(leasing);
 *
 * A stream's messages are decoded on the loop's thread; everything else happens on the storage thread, which also sends.
 * A generator states how many slots it wants; they are granted now or when the rules allow it, oldest request first. Rows of
 * an evaluation go the same way to those who hold its weights, beside the slots and never counted among them. */
#pragma once
#include "base/jsonl.h"
#include "learner/evaluating.h"
#include "learner/live.h"
#include "learner/storage.h"
#include "rpc/server.h"

struct leasing;
struct leasing_options {
    struct storage *storage;
    const struct jsonl *data; // rows that leases carry
    const char *run;
    struct evaluating *evaluating; // NULL: none
    const struct live *live;       // says whether generation is paused; NULL: it is not
};

struct leasing *leasing_new(const struct leasing_options *options);
struct rpc_service leasing_service(struct leasing *leasing);

/* What generators have said, summed over their incarnations since this process began. Storage thread. */
struct leasing_totals {
    double idle_s, busy_s, tokens;
    uint64_t generators; // connected now
};
struct leasing_totals leasing_totals(const struct leasing *leasing);

/* From here on nothing is granted: generators are told that the run is over (ended) or pauses. Storage thread. */
void leasing_close(struct leasing *leasing, bool ended);

/* After the server and before the storage are gone. */
void leasing_free(struct leasing *leasing);
DEFINE_SCOPED(leasing)
