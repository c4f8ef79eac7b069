#include "base/packed_text.h"
#include "base/mem.h"
#include "base/zst.h"
#include <string.h>

enum { BLOCK = 1 << 16 };

struct block {
    uint32_t raw, len; // raw: bytes unpacked; len == raw: stored as they are
    char *data;
};

struct packed_text {
    struct block *block;
    size_t blocks, room;
    uint32_t filled;
    char open[BLOCK]; // the block that is being filled
};

struct packed_text *packed_text_new(void)
{
    return mem_new(sizeof(struct packed_text));
}

static void close_block(struct packed_text *text)
{
    char packed[BLOCK];
    if (text->blocks == text->room) {
        text->room = text->room ? 2 * text->room : 64;
        text->block = mem_grow(text->block, text->room, sizeof *text->block);
    }
    const size_t len = zst_compress(text->open, text->filled, packed, text->filled);
    const bool packs = len > 0 && len < text->filled;
    text->block[text->blocks++] =
        (struct block){text->filled, packs ? (uint32_t)len : text->filled,
                       mem_copy(packs ? packed : text->open, packs ? len : text->filled)};
    text->filled = 0;
}

void packed_text_put(struct packed_text *text, const char *data, size_t len)
{
    while (len) {
        const size_t room = BLOCK - text->filled, some = len < room ? len : room;
        memcpy(text->open + text->filled, data, some);
        text->filled += (uint32_t)some;
        data += some;
        len -= some;
        if (text->filled == BLOCK)
            close_block(text);
    }
}

void packed_text_end(struct packed_text *text)
{
    if (text->filled)
        close_block(text);
}

static err_t unpack(const struct block *block, char to[BLOCK])
{
    size_t got = block->raw;
    if (block->len < block->raw)
        TRY(zst_decompress(block->data, block->len, to, BLOCK, &got));
    else
        memcpy(to, block->data, block->raw);
    return got == block->raw ? OK : err_new(ERR_DATA_LOSS, "a block in memory has changed");
}

err_t packed_text_get(const struct packed_text *text, uint64_t at, void *to, size_t len,
                      size_t *ret)
{
    char raw[BLOCK];
    size_t have = 0;
    for (uint64_t b = at / BLOCK; have < len && b < text->blocks; b++) {
        const struct block *block = &text->block[b];
        const size_t skip = have ? 0 : (size_t)(at % BLOCK);
        TRY(unpack(block, raw));
        if (skip >= block->raw)
            break;
        const size_t some = block->raw - skip < len - have ? block->raw - skip : len - have;
        memcpy((char *)to + have, raw + skip, some);
        have += some;
    }
    *ret = have;
    return OK;
}

void packed_text_free(struct packed_text *text)
{
    if (!text)
        return;
    for (size_t i = 0; i < text->blocks; i++)
        mem_free(text->block[i].data);
    mem_free(text->block);
    mem_free(text);
}
