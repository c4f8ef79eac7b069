#include "weights/stream/devicelists.h"
#include "base/mem.h"
#include "weights/codec/changelist.h"

enum { ALIGN = 256 };

struct devicelists {
    const struct layout *layout; // borrowed
    char *memory;                // of the device
    size_t bytes;
    /* The staged ones, oldest first; behind them the room, if there is one. */
    struct devicelist list[DEVICELISTS_MAX];
    size_t begin[DEVICELISTS_MAX], end[DEVICELISTS_MAX];
    int staged;
    bool has_room, came; // there is a room; a right list lies in it
    bool gap;            // a version came in another way
};

struct devicelists *devicelists_new(const struct layout *layout, void *memory, size_t bytes)
{
    struct devicelists *lists = mem_new(sizeof *lists);
    *lists = (struct devicelists){.layout = layout, .memory = memory, .bytes = memory ? bytes : 0};
    return lists;
}

bool devicelists_there(const struct devicelists *lists)
{
    return lists->memory != NULL;
}

/* Behind the newest, or at the beginning again if the oldest lies behind that. */
static bool place(const struct devicelists *lists, size_t bytes, size_t *ret)
{
    const size_t first = lists->staged ? lists->begin[0] : 0;
    const size_t last = lists->staged ? lists->end[lists->staged - 1] : 0;
    const bool wrapped = last <= first && lists->staged;
    const size_t limit = wrapped ? first : lists->bytes;
    *ret = last;
    if (bytes <= limit - last)
        return true;
    *ret = 0;
    return !wrapped && bytes <= first;
}

void *devicelists_room(struct devicelists *lists, size_t bytes)
{
    const size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    size_t at;
    devicelists_no_room(lists);
    if (lists->staged == DEVICELISTS_MAX || rounded > lists->bytes || lists->gap ||
        !place(lists, rounded, &at))
        return NULL;
    lists->begin[lists->staged] = at;
    lists->end[lists->staged] = at + rounded;
    lists->has_room = true;
    return lists->memory + at;
}

void devicelists_no_room(struct devicelists *lists)
{
    if (lists->came)
        mem_free((void *)lists->list[lists->staged].count);
    lists->has_room = lists->came = false;
}

bool devicelists_came(struct devicelists *lists, const struct changelist *list)
{
    if (!lists->has_room)
        return false;
    const char *room = lists->memory + lists->begin[lists->staged];
    const char *index = room + changelist_head_bytes(lists->layout);
    const size_t bytes = (size_t)lists->layout->count * sizeof *list->count;
    lists->list[lists->staged] = (struct devicelist){
        .count = mem_copy(list->count, bytes),
        .index = (const uint32_t *)(const void *)index,
        .value = (const uint16_t *)(const void *)(index + list->changes * sizeof *list->index)};
    lists->came = true;
    return true;
}

void devicelists_stage(struct devicelists *lists, bool changes)
{
    if (lists->came)
        lists->staged++;
    else if (changes)
        lists->gap = true;
    lists->has_room = lists->came = false;
}

int devicelists_all(const struct devicelists *lists, const struct devicelist **ret)
{
    *ret = lists->list;
    return lists->gap ? 0 : lists->staged;
}

/* The one whose version waits moves to the front: its memory stays where it is. */
void devicelists_taken(struct devicelists *lists)
{
    const int room = lists->staged;
    for (int i = 0; i < room; i++)
        mem_free((void *)lists->list[i].count);
    if (room && lists->has_room) {
        lists->list[0] = lists->list[room];
        lists->begin[0] = lists->begin[room];
        lists->end[0] = lists->end[room];
    }
    lists->staged = 0;
    lists->gap = false;
}

void devicelists_free(struct devicelists *lists)
{
    if (!lists)
        return;
    devicelists_no_room(lists);
    devicelists_taken(lists);
    mem_free(lists);
}
