#include "sandbox/census.h"
#include "base/env.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
    pid_t pid, parent;
    long threads, pages;
    bool counts;
};

struct census {
    struct entry *at;
    size_t count;
};

/* "PID (NAME) STATE PPID ..." with the threads as field 20 and the resident pages as 24; NAME may
 * hold anything. */
static bool read_entry(const char *pid, struct entry *ret)
{
    char path[64], text[1024];
    int parent;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    SCOPED_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[len > 0 ? len : 0] = 0;
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest, ") %*c %d", &parent) != 1)
        return false;
    *ret = (struct entry){.pid = (pid_t)strtol(pid, NULL, 10), .parent = parent};
    for (int field = 2; field < 24 && rest; field++) {
        rest = strchr(rest + 1, ' ');
        if (rest && field + 1 == 20)
            ret->threads = strtol(rest, NULL, 10);
    }
    ret->pages = rest ? strtol(rest, NULL, 10) : 0;
    return true;
}

static void read_all(struct census *ret)
{
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct entry found;
        if (*entry->d_name < '1' || *entry->d_name > '9' || !read_entry(entry->d_name, &found))
            continue;
        ret->at = mem_grow(ret->at, ret->count + 1, sizeof *ret->at);
        ret->at[ret->count++] = found;
    }
    if (directory)
        closedir(directory);
}

static bool is_counted(const struct census *census, pid_t pid)
{
    for (size_t i = 0; i < census->count; i++)
        if (census->at[i].pid == pid)
            return census->at[i].counts;
    return false;
}

/* Marks those that descend from root. */
static void mark(struct census *census, pid_t root)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < census->count; i++) {
            struct entry *e = &census->at[i];
            if (!e->counts && (e->parent == root || is_counted(census, e->parent)))
                e->counts = again = true;
        }
    }
}

void census_take(pid_t root, struct usage *ret)
{
    struct census census = {0};
    *ret = (struct usage){0};
    read_all(&census);
    mark(&census, root);
    for (size_t i = 0; i < census.count; i++)
        if (census.at[i].counts) {
            ret->processes += census.at[i].threads;
            ret->memory_bytes += (uint64_t)census.at[i].pages * (uint64_t)sysconf(_SC_PAGESIZE);
        }
    mem_free(census.at);
}

void census_kill(pid_t root)
{
    struct census census = {0};
    read_all(&census);
    mark(&census, root);
    for (size_t i = 0; i < census.count; i++)
        if (census.at[i].counts)
            kill(census.at[i].pid, SIGKILL);
    mem_free(census.at);
}

/* ---- files */

enum { FILES_MAX = 16384, OPEN_DIRECTORIES = 16 };
static struct {
    uint64_t bytes;
    int files;
} found; // nftw takes no argument

static int count_file(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
    (void)path, (void)at;
    if (kind == FTW_DNR || kind == FTW_NS)
        return 0; // a file that comes and goes, or a directory that is closed to its owner, too
    found.bytes += (uint64_t)stat->st_blocks * 512;
    return ++found.files > FILES_MAX;
}

bool census_files(const char *directory, uint64_t *ret_bytes)
{
    found.bytes = 0;
    found.files = 0;
    const bool whole = nftw(directory, count_file, OPEN_DIRECTORIES, FTW_PHYS | FTW_MOUNT) == 0;
    *ret_bytes = found.bytes;
    return whole;
}

/* ---- the end of the directory */

static void clear(int top, const char *name, unsigned *moved);

/* Entries of a directory, one after another; changes meanwhile do no harm. */
static void each_entry(int directory,
                       void (*fn)(int directory, const char *name, int top, unsigned *moved),
                       int top, unsigned *moved)
{
    const int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = own < 0 ? NULL : fdopendir(own);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fn(directory, entry->d_name, top, moved);
    if (list)
        closedir(list);
}

/* A file goes, a directory moves up to the top: no path becomes long, whatever was nested. */
static void lift(int directory, const char *name, int top, unsigned *moved)
{
    char to[32]; // no name that a program could have taken
    if (unlinkat(directory, name, 0) == 0)
        return;
    snprintf(to, sizeof to, "%016llx", (unsigned long long)env()->monotonic_ns());
    fchmodat(directory, name, 0700, 0);
    *moved += renameat(directory, name, top, to) == 0;
}

static void clear_one(int directory, const char *name, int top, unsigned *moved)
{
    (void)directory;
    clear(top, name, moved);
}

static void clear(int top, const char *name, unsigned *moved)
{
    if (unlinkat(top, name, 0) == 0)
        return;
    fchmodat(top, name, 0700, 0);
    SCOPED_FD inside = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inside >= 0)
        each_entry(inside, lift, top, moved);
    unlinkat(top, name, AT_REMOVEDIR);
}

void census_remove(const char *directory)
{
    unsigned moved = 0, before;
    SCOPED_FD top = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    do {
        before = moved;
        if (top >= 0)
            each_entry(top, clear_one, top, &moved);
    } while (rmdir(directory) && moved != before);
}
