#include "learner/store/changes.h"
#include "base/mem.h"
#include "learner/store/inner.h"
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, KEY_CHANGE = 8, HELD = 2 };
#define KEY_STANDING "standing"

void change_done(struct change *change)
{
    for (size_t i = 0; i < change->values; i++) {
        free(change->value[i].key);
        free(change->value[i].before);
        free(change->value[i].after);
    }
    free(change->value);
    free(change->kind);
    free(change->author);
    free(change->reason);
    free(change->request_id);
    *change = (struct change){0};
}

void change_page_done(struct change_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        change_done(&page->at[i]);
    free(page->at);
    *page = (struct change_page){0};
}

void standing_done(struct standing *standing)
{
    for (size_t i = 0; i < standing->overrides; i++) {
        free(standing->override[i].key);
        free(standing->override[i].value);
    }
    free(standing->override);
    *standing = (struct standing){0};
}

/* ---- bytes */

static void put_text(struct bytes *out, const char *text)
{
    bytes_be32(out, (uint32_t)strlen(text));
    bytes_text(out, text);
}

/* Without zeros; owned. */
static bool get_text(struct reader *in, size_t max, char **ret)
{
    uint32_t len;
    const uint8_t *data;
    if (!read_be32(in, &len) || len > max || !read_bytes(in, len, &data) || memchr(data, 0, len))
        return false;
    *ret = mem_new(len + 1);
    memcpy(*ret, data, len);
    return true;
}

static bool get_header(struct reader *in, char magic)
{
    uint8_t first, version;
    return read_u8(in, &first) && read_u8(in, &version) && first == (uint8_t)magic &&
           version == VERSION;
}

void change_encode(const struct change *change, struct bytes *ret)
{
    bytes_u8(ret, 'H');
    bytes_u8(ret, VERSION);
    bytes_be64(ret, (uint64_t)change->time_ms);
    bytes_be64(ret, change->first_round);
    bytes_put(ret, change->request.byte, sizeof change->request.byte);
    put_text(ret, change->kind);
    put_text(ret, change->author);
    put_text(ret, change->reason);
    put_text(ret, change->request_id);
    bytes_be32(ret, (uint32_t)change->values);
    for (size_t i = 0; i < change->values; i++) {
        put_text(ret, change->value[i].key);
        put_text(ret, change->value[i].before);
        put_text(ret, change->value[i].after);
    }
}

static bool get_values(struct reader *in, struct change *ret)
{
    uint32_t values;
    if (!read_be32(in, &values) || values > CHANGE_VALUES_MAX)
        return false;
    ret->value = mem_array(values, sizeof *ret->value);
    for (ret->values = 0; ret->values < values;) {
        struct change_value *value = &ret->value[ret->values++];
        if (!get_text(in, CHANGE_VALUE_MAX, &value->key) ||
            !get_text(in, CHANGE_VALUE_MAX, &value->before) ||
            !get_text(in, CHANGE_VALUE_MAX, &value->after))
            return false;
    }
    return true;
}

static bool get_change(struct reader *in, struct change *ret)
{
    uint64_t time_ms;
    const uint8_t *request;
    if (!get_header(in, 'H') || !read_be64(in, &time_ms) || !read_be64(in, &ret->first_round) ||
        !read_bytes(in, sizeof ret->request.byte, &request))
        return false;
    ret->time_ms = (int64_t)time_ms;
    memcpy(ret->request.byte, request, sizeof ret->request.byte);
    return get_text(in, CHANGE_NAME_MAX, &ret->kind) &&
           get_text(in, CHANGE_NAME_MAX, &ret->author) &&
           get_text(in, CHANGE_REASON_MAX, &ret->reason) &&
           get_text(in, CHANGE_NAME_MAX, &ret->request_id) && get_values(in, ret) && !in->left;
}

err_t change_decode(uint64_t id, const uint8_t *data, size_t len, struct change *ret)
{
    struct reader in = {data, len};
    SCOPED_VALUE(change) change = {.id = id};
    if (!get_change(&in, &change))
        return err_new(ERR_DATA_LOSS, "damaged record of change %llu", (unsigned long long)id);
    *ret = change;
    change = (struct change){0};
    return OK;
}

void standing_encode(const struct standing *standing, struct bytes *ret)
{
    bytes_u8(ret, 'I');
    bytes_u8(ret, VERSION);
    bytes_be64(ret, standing->changes);
    bytes_u8(ret, standing->decoding_held ? HELD : standing->generation_paused);
    bytes_u8(ret, standing->training_paused);
    bytes_be32(ret, (uint32_t)standing->overrides);
    for (size_t i = 0; i < standing->overrides; i++) {
        put_text(ret, standing->override[i].key);
        put_text(ret, standing->override[i].value);
    }
}

static bool get_standing(struct reader *in, struct standing *ret)
{
    uint8_t generation, training;
    uint32_t overrides;
    if (!get_header(in, 'I') || !read_be64(in, &ret->changes) || !read_u8(in, &generation) ||
        !read_u8(in, &training) || generation > HELD || training > 1 ||
        !read_be32(in, &overrides) || overrides > CHANGE_VALUES_MAX)
        return false;
    ret->generation_paused = generation > 0;
    ret->decoding_held = generation == HELD;
    ret->training_paused = training;
    ret->override = mem_array(overrides, sizeof *ret->override);
    while (ret->overrides < overrides) {
        struct override *override = &ret->override[ret->overrides++];
        if (!get_text(in, CHANGE_VALUE_MAX, &override->key) ||
            !get_text(in, CHANGE_VALUE_MAX, &override->value))
            return false;
    }
    return !in->left;
}

err_t standing_decode(const uint8_t *data, size_t len, struct standing *ret)
{
    struct reader in = {data, len};
    SCOPED_VALUE(standing) standing = {0};
    if (!get_standing(&in, &standing))
        return err_new(ERR_DATA_LOSS, "damaged record of what changes are in force");
    *ret = standing;
    standing = (struct standing){0};
    return OK;
}

/* ---- writing */

static bool fits(const char *text, size_t max)
{
    return strlen(text) <= max;
}

static err_t change_check(const struct change *change, const struct standing *standing)
{
    bool ok = fits(change->kind, CHANGE_NAME_MAX) && fits(change->author, CHANGE_NAME_MAX) &&
              fits(change->reason, CHANGE_REASON_MAX) &&
              fits(change->request_id, CHANGE_NAME_MAX) && change->values <= CHANGE_VALUES_MAX &&
              standing->overrides <= CHANGE_VALUES_MAX;
    for (size_t i = 0; ok && i < change->values; i++)
        ok = fits(change->value[i].key, CHANGE_VALUE_MAX) &&
             fits(change->value[i].before, CHANGE_VALUE_MAX) &&
             fits(change->value[i].after, CHANGE_VALUE_MAX);
    if (ok)
        return OK;
    return err_new(ERR_INVALID,
                   "a change: allowed are %d values of %d bytes, names of %d, a reason of %d",
                   CHANGE_VALUES_MAX, CHANGE_VALUE_MAX, CHANGE_NAME_MAX, CHANGE_REASON_MAX);
}

err_t change_put(struct store *store, const struct change *change, const struct standing *standing)
{
    uint8_t key[KEY_CHANGE];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED_VALUE(bytes) now = {0};
    TRY(change_check(change, standing));
    be64_store(key, change->id);
    change_encode(change, &value);
    db_put(store->db, DB_CHANGES, key, sizeof key, value.data, value.len);
    standing_encode(standing, &now);
    db_put(store->db, DB_META, KEY_STANDING, strlen(KEY_STANDING), now.data, now.len);
    store->changed = true;
    return OK;
}

err_t store_change(struct store *store, const struct change *change,
                   const struct standing *standing, const struct store_rules *rules, int64_t now_ms)
{
    TRY(rules ? store_rules_check(rules) : OK);
    TRY(store_begin(store, now_ms));
    TRY(change_put(store, change, standing));
    if (rules)
        store->rules = *rules;
    store_sweep(store);
    return store_commit(store);
}

/* ---- reading */

static err_t read_page(struct store *store, uint64_t from, size_t most, struct change_page *ret)
{
    uint8_t key[KEY_CHANGE];
    be64_store(key, from);
    SCOPED(db_cursor) cursor = NULL;
    db_seek(store->db, DB_CHANGES, key, sizeof key, &cursor);
    ret->at = mem_array(most, sizeof *ret->at);
    for (struct db_row row; ret->count < most && db_next(cursor, &row); ret->count++) {
        if (row.key_len != sizeof key)
            return err_new(ERR_DATA_LOSS, "a change with a key of %zu bytes", row.key_len);
        TRY(change_decode(be64_load(row.key), row.value, row.value_len, &ret->at[ret->count]));
    }
    return db_cursor_error(cursor);
}

static void reverse(struct change_page *page)
{
    for (size_t i = 0, j = page->count; i + 1 < j; i++) {
        struct change kept = page->at[i];
        page->at[i] = page->at[--j];
        page->at[j] = kept;
    }
}

err_t store_changes(struct store *store, uint64_t after, bool newest_first, size_t most,
                    struct change_page *ret)
{
    SCOPED_VALUE(change_page) page = {0};
    SCOPED_VALUE(standing) standing = {0};
    TRY(store_standing(store, &standing));
    if (most > CHANGE_PAGE_MAX)
        most = CHANGE_PAGE_MAX;
    uint64_t from = after + 1; // ids have no gaps
    if (newest_first) {
        uint64_t below = after && after <= standing.changes ? after : standing.changes + 1;
        from = below > most ? below - most : 1;
        most = (size_t)(below - from);
    }
    if (from && most)
        TRY(err_wrap(read_page(store, from, most, &page), "store '%s'", store->dir));
    if (newest_first)
        reverse(&page);
    *ret = page;
    page = (struct change_page){0};
    return OK;
}

err_t store_standing(struct store *store, struct standing *ret)
{
    bool found;
    SCOPED_VALUE(bytes) value = {0};
    TRY(store_begin(store, 0));
    TRY(db_get(store->db, DB_META, KEY_STANDING, strlen(KEY_STANDING), &value, &found));
    if (!found) {
        *ret = (struct standing){0};
        return OK;
    }
    return err_wrap(standing_decode(value.data, value.len, ret), "store '%s'", store->dir);
}
