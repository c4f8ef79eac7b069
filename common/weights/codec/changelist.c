#include "weights/codec/changelist.h"
#include "base/mem.h"
#include "weights/codec/delta.h"
#include "weights/codec/staging.h"
#include <assert.h>
#include <string.h>

enum { ALIGN = 64, VERSION = 1, WORDS = 4, CHANGE_BYTES = sizeof(uint32_t) + sizeof(uint16_t) };
static const uint8_t magic[4] = {'R', 'L', 'W', 'L'};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are as they lie in memory");

struct listed *listed_ref(struct listed *listed)
{
    listed->refs++;
    return listed;
}

void listed_free(struct listed *listed)
{
    if (!listed || --listed->refs)
        return;
    listed->release(listed->arg);
    mem_free(listed);
}

size_t changelist_head_bytes(const struct layout *layout)
{
    const size_t bytes = (WORDS + (size_t)layout->count) * sizeof(uint32_t);
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

size_t changelist_bytes(const struct layout *layout, uint64_t changes)
{
    return changelist_head_bytes(layout) + changes * CHANGE_BYTES;
}

void changelist_head(const struct layout *layout, const uint32_t *count, uint8_t *ret)
{
    const uint32_t words[WORDS] = {0, VERSION, (uint32_t)layout->count, 0};
    memset(ret, 0, changelist_head_bytes(layout));
    memcpy(ret, words, sizeof words);
    memcpy(ret, magic, sizeof magic);
    memcpy(ret + sizeof words, count, (size_t)layout->count * sizeof *count);
}

/* Elements ascend, and are the tensor's. */
static err_t check_tensor(const struct layout_tensor *tensor, const uint32_t *index, uint32_t count)
{
    uint64_t least = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (index[i] < least || index[i] >= tensor->count)
            return err_new(ERR_INVALID,
                           "weights: a list's change %u of %s is of element %u; allowed: %llu to "
                           "%zu",
                           i, tensor->name, index[i], (unsigned long long)least, tensor->count - 1);
        least = (uint64_t)index[i] + 1;
    }
    return OK;
}

static err_t check_head(const struct layout *layout, const uint8_t *data, size_t len)
{
    uint32_t words[WORDS];
    if (len < changelist_head_bytes(layout))
        return err_new(ERR_INVALID, "weights: a list of %zu bytes; its head has %zu", len,
                       changelist_head_bytes(layout));
    memcpy(words, data, sizeof words);
    if (memcmp(data, magic, sizeof magic) != 0 || words[1] != VERSION ||
        words[2] != (uint32_t)layout->count)
        return err_new(ERR_INVALID,
                       "weights: a list of format %u with %u tensors; allowed: format %d with %d",
                       words[1], words[2], VERSION, layout->count);
    return OK;
}

err_t changelist_open(const struct layout *layout, const uint8_t *data, size_t len,
                      struct changelist *ret)
{
    TRY(check_head(layout, data, len));
    struct changelist list = {.count = (const uint32_t *)(const void *)data + WORDS};
    for (int t = 0; t < layout->count; t++)
        list.changes += list.count[t];
    if (len != changelist_bytes(layout, list.changes))
        return err_new(ERR_INVALID, "weights: a list of %llu changes has %zu bytes; allowed: %zu",
                       (unsigned long long)list.changes, len,
                       changelist_bytes(layout, list.changes));
    list.index = (const uint32_t *)(const void *)(data + changelist_head_bytes(layout));
    list.value = (const uint16_t *)(const void *)(list.index + list.changes);
    const uint32_t *index = list.index;
    for (int t = 0; t < layout->count; index += list.count[t++])
        TRY(check_tensor(&layout->tensor[t], index, list.count[t]));
    *ret = list;
    return OK;
}

/* ---- of a delta */

struct writer {
    const struct layout *layout;
    const uint16_t *old;
    int tensor; // of the last stretch
    uint32_t *count, *index;
    uint16_t *value;
    uint64_t changes;
};

/* A dense stretch has values that are as they were. */
static void write_stretch(void *arg, size_t first, const uint32_t *offset, const uint16_t *now,
                          size_t count)
{
    struct writer *writer = arg;
    while (first >= writer->layout->tensor[writer->tensor].offset +
                        writer->layout->tensor[writer->tensor].count)
        writer->tensor++;
    const size_t begin = writer->layout->tensor[writer->tensor].offset;
    for (size_t i = 0; i < count; i++) {
        const size_t at = first + (offset ? offset[i] : i);
        if (now[i] == writer->old[at])
            continue;
        writer->index[writer->changes] = (uint32_t)(at - begin);
        writer->value[writer->changes++] = now[i];
        writer->count[writer->tensor]++;
    }
}

void changelist_of_delta(const struct layout *layout, const uint16_t *old,
                         const struct delta *delta, uint8_t **ret, size_t *ret_len)
{
    enum { SHARE = 16, LEAST = 4096 };
    SCOPED(staging) staging = staging_new(layout);
    SCOPED_MEM uint32_t *count = mem_array((size_t)layout->count + 1, sizeof *count);
    const size_t head = changelist_head_bytes(layout);
    *ret = NULL;
    if (delta->changed > layout->elements / SHARE + LEAST)
        return;
    *ret_len = changelist_bytes(layout, delta->changed);
    uint8_t *list = mem_grow(NULL, *ret_len, 1);
    struct writer writer = {layout, old, 0, count, (uint32_t *)(void *)(list + head), NULL, 0};
    writer.value = (uint16_t *)(void *)(writer.index + delta->changed);
    for (size_t i = 0; i < delta->chunks; i++)
        err_free(staging_add(staging, old, delta->chunk[i].data, delta->chunk[i].len));
    staging_each(staging, write_stretch, &writer);
    assert(writer.changes == delta->changed);
    changelist_head(layout, count, list);
    *ret = list;
}
