/* The work of one call of attention, as lists for the device: made on the host, kept, and made anew
 * only when the call differs from the one before. All layers of a forward have the same.
 *
 *     SCOPED_VALUE(attention_list) list = {0};          -- zeroed once, kept as long as the backend
 *     bool changed = false;
 *     TRY(attention_list_make(&list, segments, count, &shape, layer, &changed));
 *     if (changed)
 *         ... list.bytes bytes of list.data to the device
 *     attention_list_place(&list, there, &call);        -- call's lists are in the copy at `there`
 *
 * Owner: the thread that owns the backend. */
#pragma once
#include "tensor/cuda/attention.h"
#include "tensor/segment_check.h"

/* Pages of keys and values: [layer][keys, values][page][kv head][KV_PAGE][width]. */
struct kv_pages {
    struct kv_extent extent; // first: segment_check.h reads it
    int width;               // attention_width(shape.D)
    bf16 *memory;
};

static inline size_t kv_page_elements(int K, int width)
{
    return (size_t)K * KV_PAGE * (size_t)width;
}

/* Those of 8-byte numbers first. */
enum { LIST_SEGMENTS, LIST_SPLIT, LIST_FOLD, LIST_FILL, LIST_WALK, LIST_PAGES, LISTS };

struct attention_list {
    /* The call that it was made from. */
    struct segment *from;
    int count, layers; // layers: that all its pages have
    struct attention_shape shape;
    /* The work. */
    struct list_part {
        char *data;
        size_t size, count, room; // size: of an element
    } part[LISTS];
    int own_pages; // pages that segments without pages need
    size_t states; // of split tiles, rounded up as the numbers of LIST_SPLIT and LIST_FOLD are
    char *data;    // all parts, one behind the other
    size_t bytes, room;
};

/* Checks as the CPU's op does, with its errors, before anything else. UNIMPLEMENTED: heads of more
 * than ATTENTION_SIZE. ret_changed: data is not what it was. */
err_t attention_list_make(struct attention_list *list, const struct segment *segments, int count,
                          const struct attention_shape *shape, int layer, bool *ret_changed);

/* Fills call's lists and their lengths; `there` is the copy of data. */
void attention_list_place(const struct attention_list *list, const void *there,
                          struct attention_call *call);

/* The list is made anew next time: its pages are gone. */
void attention_list_forget(struct attention_list *list);
void attention_list_done(struct attention_list *list); // {0} is allowed

/* attention_shape_check, and UNIMPLEMENTED: D is too large here. */
err_t cuda_attention_check(const struct attention_shape *shape);

/* Lists of calls with a window, and without: layers of both kinds may take turns. */
struct cuda_attention {
    struct attention_list list[2];
    char *there[2];        // on the device
    const void *placed[2]; // there, or in a step's arena
    size_t room[2];
};
