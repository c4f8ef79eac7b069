/* Device memory is host memory between pages that are not there. It is full of NaN, and is never
 * given out twice. */
#include "cuda_emu_count.h"
#include "runtime.h"
#include <algorithm>
#include <map>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace emu
{
char *arena_begin, *arena_end;
static char *arena_next;
enum : size_t { PAGE = 4096, UNIT = 256 };
struct piece {
    size_t bytes;
    bool freed;
};
static std::map<const char *, piece> pieces;
static std::map<void *, size_t> host_pieces;
/* Bytes that are allocated, and the most since none were. */
struct usage {
    size_t bytes, most;
    void add(size_t more)
    {
        most = std::max(bytes ? most : 0, bytes + more);
        bytes += more;
    }
};
static usage device, pinned;
std::atomic<uint64_t> memory_calls, waits, launches;

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void arena_make()
{
    if (arena_begin)
        return;
    arena_begin =
        (char *)mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena_begin == MAP_FAILED)
        fail("no room for device memory");
    arena_end = arena_begin + ARENA;
    arena_next = arena_begin + PAGE;
    check_memory(true);
}

static const piece *piece_of(const char *at, const char **ret_begin)
{
    static const char *last;
    static const piece *last_piece;
    if (last && at >= last && at < last + last_piece->bytes && !last_piece->freed) {
        *ret_begin = last;
        return last_piece;
    }
    auto next = pieces.upper_bound(at);
    if (next == pieces.begin())
        return NULL;
    --next;
    *ret_begin = last = next->first;
    return last_piece = &next->second;
}

bool device_holds(const void *at_, size_t bytes, const char **ret_why)
{
    static char why[200];
    const char *at = (const char *)at_, *begin = NULL;
    *ret_why = why;
    if (at < arena_begin || at >= arena_end) {
        snprintf(why, sizeof why, "%p, which is not device memory", at_);
        return false;
    }
    const piece *p = piece_of(at, &begin);
    if (p && !p->freed && at + bytes <= begin + p->bytes)
        return true;
    if (!p)
        snprintf(why, sizeof why, "device memory that nobody allocated");
    else
        snprintf(why, sizeof why, "byte %zd of an allocation of %zu bytes%s", at - begin, p->bytes,
                 p->freed ? " that was freed" : "");
    return false;
}

void device_check(const void *at, size_t bytes, const char *call)
{
    const char *why;
    if (bytes && !device_holds(at, bytes, &why))
        fail("%s: %zu bytes at %s", call, bytes, why);
}

void slack_check()
{
    for (const auto &[begin, p] : pieces)
        for (size_t i = p.bytes; !p.freed && i % UNIT; i++)
            if ((unsigned char)begin[i] != 0xff)
                fail("something wrote behind an allocation of %zu bytes, at byte %zu", p.bytes, i);
}

void memory_reset()
{
    pieces.clear();
    device = {};
    if (arena_begin) {
        check_memory(false);
        munmap(arena_begin, ARENA);
    }
    arena_begin = arena_end = arena_next = NULL;
}

/* Its end is at a page that is not there, up to UNIT. */
static cudaError_t piece_new(void **ret, size_t bytes)
{
    arena_make();
    const size_t room = round_up(bytes, UNIT), all = round_up(room, PAGE);
    if (memory_ends_now() || bytes > settings.memory || device.bytes + room > settings.memory)
        return cudaErrorMemoryAllocation;
    if (arena_next + all + PAGE > arena_end)
        fail("one process allocated more than %zu GiB in all", ARENA >> 30);
    if (mprotect(arena_next, all, PROT_READ | PROT_WRITE))
        fail("the system has no more areas of memory for allocations");
    char *at = arena_next + all - room;
    arena_next += all + PAGE;
    device.add(room);
    memset(at, 0xff, room);
    pieces[at] = {bytes, false};
    *ret = at;
    return cudaSuccess;
}

static void piece_free(void *at)
{
    auto p = pieces.find((const char *)at);
    if (p == pieces.end() || p->second.freed)
        fail("cudaFree of %p, which is not allocated", at);
    const size_t room = round_up(p->second.bytes, UNIT);
    char *page = (char *)((uintptr_t)at & ~(uintptr_t)(PAGE - 1));
    p->second.freed = true;
    device.bytes -= room;
    madvise(page, round_up(room, PAGE), MADV_DONTNEED);
    mprotect(page, round_up(room, PAGE), PROT_NONE);
}
} // namespace emu
using namespace emu;

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    return call([&] {
        *ret_free = memory_is_gone() ? 0 : settings.memory - device.bytes;
        *ret_total = settings.memory;
        return cudaSuccess;
    });
}

cudaError_t cudaMalloc(void **ret, size_t bytes)
{
    return call([&] {
        memory_calls++;
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        if (bytes)
            return piece_new(ret, bytes);
        *ret = NULL;
        return cudaSuccess;
    });
}

cudaError_t cudaFree(void *at)
{
    return call([&] {
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        drain_all();
        slack_check();
        memory_calls += at != NULL;
        if (at)
            piece_free(at);
        return cudaSuccess;
    });
}

cudaError_t cudaHostAlloc(void **ret, size_t bytes, unsigned)
{
    return call([&] {
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        void *at = malloc(bytes ? bytes : 1);
        memory_calls++;
        if (!at)
            return cudaErrorMemoryAllocation;
        host_pieces[at] = bytes;
        pinned.add(bytes);
        *ret = at;
        return cudaSuccess;
    });
}

cudaError_t cudaMallocHost(void **ret, size_t bytes)
{
    return cudaHostAlloc(ret, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *at)
{
    return call([&] {
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        drain_all();
        memory_calls += at != NULL;
        const auto piece = host_pieces.find(at);
        if (at && piece == host_pieces.end())
            fail("cudaFreeHost of %p, which is not allocated", at);
        if (at) {
            pinned.bytes -= piece->second;
            host_pieces.erase(piece);
        }
        free(at);
        return cudaSuccess;
    });
}

void cuda_emu_calls(struct cuda_emu_calls *ret)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    *ret = {memory_calls, waits,    device.bytes, device.most,   pinned.bytes,
            pinned.most,  launches, graphs_made,  graphs_updated};
}
