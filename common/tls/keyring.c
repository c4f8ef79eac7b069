#include "tls/keyring.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "tls/keyset.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX_BYTES = 256 << 10, LOOK_EVERY_MS = 1000, TRIES = 5 };
static const char *const files[KEYS_FILES] = {"tls.crt", "tls.key", "ca.crt"};

/* The system's view of the three files. If it is the same before and after they were read, they are
 * of one moment. Kubernetes swaps a link to all three, so each is another file then. */
struct seen {
    struct {
        dev_t device;
        ino_t inode;
        off_t len;
        struct timespec changed, written;
    } at[KEYS_FILES];
};

struct tls_keys {
    char *directory;
    pthread_mutex_t mutex; // of what follows
    struct tls_set *set;
    struct seen seen, refused; // of the set, and of the last that was none
    err_t fault;               // of refused; nobody has been told yet
    bool stays;                // refused was seen twice: its fault is told
    bool renewed;              // and nobody has been told
    int64_t looked_ms;
    uint64_t generations;
};

static bool look(const char *directory, struct seen *ret)
{
    memset(ret, 0, sizeof *ret);
    for (int i = 0; i < KEYS_FILES; i++) {
        struct stat stat_of;
        SCOPED_MEM char *path = file_join(directory, files[i]);
        if (stat(path, &stat_of))
            return false;
        ret->at[i].device = stat_of.st_dev;
        ret->at[i].inode = stat_of.st_ino;
        ret->at[i].len = stat_of.st_size;
        ret->at[i].changed = stat_of.st_ctim;
        ret->at[i].written = stat_of.st_mtim;
    }
    return true;
}

static bool same(const struct seen *a, const struct seen *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static err_t read_files(const char *directory, struct bytes ret[KEYS_FILES])
{
    for (int i = 0; i < KEYS_FILES; i++) {
        SCOPED_MEM char *path = file_join(directory, files[i]);
        bytes_clear(&ret[i]);
        TRY(file_read(path, FILE_MAX_BYTES, &ret[i]));
        if (!ret[i].len || memchr(ret[i].data, '\0', ret[i].len))
            return err_new(ERR_INVALID, "%s: %s", path,
                           ret[i].len ? "a byte 0 is in it" : "it is empty");
    }
    return OK;
}

/* Three files of one moment; *ret_seen: how the system saw them. */
static err_t read_together(const char *directory, struct bytes ret[KEYS_FILES],
                           struct seen *ret_seen)
{
    err_t e = OK;
    for (int i = 0; i < TRIES; i++) {
        struct seen before, after;
        const bool there = look(directory, &before);
        err_free(e);
        e = read_files(directory, ret); // says which is missing
        *ret_seen = before;
        if (there && look(directory, &after) && same(&before, &after))
            return e;
    }
    return err_failed(e) ? e : err_new(ERR_UNAVAILABLE, "%s: the files go on changing", directory);
}

static err_t read_set(struct tls_keys *keys, struct seen *ret_seen, struct tls_set **ret)
{
    struct bytes text[KEYS_FILES] = {0};
    err_t e = read_together(keys->directory, text, ret_seen);
    if (!err_failed(e))
        e = tls_set_new(keys->directory, text, keys->generations + 1, ret);
    for (int i = 0; i < KEYS_FILES; i++)
        bytes_done(&text[i]);
    return e;
}

err_t tls_keys_open(const char *directory, struct tls_keys **ret)
{
    SCOPED(tls_keys) keys = mem_new(sizeof *keys);
    pthread_mutex_init(&keys->mutex, NULL);
    keys->directory = mem_string(directory);
    TRY(read_set(keys, &keys->seen, &keys->set));
    keys->generations = 1;
    keys->looked_ms = clock_ms();
    *ret = STEAL(keys);
    return OK;
}

void tls_keys_free(struct tls_keys *keys)
{
    if (!keys)
        return;
    tls_set_unref(keys->set);
    err_free(keys->fault);
    pthread_mutex_destroy(&keys->mutex);
    free(keys->directory);
    free(keys);
}

const char *tls_keys_directory(const struct tls_keys *keys)
{
    return keys->directory;
}

/* mutex held. Files that are written one after the other do not fit for a moment. So a fault is
 * told only when the next look still sees the same files. */
static void renew(struct tls_keys *keys)
{
    struct seen seen;
    struct tls_set *set = NULL;
    if (look(keys->directory, &seen) && same(&seen, &keys->seen))
        return;
    const err_t e = read_set(keys, &seen, &set);
    if (!err_failed(e)) {
        tls_set_unref(keys->set);
        keys->set = set;
        keys->seen = seen;
        keys->generations++;
        keys->renewed = true;
        err_free(keys->fault);
        keys->fault = OK;
        keys->refused = (struct seen){0};
        return;
    }
    if (same(&seen, &keys->refused)) {
        keys->stays = true;
        err_free(e);
        return;
    }
    keys->refused = seen;
    keys->stays = false;
    err_free(keys->fault);
    keys->fault = e;
}

struct tls_set *tls_keys_now(struct tls_keys *keys, err_t *ret_why)
{
    const int64_t now = clock_ms();
    pthread_mutex_lock(&keys->mutex);
    if (now - keys->looked_ms >= LOOK_EVERY_MS) {
        keys->looked_ms = now;
        renew(keys);
    }
    if (ret_why) {
        *ret_why = keys->stays ? keys->fault : OK;
        keys->fault = keys->stays ? OK : keys->fault;
    }
    struct tls_set *set = tls_set_ref(keys->set);
    pthread_mutex_unlock(&keys->mutex);
    return set;
}

bool tls_keys_renewed(struct tls_keys *keys)
{
    pthread_mutex_lock(&keys->mutex);
    const bool renewed = keys->renewed;
    keys->renewed = false;
    pthread_mutex_unlock(&keys->mutex);
    return renewed;
}
