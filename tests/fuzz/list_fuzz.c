/* A list of changes: what is taken is in order and within its tensors, and leads where its delta
 * leads; what is refused leaves nothing behind. */
#include "base/mem.h"
#include "tensor/digest.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/codec/staging.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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

static void must_lead_there(const struct layout *layout, const struct changelist *list)
{
    SCOPED(staging) staging = staging_new(layout);
    SCOPED_MEM uint16_t *values = mem_array(layout->elements, sizeof *values);
    for (size_t i = 0; i < layout->elements; i++)
        values[i] = (uint16_t)(i * 40503 + 7);
    SCOPED_MEM uint16_t *now = mem_copy(values, layout->elements * sizeof *values);
    staging_add_list(staging, values, list);
    must(staging_count(staging) == list->changes);
    staging_apply(staging, now, NULL);
    SCOPED(delta) of_list = delta_of_list(layout, values, list);
    SCOPED(delta) of_both = delta_encode(layout, values, now);
    const struct digest change = staging_change(staging);
    must(digest_equal(&change, &of_both->change) && digest_equal(&change, &of_list->change));
    must(of_list->changed == of_both->changed && of_list->bytes == of_both->bytes);
    must(of_list->changed <= list->changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED(layout) layout = make_layout();
    SCOPED_MEM uint8_t *aligned = mem_aligned(len + 1);
    struct changelist list = {.changes = 77};
    memcpy(aligned, data, len);
    err_t e = changelist_open(layout, aligned, len, &list);
    if (err_failed(e))
        must(err_code(e) == ERR_INVALID && list.changes == 77);
    else
        must_lead_there(layout, &list);
    err_free(e);
    return 0;
}
