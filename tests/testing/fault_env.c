/* The table of base/env.h with a fault before each call. Walks over all faults, and the table of
 * their outcomes. */
#include "base/bytes.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/fault.h"
#include "testing/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

static const struct env *below;
static _Atomic int64_t monotonic_added_ns, wall_added_ns;

/* Whether the call fails; errno says how. */
static bool fails(enum fault_call call, const char *path, int fd, size_t *len)
{
    const int error = fault_decide(call, path, fd, len);
    if (error)
        errno = error;
    return error;
}

static int64_t monotonic_ns(void)
{
    return below->monotonic_ns() + monotonic_added_ns;
}

static int64_t wall_ns(void)
{
    return below->wall_ns() + wall_added_ns;
}

static void sleep_ms(int64_t ms)
{
    below->sleep_ms(ms);
}

static ssize_t draw(void *to, size_t len)
{
    return fails(FAULT_RANDOM, NULL, -1, NULL) ? -1 : below->random(to, len);
}

static int open_file(const char *path, int flags, mode_t mode)
{
    const bool reads = (flags & O_ACCMODE) == O_RDONLY;
    return fails(reads ? FAULT_READ : FAULT_OPEN, path, -1, NULL) ? -1
                                                                  : below->open(path, flags, mode);
}

static ssize_t read_some(int fd, void *to, size_t len)
{
    return fails(FAULT_READ, NULL, fd, NULL) ? -1 : below->read(fd, to, len);
}

static ssize_t read_at(int fd, void *to, size_t len, off_t at)
{
    return fails(FAULT_READ, NULL, fd, NULL) ? -1 : below->pread(fd, to, len, at);
}

static ssize_t write_some(int fd, const void *from, size_t len)
{
    return fails(FAULT_WRITE, NULL, fd, &len) ? -1 : below->write(fd, from, len);
}

static ssize_t write_at(int fd, const void *from, size_t len, off_t at)
{
    return fails(FAULT_WRITE, NULL, fd, &len) ? -1 : below->pwrite(fd, from, len, at);
}

static int sync_file(int fd)
{
    return fails(FAULT_SYNC, NULL, fd, NULL) ? -1 : below->sync(fd);
}

static int sync_data(int fd)
{
    return fails(FAULT_SYNC, NULL, fd, NULL) ? -1 : below->sync_data(fd);
}

static int truncate_file(int fd, off_t len)
{
    return fails(FAULT_TRUNCATE, NULL, fd, NULL) ? -1 : below->truncate(fd, len);
}

static int reserve(int fd, off_t at, off_t len)
{
    return fails(FAULT_WRITE, NULL, fd, NULL) ? -1 : below->reserve(fd, at, len);
}

static int rename_file(const char *from, const char *to)
{
    return fails(FAULT_RENAME, from, -1, NULL) ? -1 : below->rename(from, to);
}

static int link_file(const char *from, const char *to)
{
    return fails(FAULT_LINK, to, -1, NULL) ? -1 : below->link(from, to);
}

static int link_name(const char *target, const char *path)
{
    return fails(FAULT_LINK, path, -1, NULL) ? -1 : below->symlink(target, path);
}

static int remove_file(const char *path)
{
    return fails(FAULT_REMOVE, path, -1, NULL) ? -1 : below->remove(path);
}

static int make_directory(const char *path, mode_t mode)
{
    return fails(FAULT_DIRECTORY, path, -1, NULL) ? -1 : below->make_directory(path, mode);
}

void fault_clock(int64_t monotonic_ms, int64_t wall_ms)
{
    monotonic_added_ns += monotonic_ms * 1000000;
    wall_added_ns += wall_ms * 1000000;
}

void fault_begin(void)
{
    static const struct env failing = {
        .monotonic_ns = monotonic_ns,
        .wall_ns = wall_ns,
        .sleep_ms = sleep_ms,
        .random = draw,
        .open = open_file,
        .read = read_some,
        .pread = read_at,
        .write = write_some,
        .pwrite = write_at,
        .sync = sync_file,
        .sync_data = sync_data,
        .truncate = truncate_file,
        .reserve = reserve,
        .rename = rename_file,
        .link = link_file,
        .symlink = link_name,
        .remove = remove_file,
        .make_directory = make_directory,
    };
    fault_set(NULL);
    if (env() != &failing) // a test that failed in between has left it
        below = env_replace(&failing);
}

void fault_end(void)
{
    fault_set(NULL);
    monotonic_added_ns = wall_added_ns = 0;
    env_replace(below);
}

/* ---- a walk over all faults */

/* Ways to fail: one call with EIO, all from one on with ENOSPC, a write after half of its bytes. */
static bool next_way(struct fault *fault)
{
    if (!fault->lasting && !fault->half) {
        fault->lasting = true;
        fault->error = ENOSPC;
        return true;
    }
    if (fault->lasting && fault->call == FAULT_WRITE) {
        fault->lasting = false;
        fault->half = true;
        return true;
    }
    return false;
}

bool fault_next(struct fault_walk *walk)
{
    struct fault *fault = &walk->fault;
    if (!walk->begun)
        *fault = (struct fault){.call = FAULT_OPEN, .error = EIO};
    else if (!walk->reached) {
        fault->nth = 0;
        if (!next_way(fault))
            *fault = (struct fault){.call = fault->call + 1, .error = EIO};
    }
    walk->begun = true;
    walk->reached = false;
    fault->path = walk->path;
    fault->nth++;
    if (fault->call >= FAULT_RANDOM)
        return false;
    fault_set(fault);
    return true;
}

bool fault_stop(struct fault_walk *walk)
{
    walk->reached = fault_hit();
    walk->points += walk->reached;
    fault_set(NULL);
    return walk->reached;
}

/* ---- what became of them */

void fault_note(struct fault_row *row, enum fault_call call, enum fault_outcome outcome)
{
    row->seen[call] |= outcome;
}

void fault_row_assert(const struct fault_row *row)
{
    static const char *const words[] = {"", "old", "new", "old or new", "passed over"};
    SCOPED_VALUE(bytes) line = {0};
    SCOPED_VALUE(bytes) page = {0};
    bytes_printf(&line, "\n| %s |", row->place);
    for (int i = FAULT_OPEN; i < FAULT_RANDOM; i++) {
        const unsigned seen = row->seen[i];
        bytes_printf(&line, " %s%s%s |", words[seen & (FAULT_OLD | FAULT_NEW)],
                     seen > FAULT_PASSED ? ", " : "", seen & FAULT_PASSED ? "passed over" : "");
    }
    bytes_printf(&line, "\n");
    assert_ok(file_read(TEST_GOLDEN "/../../ARCHITECTURE.md", 1 << 20, &page));
    bytes_u8(&page, 0);
    if (!strstr((char *)page.data, (char *)line.data))
        fail_msg("ARCHITECTURE.md has not this row:%s", (char *)line.data);
}

void fault_error_assert(err_t e, const char *part, const char *other)
{
    const char *message = err_message(e);
    if (!err_failed(e) || strchr(message, '\n') || !strstr(message, part) ||
        (other && !strstr(message, other)))
        fail_msg("wanted one line with '%s' and '%s', after %s: %s", part, other ? other : "",
                 fault_place(), message);
    err_free(e);
}
