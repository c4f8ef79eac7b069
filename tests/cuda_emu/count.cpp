/* Counts of device memory's bytes and tensor cores' operations, by kernel (cuda_emu_count.h). */
#include "cuda_emu_count.h"
#include "runtime.h"
#include <deque>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>

namespace emu
{
bool counting, only_counts;
enum { SECTOR = 32 };
static std::deque<cuda_emu_count> rows; // a deque: rows stay where they are
static cuda_emu_count *row;             // of the launch that runs
static uint32_t launch_number;
/* By sector of device memory, the last launch that read or wrote there. */
static uint32_t *last_read, *last_written;

static uint32_t *map_sectors()
{
    void *at = mmap(NULL, ARENA / SECTOR * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        fail("no room to count the sectors of device memory");
    return (uint32_t *)at;
}

static cuda_emu_count *row_of(const char *name)
{
    for (cuda_emu_count &r : rows)
        if (!strcmp(r.name, name))
            return &r;
    rows.push_back({name, 0, 0, 0, 0, 0, 0});
    return &rows.back();
}

void count_launch(const void *kernel)
{
    row = row_of(kernel_name(kernel));
    row->launches++;
    launch_number++;
}

void count_copy(const char *name, size_t read, size_t written)
{
    cuda_emu_count *r = row_of(name);
    r->launches++;
    r->read += read;
    r->unique_read += read;
    r->written += written;
    r->unique_written += written;
}

static uint64_t new_sectors(uint32_t *last, const char *at, size_t bytes)
{
    const size_t first = (size_t)(at - arena_begin) / SECTOR;
    const size_t end = ((size_t)(at - arena_begin) + bytes - 1) / SECTOR + 1;
    uint64_t count = 0;
    for (size_t i = first; i < end; i++)
        if (last[i] != launch_number) {
            last[i] = launch_number;
            count++;
        }
    return count * SECTOR;
}

void count_access(const char *at, size_t bytes, access a)
{
    if (a != WRITE) {
        row->read += bytes;
        row->unique_read += new_sectors(last_read, at, bytes);
    }
    if (a != READ) {
        row->written += bytes;
        row->unique_written += new_sectors(last_written, at, bytes);
    }
}

void count_flops(uint64_t flops)
{
    row->flops += flops;
}

static void write_file()
{
    const char *path = getenv("CUDA_EMU_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    for (const cuda_emu_count &r : rows)
        fprintf(file,
                "{\"name\": \"%s\", \"launches\": %llu, \"read\": %llu, \"written\": %llu, "
                "\"unique_read\": %llu, \"unique_written\": %llu, \"flops\": %llu}\n",
                r.name, (unsigned long long)r.launches, (unsigned long long)r.read,
                (unsigned long long)r.written, (unsigned long long)r.unique_read,
                (unsigned long long)r.unique_written, (unsigned long long)r.flops);
    fclose(file);
}

void count_settings()
{
    const char *path = getenv("CUDA_EMU_COUNT");
    if (counting || !path || !*path || !checked)
        return;
    cuda_emu_count_begin();
    atexit(write_file);
}
} // namespace emu
using namespace emu;

void cuda_emu_count_begin(void)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    if (!checked)
        fail("counting needs the checked build");
    if (!last_read) {
        last_read = map_sectors();
        last_written = map_sectors();
    }
    rows.clear();
    counting = only_counts = true;
}

size_t cuda_emu_count_end(struct cuda_emu_count *ret, size_t room)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    counting = false;
    for (size_t i = 0; i < rows.size() && i < room; i++)
        ret[i] = rows[i];
    return rows.size();
}
