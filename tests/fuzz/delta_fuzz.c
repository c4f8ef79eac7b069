/* A chunk of a delta: what is taken changes what it says it changes, composes to itself, and what
 * is refused leaves nothing behind. The same bytes as two arrays: their delta leads from one to the
 * other. */
#include "base/mem.h"
#include "tensor/digest.h"
#include "weights/codec/delta.h"
#include "weights/codec/deltachunk.h"
#include "weights/codec/staging.h"
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct layout *make_layout(void)
{
    struct layout *layout = layout_new();
    layout_add(layout, "a", 100, 0);
    layout_add(layout, "none", 0, 0);
    layout_add(layout, "b", 210, 0);
    layout_add(layout, "c", 33, 0);
    layout_add(layout, "d", 200, 200);
    return layout;
}

static void try_chunk(const struct layout *layout, const uint8_t *data, size_t len)
{
    SCOPED(staging) staging = staging_new(layout);
    SCOPED_MEM uint16_t *values = mem_array(layout->elements, sizeof *values);
    for (size_t i = 0; i < layout->elements; i++)
        values[i] = (uint16_t)(i * 40503 + 7);
    const struct digest before = weights_digest(values, 0, layout->elements);
    err_t e = staging_add(staging, values, data, len);
    if (err_failed(e)) {
        must(err_code(e) == ERR_INVALID && staging_count(staging) == 0);
        err_free(e);
        return;
    }
    SCOPED_MEM uint16_t *now = mem_copy(values, layout->elements * sizeof *values);
    staging_apply(staging, now, NULL);
    const struct digest after = weights_digest(now, 0, layout->elements);
    const struct digest sum = weights_digest_add(before, staging_change(staging));
    must(digest_equal(&after, &sum));

    struct bytes chunk = {(uint8_t *)data, len, len};
    const struct delta given = {1, &chunk, len, 0, staging_change(staging)};
    SCOPED(delta) composed = NULL;
    SCOPED(delta) encoded = delta_encode(layout, values, now);
    must(!err_failed(delta_compose(layout, (const struct delta *[]){&given}, 1, &composed)));
    must(composed->changed == encoded->changed);
    must(digest_equal(&encoded->change, &composed->change));
}

static void try_arrays(const uint8_t *data, size_t len)
{
    SCOPED(layout) layout = layout_new();
    SCOPED(staging) staging = staging_new(layout);
    const int count = (int)(len / 4);
    layout_add(layout, "first", count / 3, 0);
    layout_add(layout, "second", count - count / 3, 0);
    SCOPED_MEM uint16_t *old = mem_array(layout->elements + 1, sizeof *old);
    SCOPED_MEM uint16_t *now = mem_array(layout->elements + 1, sizeof *now);
    for (int t = 0; t < 2; t++) {
        const struct layout_tensor *tensor = &layout->tensor[t];
        memcpy(old + tensor->offset, data, tensor->count * 2);
        memcpy(now + tensor->offset, data + tensor->count * 2, tensor->count * 2);
        data += tensor->count * 4;
    }
    SCOPED(delta) delta = delta_encode(layout, old, now);
    for (size_t i = 0; i < delta->chunks; i++) {
        SCOPED_VALUE(bytes) packed = {0};
        deltachunk_compress(delta->chunk[i].data, delta->chunk[i].len, &packed);
        must(!err_failed(staging_add(staging, old, packed.data, packed.len)));
    }
    staging_apply(staging, old, NULL);
    must(memcmp(old, now, layout->elements * sizeof *old) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct layout *layout;
    if (!layout)
        layout = make_layout();
    try_chunk(layout, data, len);
    try_arrays(data, len);
    return 0;
}
