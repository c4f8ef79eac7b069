#include "model/text/values/value_room.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 64 << 10, ALIGN = 16 };

struct room_block {
    struct room_block *next;
    size_t used, size;
    _Alignas(ALIGN) char data[];
};

void *room_take(struct room *room, size_t size)
{
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct room_block *block = room->block;
    if (!block || block->size - block->used < size) {
        const size_t whole = size > BLOCK / 4 ? size : BLOCK;
        struct room_block *fresh = mem_new(sizeof *fresh + whole);
        fresh->size = whole;
        if (block && whole == size) { // the one in use has room for smaller things
            fresh->next = block->next;
            block->next = fresh;
        } else {
            fresh->next = block;
            room->block = fresh;
        }
        block = fresh;
    }
    void *found = block->data + block->used;
    block->used += size;
    room->used += size;
    return found;
}

char *room_printf(struct room *room, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t size = strlen(text) + 1;
    return memcpy(room_take(room, size), text, size);
}

bool room_has(const struct room *room, size_t size)
{
    return room->used <= room->most && size <= room->most - room->used;
}

void room_done(struct room *room)
{
    while (room->block) {
        struct room_block *next = room->block->next;
        mem_free(room->block);
        room->block = next;
    }
    room->used = 0;
}
