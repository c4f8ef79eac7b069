/* Shared memory of the block that runs, and cp.async into it. The dynamic part ends at a page that
 * is not there. */
#include "emu.h"
#include <sys/mman.h>

namespace emu
{
char *shared_begin;
size_t shared_bytes;
static char *shared_pages; // [guard][dynamic, at the end][guard][static][guard]
enum { SHARED_SPAN = 256 << 10, PAGE = 4096 };
char *shared_range_begin, *shared_range_end;
struct shared_piece {
    const void *key;
    size_t at, bytes;
};
static std::vector<shared_piece> pieces;
static size_t pieces_end;

void shared_make()
{
    if (shared_pages)
        return;
    const size_t all = 2 * SHARED_SPAN + 3 * PAGE;
    shared_pages =
        (char *)mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(shared_pages, PAGE, PROT_NONE);
    mprotect(shared_pages + PAGE + SHARED_SPAN, PAGE, PROT_NONE);
    mprotect(shared_pages + 2 * PAGE + 2 * SHARED_SPAN, PAGE, PROT_NONE);
    shared_range_begin = shared_pages;
    shared_range_end = shared_pages + all;
}

void shared_begin_block(size_t bytes)
{
    const size_t room = (bytes + 1023) / 1024 * 1024; // 1024: what swizzled tiles are aligned to
    shared_begin = shared_pages + PAGE + SHARED_SPAN - room;
    shared_bytes = bytes;
    memset(shared_begin, 0xff, room); // NaN
    for (const shared_piece &p : pieces)
        memset(shared_pages + 2 * PAGE + SHARED_SPAN + p.at, 0xff, p.bytes);
    pieces.clear();
    pieces_end = 0;
}

void *shared_dynamic()
{
    return shared_begin;
}

void *shared_static(const void *key, size_t bytes, size_t align)
{
    char *base = shared_pages + 2 * PAGE + SHARED_SPAN;
    for (const shared_piece &p : pieces)
        if (p.key == key)
            return base + p.at;
    const size_t at =
        (pieces_end + 64 + align - 1) / align * align; // 64: no neighbour within reach
    if (at + bytes > SHARED_SPAN || bytes > 48 * 1024)
        fail("%zu bytes of static shared memory: at most 48 KiB", bytes);
    pieces.push_back({key, at, bytes});
    pieces_end = at + bytes;
    memset(base + at, 0xff, bytes);
    return base + at;
}

/* Whether shared memory has these bytes. */
bool shared_holds(const char *at, size_t bytes)
{
    if (at >= shared_begin && at + bytes <= shared_begin + shared_bytes)
        return true;
    const char *base = shared_pages + 2 * PAGE + SHARED_SPAN;
    for (const shared_piece &p : pieces)
        if (at >= base + p.at && at + bytes <= base + p.at + p.bytes)
            return true;
    return false;
}

/* ---- cp.async: the seed says whether it happens when it is issued, or not before its wait */

static void copy_move(const copy &c)
{
    memcpy(c.to, c.from, c.take);
    memset(c.to + c.take, 0, (size_t)c.bytes - c.take);
}

void copy_async(void *to, const void *from, int bytes, int take)
{
    if ((uintptr_t)to % (unsigned)bytes || (uintptr_t)from % (unsigned)bytes)
        fail("cp.async of %d bytes: addresses that are not multiples of it", bytes);
    if (!shared_holds((char *)to, (size_t)bytes))
        fail("cp.async writes %d bytes outside shared memory", bytes);
    const char *why;
    if (take && !device_holds(from, (size_t)take, &why))
        fail("cp.async reads %d bytes of %s", take, why);
    copy c = {(char *)to, (const char *)from, (uint16_t)bytes, (uint16_t)take,
              seed && random(2) == 0};
    if (checked)
        check_pending(c, self);
    if (c.early)
        copy_move(c);
    self->copies.push_back(c);
}

void copy_commit()
{
    self->groups.push_back(self->copies.size());
}

/* The first `groups` groups and copies up to `end` have landed. */
static void land(size_t groups, size_t end)
{
    lane *l = self;
    for (size_t i = 0; i < end; i++) {
        if (!l->copies[i].early)
            copy_move(l->copies[i]);
        if (checked)
            check_landed(l->copies[i], l, false);
    }
    l->copies.erase(l->copies.begin(), l->copies.begin() + (long)end);
    l->groups.erase(l->groups.begin(), l->groups.begin() + (long)groups);
    for (size_t &g : l->groups)
        g -= end;
}

void copy_wait(size_t left)
{
    const size_t all = self->groups.size();
    if (all > left)
        land(all - left, self->groups[all - left - 1]);
}

void copy_wait_all()
{
    land(self->groups.size(), self->copies.size());
}
} // namespace emu
