/* How every call that changes something begins and ends. */
#include "base/mem.h"
#include "learner/store/inner.h"
#include <string.h>

err_t store_begin(struct store *store, int64_t now_ms)
{
    if (store->broken != ERR_NONE)
        return err_new(store->broken, "%s: open the store again", store->broken_why);
    if (now_ms > store->opened_ms && store->holds) { // it will go on from here
        store->opened_ms = now_ms;
        store->opened_clock_ms = store->counters.clock_ms;
    } else if (now_ms > store->opened_ms) {
        uint64_t clock = store->opened_clock_ms + (uint64_t)(now_ms - store->opened_ms);
        if (clock > store->counters.clock_ms)
            store->counters.clock_ms = clock;
    }
    return OK;
}

err_t store_break(struct store *store, err_t e)
{
    if (err_failed(e) && store->broken == ERR_NONE) {
        store->broken = err_code(e);
        store->broken_why = mem_string(err_message(e));
    }
    return e;
}

void store_fail(struct store *store, err_t why)
{
    (void)store_break(store, why);
}

static void put_slot(struct store *store, struct slot *slot)
{
    uint8_t key[KEY_SLOT];
    SCOPED_VALUE(bytes) value = {0};
    key_slot(slot->number, key);
    slot_encode(slot, &value);
    db_put(store->db, DB_SLOTS, key, sizeof key, value.data, value.len);
    slot->dirty = false;
}

err_t store_commit(struct store *store)
{
    if (!store->changed)
        return OK;
    for (size_t i = 0; i < store->dirty_n; i++)
        put_slot(store, store->dirty[i]);
    store->dirty_n = 0;
    store->changed = false;
    store->counters.low_slot = slots_low(&store->slots, store->counters.next_slot);
    SCOPED_VALUE(bytes) value = {0};
    counters_encode(&store->counters, &value);
    db_put(store->db, DB_META, KEY_COUNTERS, strlen(KEY_COUNTERS), value.data, value.len);
    slots_sweep(&store->slots);
    return store_break(store, db_commit(store->db));
}
