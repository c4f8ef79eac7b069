#include "weights/codec/history.h"
#include "base/mem.h"
#include "tensor/digest.h"
#include <stdlib.h>
#include <string.h>

/* Composing takes about 20 ns a byte, on the loop's thread. */
enum { COMPOSE_MAX_BYTES = 16 << 20 };

struct link {
    struct snapshot *delta; // from its base to the next link's base
    struct snapshot *jump;  // from there to the newest, once it was asked for
};

struct history {
    const struct layout *layout;
    struct history_limits limits;
    bool any;
    struct manifest newest;
    size_t count, bytes;
    struct link *link; // oldest first
};

struct history *history_new(const struct layout *layout, const struct history_limits *limits)
{
    struct history *history = mem_new(sizeof *history);
    history->layout = layout;
    history->limits = *limits;
    history->link = mem_array(limits->deltas + 1, sizeof *history->link);
    return history;
}

static size_t bytes_of(const struct link *link)
{
    return snapshot_delta(link->delta)->bytes;
}

/* The oldest n go. */
static void forget(struct history *history, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        history->bytes -= bytes_of(&history->link[i]);
        snapshot_free(history->link[i].delta);
        snapshot_free(history->link[i].jump);
    }
    history->count -= n;
    memmove(history->link, history->link + n, history->count * sizeof *history->link);
}

static bool leads_to(const struct history *history, const struct manifest *manifest,
                     const struct delta *delta)
{
    if (!delta || !history->any || manifest->lineage != history->newest.lineage ||
        manifest->version <= history->newest.version || delta->bytes > history->limits.bytes)
        return false;
    const struct digest sum = weights_digest_add(history->newest.digest, delta->change);
    return digest_equal(&sum, &manifest->digest);
}

/* The manifest of a way from base to the newest version. */
static struct manifest manifest_from(const struct history *history, uint64_t base,
                                     enum weights_kind kind)
{
    const uint64_t every = history->limits.verify_every;
    struct manifest manifest = history->newest;
    manifest.kind = kind;
    manifest.base = base;
    manifest.verify = every && base / every != manifest.version / every;
    return manifest;
}

bool history_put(struct history *history, const struct manifest *manifest, struct delta *delta)
{
    const bool leads = leads_to(history, manifest, delta);
    const uint64_t base = history->newest.version;
    history->any = true;
    history->newest = *manifest;
    for (size_t i = 0; i < history->count; i++)
        snapshot_free(STEAL(history->link[i].jump));
    if (!leads) {
        forget(history, history->count);
        delta_free(delta);
        return false;
    }
    const struct manifest way = manifest_from(history, base, WEIGHTS_DELTA);
    history->bytes += delta->bytes;
    history->link[history->count++] = (struct link){.delta = snapshot_of_delta(&way, delta)};
    while (history->count > history->limits.deltas || history->bytes > history->limits.bytes)
        forget(history, 1);
    return history->count > 0;
}

static struct snapshot *compose(struct history *history, size_t from)
{
    const size_t count = history->count - from;
    SCOPED_MEM const struct delta **part = mem_array(count, sizeof *part);
    for (size_t i = 0; i < count; i++)
        part[i] = snapshot_delta(history->link[from + i].delta);
    struct delta *delta = NULL;
    err_t e = delta_compose(history->layout, part, count, &delta);
    if (err_failed(e)) { // ours are well formed; the whole leads there too
        err_free(e);
        return NULL;
    }
    const uint64_t base = snapshot_manifest(history->link[from].delta)->base;
    const struct manifest way = manifest_from(history, base, WEIGHTS_JUMP);
    return snapshot_of_delta(&way, delta);
}

struct snapshot *history_way(struct history *history, uint32_t lineage, uint64_t version)
{
    size_t from = 0, bytes = history->bytes;
    if (!history->any || lineage != history->newest.lineage)
        return NULL;
    for (; from < history->count; from++) {
        if (snapshot_manifest(history->link[from].delta)->base == version)
            break;
        bytes -= bytes_of(&history->link[from]);
    }
    if (from == history->count)
        return NULL;
    struct link *link = &history->link[from];
    if (from + 1 == history->count || bytes > COMPOSE_MAX_BYTES)
        return link->delta;
    if (!link->jump)
        link->jump = compose(history, from);
    return link->jump;
}

void history_free(struct history *history)
{
    if (!history)
        return;
    for (size_t i = 0; i < history->count; i++)
        snapshot_free(STEAL(history->link[i].jump));
    forget(history, history->count);
    free(history->link);
    free(history);
}
