#include "learner/replay/rescoring.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/store/groups.h"
#include "learner/store/quarantine.h"
#include "wire/waiting.h"
#include <inttypes.h>

/* At a time; a group that has no answer after so long is handed over once more. */
enum { HANDED_MAX = 16, AGAIN_MS = 60000, REFUSED_MS = 500 };

struct handed {
    struct digest id;
    int64_t until_ms; // clock_ms(): then it is handed over again
};

struct rescoring {
    struct rescoring_options options;
    struct handed handed[HANDED_MAX];
    size_t count;
    double departures; // of rewarders, when it was looked last
};

/* A group on its way to the loop, and the refusal on its way back. */
struct errand {
    struct rescoring *rescoring;
    struct digest id;
    struct rpc_message *message;
};

static void errand_free(struct errand *errand)
{
    rpc_message_free(errand->message);
    mem_free(errand);
}

static struct handed *find(struct rescoring *rescoring, const struct digest *id)
{
    for (size_t i = 0; i < rescoring->count; i++)
        if (digest_equal(&rescoring->handed[i].id, id))
            return &rescoring->handed[i];
    return NULL;
}

/* Storage thread: no rewarder took it. */
static err_t refused(void *arg, struct store *store)
{
    (void)store;
    struct errand *errand = arg;
    struct handed *handed = find(errand->rescoring, &errand->id);
    if (handed)
        handed->until_ms = clock_ms() + REFUSED_MS;
    errand_free(errand);
    return OK;
}

/* Loop. */
static void offer(void *arg)
{
    struct errand *errand = arg;
    if (ingest_offer(errand->rescoring->options.ingest, errand->message))
        errand_free(errand);
    else
        storage_post(errand->rescoring->options.storage, refused, errand);
}

static err_t hand(struct rescoring *rescoring, struct store *store, uint64_t slot,
                  struct handed *handed)
{
    SCOPED(group) group = NULL;
    SCOPED_VALUE(bytes) out = {0};
    TRY(store_group(store, slot, &group));
    again_encode(group, &out);
    struct errand *errand = mem_new(sizeof *errand);
    *errand = (struct errand){rescoring, handed->id, rpc_message_copy(out.data, out.len)};
    handed->until_ms = clock_ms() + AGAIN_MS;
    log_limited(LOG_INFO, 8, "group scored again", "slot=%" PRIu64, slot);
    loop_post(rescoring->options.loop, offer, errand);
    return OK;
}

/* Those that wait still, with what is known of them. */
static err_t look(void *arg, struct store *store)
{
    struct rescoring *rescoring = arg;
    struct handed kept[HANDED_MAX];
    size_t count = 0;
    uint64_t at = 0, slot;
    const double departures = ingest_departures(rescoring->options.ingest);
    if (departures != rescoring->departures)
        rescoring->count = 0; // the groups may have gone with it
    rescoring->departures = departures;
    for (struct digest id; count < HANDED_MAX && store_again(store, &at, &slot, &id); count++) {
        const struct handed *known = find(rescoring, &id);
        kept[count] = (struct handed){id, known ? known->until_ms : 0};
        if (clock_ms() >= kept[count].until_ms)
            TRY(hand(rescoring, store, slot, &kept[count]));
    }
    for (size_t i = 0; i < count; i++)
        rescoring->handed[i] = kept[i];
    rescoring->count = count;
    return OK;
}

struct rescoring *rescoring_new(const struct rescoring_options *options)
{
    struct rescoring *rescoring = mem_new(sizeof *rescoring);
    rescoring->options = *options;
    return rescoring;
}

void rescoring_start(struct rescoring *rescoring)
{
    storage_on_change(rescoring->options.storage, look, NULL, rescoring);
}

void rescoring_free(struct rescoring *rescoring)
{
    mem_free(rescoring);
}
