/* Lists: they grow, and are sorted as Python sorts. */
#include "model/text/values/value_ops.h"

/* ---- lists */

struct list *list_new(struct run *r, size_t capacity)
{
    struct list *list = room_take(&r->room, sizeof *list);
    if (capacity)
        list->at = room_take(&r->room, capacity * sizeof *list->at);
    list->capacity = capacity;
    return list;
}

err_t list_push(struct run *r, struct list *list, struct value v)
{
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? list->capacity * 2 : 4;
        TRY(run_work(r, list->count));
        TRY(run_room(r, capacity * sizeof *list->at));
        struct value *at = room_take(&r->room, capacity * sizeof *at);
        if (list->count)
            memcpy(at, list->at, list->count * sizeof *at);
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = v;
    return OK;
}

/* Positions [begin, end) of order in the order of their keys: stable, as Python's sort is. */
static err_t merge_sort(struct run *r, const struct list *keys, size_t *order, size_t *spare,
                        size_t begin, size_t end, bool reverse)
{
    const size_t middle = begin + (end - begin) / 2;
    if (end - begin < 2)
        return OK;
    TRY(merge_sort(r, keys, order, spare, begin, middle, reverse));
    TRY(merge_sort(r, keys, order, spare, middle, end, reverse));
    size_t a = begin, b = middle;
    for (size_t i = begin; i < end; i++) {
        int less = 0;
        if (a < middle && b < end)
            TRY(reverse ? value_order(r, &keys->at[order[a]], &keys->at[order[b]], &less)
                        : value_order(r, &keys->at[order[b]], &keys->at[order[a]], &less));
        const bool second = a == middle || (b < end && less < 0);
        spare[i] = second ? order[b++] : order[a++];
    }
    memcpy(order + begin, spare + begin, (end - begin) * sizeof *order);
    return OK;
}

err_t list_sort(struct run *r, struct list *list, const struct list *keys, bool reverse)
{
    TRY(run_room(r, list->count * (2 * sizeof(size_t) + sizeof(struct value))));
    size_t *order = room_take(&r->room, list->count * sizeof *order);
    size_t *spare = room_take(&r->room, list->count * sizeof *spare);
    struct value *at = room_take(&r->room, list->count * sizeof *at);
    for (size_t i = 0; i < list->count; i++)
        order[i] = i;
    TRY(merge_sort(r, keys, order, spare, 0, list->count, reverse));
    for (size_t i = 0; i < list->count; i++)
        at[i] = list->at[order[i]];
    list->at = at;
    list->capacity = list->count;
    return OK;
}
