#include "tensor/cuda/attention_list.h"
#include "base/mem.h"
#include "tensor/cuda/cuda.h"
#include <string.h>

static const size_t sizes[LISTS] = {
    sizeof(struct attention_segment), sizeof(struct attention_split), sizeof(struct attention_fold),
    sizeof(struct attention_item),    sizeof(struct attention_item),  sizeof(int32_t)};

err_t cuda_attention_check(const struct attention_shape *shape)
{
    TRY(attention_shape_check(shape));
    if (shape->D > ATTENTION_SIZE)
        return err_new(ERR_UNIMPLEMENTED, "attention with heads of size %d: CUDA has up to %d",
                       shape->D, ATTENTION_SIZE);
    return OK;
}

/* ---- lists */

/* An element more, not zeroed. */
static void *put(struct attention_list *list, int part)
{
    struct list_part *p = &list->part[part];
    p->size = sizes[part];
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->data = mem_grow(p->data, p->room, p->size);
    }
    return p->data + p->count++ * p->size;
}

static void put_item(struct attention_list *list, int part, int segment, int tile)
{
    struct attention_item *item = put(list, part);
    *item = (struct attention_item){.segment = segment, .tile = tile};
}

static void put_page(struct attention_list *list, int32_t page)
{
    int32_t *to = put(list, LIST_PAGES);
    *to = page;
}

/* Pages of a segment without pages: whole ones of its prefix are its owner's, which begin at
 * `owner` in the list of pages. */
static void own_pages(struct attention_list *list, const struct segment *s, int owner)
{
    const long shared = s->start / KV_PAGE, pages = segment_pages(s);
    for (long i = 0; i < shared; i++) {
        const int32_t *all = (const int32_t *)list->part[LIST_PAGES].data;
        put_page(list, all[owner + i]);
    }
    for (long i = shared; i < pages; i++)
        put_page(list, list->own_pages++);
}

/* Few rows are split over blocks; many are walked. Bits are the same. */
static bool is_split(const struct segment *s, const struct attention_shape *shape)
{
    return s->count == 1 || (long)s->count * (shape->H / shape->K) <= SPLIT_ROWS;
}

/* The tiles of a chunk. */
static void put_chunk(struct attention_list *list, const struct attention_segment *s, int chunk)
{
    enum { CHUNK_PAGES = KV_CHUNK / KV_PAGE };
    const int rows = s->count * (list->shape.H / list->shape.K);
    const int pages = (s->start + s->count + KV_PAGE - 1) / KV_PAGE;
    struct attention_split split = {.segment = *s, .chunk = chunk};
    for (int i = 0; i < CHUNK_PAGES && chunk * CHUNK_PAGES + i < pages; i++) {
        const int32_t *all = (const int32_t *)list->part[LIST_PAGES].data;
        split.page[i] = all[s->page + chunk * CHUNK_PAGES + i];
    }
    for (split.tile = 0; split.tile * SPLIT_ROWS < rows; split.tile++) {
        struct attention_split *to = put(list, LIST_SPLIT);
        *to = split;
    }
}

static void put_split(struct attention_list *list, struct attention_segment *s)
{
    const struct attention_shape *shape = &list->shape;
    const int window = shape->window, first = s->start + 1; // keys of the first row
    const int low = window > 0 && first > window ? first - window : 0;
    s->part = (int64_t)list->states;
    s->chunk = low / KV_CHUNK;
    s->chunks = (s->start + s->count + KV_CHUNK - 1) / KV_CHUNK - s->chunk;
    for (int chunk = s->chunk; chunk < s->chunk + s->chunks; chunk++)
        put_chunk(list, s, chunk);
    if (s->chunks == 1)
        return;
    const int64_t states = (int64_t)shape->H * s->chunks; // of a query
    list->states += (size_t)(s->count * states);
    for (int row = 0; row < s->count; row++) {
        struct attention_fold *to = put(list, LIST_FOLD);
        *to = (struct attention_fold){
            .part = s->part + row * states, .chunks = s->chunks, .row = s->first + row};
    }
}

static void put_segment(struct attention_list *list, int index, const struct segment *s, int owner)
{
    const struct attention_shape *shape = &list->shape;
    const long pages = segment_pages(s), rows = (long)s->count * (shape->H / shape->K);
    struct attention_segment to = {.first = s->first,
                                   .count = s->count,
                                   .start = s->start,
                                   .prefix = s->prefix,
                                   .fresh = s->kv && s->count == 1,
                                   .page = (int32_t)list->part[LIST_PAGES].count};
    if (s->kv) {
        to.values =
            (int64_t)(kv_page_elements(shape->K, s->kv->width) * (size_t)s->kv->extent.pages);
        to.layer = 2 * to.values;
        to.keys = s->kv->memory;
    }
    for (long i = 0; s->kv && i < pages; i++)
        put_page(list, s->page[i]);
    if (!s->kv)
        own_pages(list, s, owner);
    for (long i = s->start / KV_PAGE; s->count && !to.fresh && i < pages; i++)
        put_item(list, LIST_FILL, index, (int)i);
    if (s->count && is_split(s, shape))
        put_split(list, &to);
    else // those with the most keys first
        for (long tile = (rows + WALK_ROWS - 1) / WALK_ROWS; tile-- > 0;)
            put_item(list, LIST_WALK, index, (int)tile);
    struct attention_segment *at = put(list, LIST_SEGMENTS);
    *at = to;
}

/* In own pages the values follow the keys of all. */
static void place_own(struct attention_list *list)
{
    const struct attention_shape *shape = &list->shape;
    struct attention_segment *all = (struct attention_segment *)list->part[LIST_SEGMENTS].data;
    struct attention_split *split = (struct attention_split *)list->part[LIST_SPLIT].data;
    const size_t page = kv_page_elements(shape->K, attention_width(shape->D));
    const int64_t values = (int64_t)(page * (size_t)list->own_pages);
    for (size_t s = 0; s < list->part[LIST_SEGMENTS].count; s++)
        if (!all[s].keys)
            all[s].values = values;
    for (size_t i = 0; i < list->part[LIST_SPLIT].count; i++)
        if (!split[i].segment.keys)
            split[i].segment.values = values;
}

/* Empty elements, up to a rounded number: steps whose numbers are nearby have equal launches. */
static void pad(struct attention_list *list)
{
    const size_t splits = steps_rounded(list->part[LIST_SPLIT].count),
                 folds = steps_rounded(list->part[LIST_FOLD].count);
    while (list->part[LIST_SPLIT].count < splits) {
        struct attention_split *to = put(list, LIST_SPLIT);
        *to = (struct attention_split){.chunk = -1};
    }
    while (list->part[LIST_FOLD].count < folds) {
        struct attention_fold *to = put(list, LIST_FOLD);
        *to = (struct attention_fold){0};
    }
    list->states = steps_rounded(list->states);
}

static void join(struct attention_list *list)
{
    size_t bytes = 0;
    for (int i = 0; i < LISTS; i++)
        bytes += list->part[i].count * sizes[i];
    if (bytes > list->room) {
        list->room = 2 * bytes;
        list->data = mem_grow(list->data, list->room, 1);
    }
    list->bytes = 0;
    for (int i = 0; i < LISTS; i++) {
        const size_t some = list->part[i].count * sizes[i];
        if (some)
            memcpy(list->data + list->bytes, list->part[i].data, some);
        list->bytes += some;
    }
}

static void make(struct attention_list *list, const struct segment *segments, int count,
                 const struct attention_shape *shape)
{
    int owner = 0;
    for (int i = 0; i < LISTS; i++)
        list->part[i].count = 0;
    list->own_pages = 0;
    list->states = 0;
    list->shape = *shape;
    list->count = count;
    list->layers = INT32_MAX;
    list->from = mem_grow(list->from, (size_t)count + 1, sizeof *segments);
    if (count)
        memcpy(list->from, segments, (size_t)count * sizeof *segments);
    for (int s = 0; s < count; s++) {
        const struct segment *segment = &segments[s];
        if (!segment->kv && !segment->start)
            owner = (int)list->part[LIST_PAGES].count;
        if (segment->kv && segment->kv->extent.layers < list->layers)
            list->layers = segment->kv->extent.layers;
        put_segment(list, s, segment, owner);
    }
    place_own(list);
    pad(list);
    join(list);
}

/* Whether the list was made from the same; pages' numbers are compared, too. */
static bool is_same(const struct attention_list *list, const struct segment *segments, int count,
                    const struct attention_shape *shape)
{
    const struct attention_segment *made =
        (struct attention_segment *)list->part[LIST_SEGMENTS].data;
    const int32_t *page = (const int32_t *)list->part[LIST_PAGES].data;
    if (!list->from || count != list->count || memcmp(shape, &list->shape, sizeof *shape) != 0 ||
        memcmp(segments, list->from, (size_t)count * sizeof *segments) != 0)
        return false;
    for (int s = 0; s < count; s++)
        if (segments[s].kv && memcmp(page + made[s].page, segments[s].page,
                                     (size_t)segment_pages(&segments[s]) * sizeof *page) != 0)
            return false;
    return true;
}

err_t attention_list_make(struct attention_list *list, const struct segment *segments, int count,
                          const struct attention_shape *shape, int layer, bool *ret_changed)
{
    if (layer >= 0 && count > 0 && is_same(list, segments, count, shape) && layer < list->layers) {
        *ret_changed = false;
        return OK;
    }
    TRY(cuda_attention_check(shape));
    TRY(segments_check(segments, count, shape, layer));
    make(list, segments, count, shape);
    *ret_changed = true;
    return OK;
}

void attention_list_place(const struct attention_list *list, const void *there,
                          struct attention_call *call)
{
    const char *at[LISTS] = {there};
    for (int i = 1; i < LISTS; i++)
        at[i] = at[i - 1] + list->part[i - 1].count * sizes[i - 1];
    call->segment = (const struct attention_segment *)at[LIST_SEGMENTS];
    call->fill = (const struct attention_item *)at[LIST_FILL];
    call->split = (const struct attention_split *)at[LIST_SPLIT];
    call->fold = (const struct attention_fold *)at[LIST_FOLD];
    call->walk = (const struct attention_item *)at[LIST_WALK];
    call->page = (const int32_t *)at[LIST_PAGES];
    call->fills = (int)list->part[LIST_FILL].count;
    call->splits = (int)list->part[LIST_SPLIT].count;
    call->folds = (int)list->part[LIST_FOLD].count;
    call->walks = (int)list->part[LIST_WALK].count;
}

void attention_list_forget(struct attention_list *list)
{
    list->count = -1;
}

void attention_list_done(struct attention_list *list)
{
    for (int i = 0; i < LISTS; i++)
        mem_free(list->part[i].data);
    mem_free(list->from);
    mem_free(list->data);
    *list = (struct attention_list){0};
}

void cuda_attention_free(struct cuda_attention *attention)
{
    for (int i = 0; attention && i < 2; i++) {
        attention_list_done(&attention->list[i]);
        cudaFree(attention->there[i]);
    }
    mem_free(attention);
}

void cuda_attention_forget(struct cuda_attention *attention)
{
    for (int i = 0; attention && i < 2; i++)
        attention_list_forget(&attention->list[i]);
}
