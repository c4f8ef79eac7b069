#include "testing/fault.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 128, LINK_BYTES = 512, PLACE_BYTES = 1024 };

static const char *const names[FAULT_CALLS] = {
    [FAULT_ANY] = "any",       [FAULT_OPEN] = "open",
    [FAULT_READ] = "read",     [FAULT_WRITE] = "write",
    [FAULT_SYNC] = "sync",     [FAULT_TRUNCATE] = "truncate",
    [FAULT_RENAME] = "rename", [FAULT_LINK] = "link",
    [FAULT_REMOVE] = "remove", [FAULT_DIRECTORY] = "directory",
    [FAULT_RANDOM] = "random",
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; // of all below
static struct fault current;
static char current_path[PATH_BYTES], place[PLACE_BYTES];
static uint64_t count;
static bool hit, half_done;

const char *fault_name(enum fault_call call)
{
    return names[call];
}

void fault_set(const struct fault *fault)
{
    pthread_mutex_lock(&mutex);
    current = fault ? *fault : (struct fault){0};
    snprintf(current_path, sizeof current_path, "%s", current.path ? current.path : "");
    count = 0;
    hit = half_done = false;
    *place = 0;
    pthread_mutex_unlock(&mutex);
}

bool fault_hit(void)
{
    pthread_mutex_lock(&mutex);
    const bool is = hit;
    pthread_mutex_unlock(&mutex);
    return is;
}

const char *fault_place(void)
{
    return place;
}

bool fault_parse(const char *text, struct fault *ret, char path[PATH_BYTES])
{
    char call[16], how[16];
    unsigned long long nth;
    int error;
    if (sscanf(text, "%15s %llu %d %15s %127s", call, &nth, &error, how, path) != 5)
        return false;
    *ret = (struct fault){.path = path,
                          .nth = nth,
                          .error = error,
                          .half = strcmp(how, "half") == 0,
                          .lasting = strcmp(how, "lasting") == 0};
    for (int i = 0; i < FAULT_CALLS; i++)
        if (strcmp(call, names[i]) == 0) {
            ret->call = (enum fault_call)i;
            return true;
        }
    return false;
}

static bool is_of_kind(enum fault_call call)
{
    return current.call == call ||
           (current.call == FAULT_ANY && call != FAULT_READ && call != FAULT_RANDOM);
}

/* The path of an open file as the kernel has it. */
static const char *path_of(int fd, char *ret, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t len = readlink(link, ret, size - 1);
    ret[len > 0 ? len : 0] = 0;
    return ret;
}

static int decide(enum fault_call call, const char *path, size_t *len)
{
    if (half_done && call == FAULT_WRITE && strstr(place, path)) {
        half_done = false;
        return current.error;
    }
    if (!current.nth || !is_of_kind(call) || !strstr(path, current_path))
        return 0;
    count++;
    if (count < current.nth || (count > current.nth && !current.lasting))
        return 0;
    if (!hit)
        snprintf(place, sizeof place, "%s %s", names[call], path);
    hit = true;
    if (!current.half || !len || *len < 2)
        return current.error;
    *len /= 2;
    half_done = true;
    return 0;
}

int fault_decide(enum fault_call call, const char *path, int fd, size_t *len)
{
    char own[LINK_BYTES];
    pthread_mutex_lock(&mutex);
    const bool active = current.nth;
    pthread_mutex_unlock(&mutex);
    if (!active)
        return 0;
    const int kept = errno;
    path = path ? path : fd >= 0 ? path_of(fd, own, sizeof own) : "";
    pthread_mutex_lock(&mutex);
    const int error = decide(call, path, len);
    pthread_mutex_unlock(&mutex);
    errno = kept;
    return error;
}
