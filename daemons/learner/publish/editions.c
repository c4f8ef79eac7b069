#include "learner/publish/editions.h"
#include "base/mem.h"
#include "learner/publish/listing.h"
#include "rpc/message.h"
#include "svc/spares.h"
#include "tensor/digest.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/codec/snapshot.h"
#include <inttypes.h>
#include <string.h>

struct editions {
    struct editions_options options;
    const struct layout *layout; // borrowed
    struct listing *listing;     // NULL: changes are found by comparing
    /* The version before, whose values the publisher sends too. */
    struct published before;
    const uint16_t *base;
    struct rpc_message *base_owner; // NULL: none yet
    /* Arrays of values: the base, the one before it, and others that are still being sent. */
    struct spares *arrays;
    uint64_t number, base_number, older_number; // of the last one made; of the base; before that
    struct host_list {
        uint8_t *bytes; // NULL: not known
        size_t len;
    } base_list, list; // the changes that led to the base; those of the version that is made
};

/* Where changes can be listed on the other side, and are not on the host's anyway. */
static bool lists(const struct editions_options *options, const struct model *model)
{
    return options->delta && model->be->apart && listing_can(model->params->layout);
}

err_t editions_new(const struct editions_options *options, const struct model *model,
                   struct editions **ret)
{
    SCOPED(editions) editions = mem_new(sizeof *editions);
    editions->options = *options;
    editions->layout = model->params->layout;
    if (lists(options, model))
        TRY(listing_new(model, &editions->listing));
    editions->arrays = spares_new();
    *ret = STEAL(editions);
    return OK;
}

size_t editions_bytes(const struct model *model)
{
    const struct layout *layout = model->params->layout;
    return model->be->apart ? layout->elements / 8 + listing_bytes(layout) : 0;
}

static bool follows(const struct editions *editions, const struct published *what)
{
    return editions->base_owner && editions->before.lineage == what->lineage;
}

static struct manifest manifest_of(const struct editions *editions, const struct published *what)
{
    return (struct manifest){.lineage = what->lineage,
                             .version = what->version,
                             .round = what->round,
                             .elements = editions->layout->elements,
                             .digest = what->digest};
}

/* ---- the changes as a list */

/* A list that the host has: its bytes go with it. */
static struct listed *listed_here(uint8_t *bytes, size_t len, uint64_t base)
{
    const struct listed listed = {
        .refs = 1, .base = base, .data = bytes, .bytes = len, .release = mem_free, .arg = bytes};
    return mem_copy(&listed, sizeof listed);
}

static void give_back(void *arg)
{
    listing_give_back(arg);
}

/* NCCL reads the list where it lies, if it can. Takes the piece's place. */
static struct listed *listed_there(const struct model *model, const struct listing_piece *piece,
                                   uint64_t base)
{
    if (!model->be->cuda) {
        listing_give_back(piece->place);
        return listed_here(mem_copy(piece->bytes, piece->len), piece->len, base);
    }
    const struct listed listed = {.refs = 1,
                                  .base = base,
                                  .device = piece->address,
                                  .bytes = piece->len,
                                  .release = give_back,
                                  .arg = piece->place};
    return mem_copy(&listed, sizeof listed);
}

static void write_list(const struct editions *editions, const struct changelist *list,
                       uint16_t *values)
{
    const uint32_t *index = list->index;
    const uint16_t *value = list->value;
    for (int t = 0; t < editions->layout->count; t++) {
        uint16_t *tensor = values + editions->layout->tensor[t].offset;
        for (uint32_t left = list->count[t]; left; left--)
            tensor[*index++] = *value++;
    }
}

/* The array from before the base, if nobody reads it any more, with the base's changes; else a copy
 * of the base. */
static uint16_t *base_again(struct editions *editions)
{
    struct changelist list;
    void *values = NULL;
    const bool back = spares_take(editions->arrays, editions->older_number, &values);
    if (back && editions->base_list.bytes) {
        err_free(changelist_open(editions->layout, editions->base_list.bytes,
                                 editions->base_list.len, &list)); // ours, opened before
        write_list(editions, &list, values);
        return values;
    }
    mem_free(values);
    return mem_copy(editions->base, editions->layout->elements * sizeof(uint16_t));
}

/* The values of the version before with the list's in their places. */
static uint16_t *follow(struct editions *editions, const struct changelist *list)
{
    uint16_t *values = base_again(editions);
    write_list(editions, list, values);
    return values;
}

static struct snapshot *snapshot_of_array(struct editions *editions,
                                          const struct manifest *manifest, uint16_t *values)
{
    return snapshot_lent(manifest, values, spares_back,
                         spares_lend(editions->arrays, values, editions->number));
}

static err_t take_list(struct editions *editions, const struct model *model,
                       const struct published *what, const struct listing_piece *piece,
                       struct edition *ret)
{
    struct changelist list;
    TRY(changelist_open(editions->layout, piece->bytes, piece->len, &list));
    const struct manifest manifest = manifest_of(editions, what);
    ret->snapshot = snapshot_of_array(editions, &manifest, follow(editions, &list));
    ret->delta = delta_of_list(editions->layout, editions->base, &list);
    ret->read_bytes = piece->len;
    ret->by_list = true;
    if (editions->options.lists)
        ret->listed = listed_there(model, piece, editions->before.version);
    return OK;
}

/* EXHAUSTED: they are too many. */
static err_t make_of_list(struct editions *editions, const struct model *model,
                          const struct published *what, struct edition *ret)
{
    struct listing_piece piece = {0};
    TRY(listing_make(editions->listing, model_values(model), what->marks, &piece));
    err_t failed = take_list(editions, model, what, &piece, ret);
    if (!ret->listed)
        listing_give_back(piece.place);
    editions->list = (struct host_list){piece.bytes, piece.len};
    return failed;
}

/* ---- the changes between all values */

static err_t make_of_all(struct editions *editions, const struct model *model,
                         const struct published *what, struct edition *ret)
{
    const struct manifest manifest = manifest_of(editions, what);
    uint8_t *bytes = NULL;
    size_t len = 0;
    void *array = NULL;
    if (!spares_take(editions->arrays, editions->older_number, &array))
        array = mem_grow(NULL, editions->layout->elements, sizeof(bf16));
    SCOPED_MEM bf16 *values = array;
    TRY(model_copy(model, 0, editions->layout->elements, values));
    ret->snapshot = snapshot_of_array(editions, &manifest, STEAL(values));
    ret->read_bytes = editions->layout->elements * sizeof(bf16);
    if (!editions->options.delta || !follows(editions, what))
        return OK;
    ret->delta = delta_encode(editions->layout, editions->base, snapshot_values(ret->snapshot));
    if (!editions->options.lists || !listing_can(editions->layout))
        return OK;
    changelist_of_delta(editions->layout, editions->base, ret->delta, &bytes, &len);
    if (bytes)
        ret->listed = listed_here(bytes, len, editions->before.version);
    return OK;
}

/* ---- checks */

static bool is_anchor(const struct editions *editions, uint64_t version)
{
    const uint64_t every = editions->options.anchor_every;
    return every && editions->before.version / every != version / every;
}

static err_t check_digest(const struct digest *digest, const struct manifest *manifest)
{
    char found[DIGEST_TEXT], made[DIGEST_TEXT];
    if (digest_equal(digest, &manifest->digest))
        return OK;
    return err_new(
        ERR_DATA_LOSS, "the weights in memory have digest %s, but version %" PRIu64 " is %s",
        digest_text(digest, found), manifest->version, digest_text(&manifest->digest, made));
}

/* The values that go out: by their changes from the version before, which had been checked, or all
 * summed up. A list says nothing of values that were not marked, so the model's own are summed up,
 * too: on a device that takes milliseconds. */
static err_t check(const struct editions *editions, const struct model *model,
                   const struct edition *edition)
{
    const struct manifest *manifest = snapshot_manifest(edition->snapshot);
    const bool sum_up = !edition->delta || is_anchor(editions, manifest->version);
    const struct digest out =
        sum_up ? weights_digest(snapshot_values(edition->snapshot), 0, manifest->elements)
               : weights_digest_add(editions->before.digest, edition->delta->change);
    TRY(check_digest(&out, manifest));
    if (!edition->by_list)
        return OK;
    struct digest own;
    TRY(model_digest(model, &own));
    return check_digest(&own, manifest);
}

/* The values that the next version is compared with. */
static void keep(struct editions *editions, const struct edition *edition,
                 const struct published *what)
{
    editions->older_number = editions->base_number;
    editions->base_number = editions->number;
    if (!editions->options.delta)
        return;
    mem_free(editions->base_list.bytes);
    editions->base_list = editions->list;
    editions->list = (struct host_list){0};
    rpc_message_free(editions->base_owner);
    editions->base_owner = snapshot_values_owner(edition->snapshot);
    editions->base = snapshot_values(edition->snapshot);
    editions->before = *what;
}

static err_t make(struct editions *editions, const struct model *model,
                  const struct published *what, struct edition *ret)
{
    if (!editions->listing || !what->marks || !follows(editions, what))
        return make_of_all(editions, model, what, ret);
    err_t failed = make_of_list(editions, model, what, ret);
    if (err_code(failed) != ERR_EXHAUSTED)
        return failed;
    err_free(failed);
    return make_of_all(editions, model, what, ret);
}

err_t editions_make(struct editions *editions, const struct model *model,
                    const struct published *what, struct edition *ret)
{
    struct edition edition = {0};
    editions->number++;
    mem_free(STEAL(editions->list.bytes));
    err_t failed = make(editions, model, what, &edition);
    if (!err_failed(failed))
        failed = check(editions, model, &edition);
    if (err_failed(failed)) {
        snapshot_free(edition.snapshot);
        delta_free(edition.delta);
        listed_free(edition.listed);
        return failed;
    }
    keep(editions, &edition, what);
    *ret = edition;
    return OK;
}

void editions_free(struct editions *editions)
{
    if (!editions)
        return;
    listing_free(editions->listing);
    rpc_message_free(editions->base_owner);
    spares_close(editions->arrays);
    mem_free(editions->base_list.bytes);
    mem_free(editions->list.bytes);
    mem_free(editions);
}
