/* Memory that is given back all at once: a template's tree, or what a rendering makes.
 *
 *     struct room room = {.most = 1 << 20};
 *     struct node *node = room_take(&room, sizeof *node);      -- zeroed
 *     if (!room_has(&room, len)) ...                            -- a size that data decides: ask first
 *     room_done(&room);
 *
 * One thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct room_block;
struct room {
    struct room_block *block;
    size_t used, most; // bytes
};

/* Never NULL; may go beyond most, which room_has then tells. */
void *room_take(struct room *room, size_t size);
/* A text of at most 255 bytes; what is beyond is left out. */
char *room_printf(struct room *room, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool room_has(const struct room *room, size_t size);
void room_done(struct room *room);
