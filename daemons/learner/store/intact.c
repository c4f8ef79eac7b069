#include "learner/store/intact.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "learner/store/logfile.h"
#include <stdlib.h>
#include <string.h>

enum { CURRENT_MAX = 256 };

/* Where a log cannot be read, for mending. */
struct place {
    char *path; // NULL: none
    uint64_t at;
};

static void place_done(struct place *place)
{
    mem_free(STEAL(place->path));
}

static void put_place(struct place *place, const char *path, uint64_t at)
{
    place_done(place);
    *place = (struct place){mem_string(path), at};
}

static err_t damaged(struct place *place, const char *path, uint64_t at, const char *what)
{
    put_place(place, path, at);
    return err_new(ERR_DATA_LOSS, "'%s' is damaged at byte %llu: %s", path, (unsigned long long)at,
                   what);
}

/* A CURRENT that names no manifest is RocksDB's to refuse. */
static err_t check_manifest(const char *dir, struct place *place)
{
    SCOPED_MEM char *current = file_join(dir, "CURRENT");
    SCOPED_VALUE(bytes) name = {0};
    if (!file_exists(current))
        return OK;
    TRY(file_read(current, CURRENT_MAX, &name));
    bytes_u8(&name, 0);
    ((char *)name.data)[strcspn((char *)name.data, "\n")] = 0;
    SCOPED_MEM char *path = file_join(dir, (char *)name.data);
    if (strchr((char *)name.data, '/') || !file_exists(path))
        return OK;
    struct logfile log;
    TRY(logfile_scan(path, false, &log));
    return log.damage ? damaged(place, path, log.at, log.damage) : OK;
}

/* ---- write-ahead logs */

struct logs {
    uint64_t *number; // ascending
    size_t count;
    bool tables; // there are other files with data
};

static void logs_done(struct logs *logs)
{
    mem_free(logs->number);
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static err_t list_logs(const char *dir, struct logs *ret)
{
    SCOPED_VALUE(file_names) names = {0};
    err_t failed = file_names(dir, &names);
    if (err_code(failed) == ERR_NOT_FOUND) {
        err_free(failed);
        return OK;
    }
    TRY(failed);
    for (size_t i = 0; i < names.count; i++) {
        char *end, *name = names.at[i];
        const uint64_t number = strtoull(name, &end, 10);
        ret->tables |= end != name && strcmp(end, ".sst") == 0;
        if (end == name || strcmp(end, ".log") != 0)
            continue;
        ret->number = mem_grow(ret->number, ret->count + 1, sizeof *ret->number);
        ret->number[ret->count++] = number;
    }
    if (ret->count)
        qsort(ret->number, ret->count, sizeof *ret->number, ascending);
    return OK;
}

/* A log may end torn if it is the last, or if the next goes on where it breaks off: that one was
 * begun by a recovery. */
static err_t check_logs(const char *dir, const struct logs *logs, struct place *place,
                        uint64_t *ret_last)
{
    struct logfile before = {0};
    SCOPED_MEM char *path_before = NULL;
    for (size_t i = 0; i < logs->count; i++) {
        SCOPED_MEM char *path =
            mem_printf("%s/%06llu.log", dir, (unsigned long long)logs->number[i]);
        struct logfile log;
        TRY(logfile_scan(path, true, &log));
        if (log.damage)
            return damaged(place, path, log.at, log.damage);
        const bool follows = log.first == before.last + 1;
        if (log.first && before.torn && !follows)
            return damaged(place, path_before, before.at,
                           "a damaged record, and a log goes on behind it");
        if (log.first && before.last && !follows)
            return damaged(place, path, 0, "batches are missing before it");
        if (!log.first && !log.torn)
            continue;
        if (log.torn)
            put_place(place, path, log.at);
        before = log;
        mem_free(path_before);
        path_before = STEAL(path);
        *ret_last = log.last ? log.last : *ret_last;
    }
    return OK;
}

/* *place: also where the newest log ends torn, which is no error. */
static err_t check(const char *dir, struct place *place, uint64_t *ret_last)
{
    SCOPED_VALUE(logs) logs = {0};
    SCOPED_MEM char *current = file_join(dir, "CURRENT");
    *ret_last = 0;
    TRY(list_logs(dir, &logs));
    TRY(err_reason(check_manifest(dir, place), STORE_BEHIND));
    TRY(err_reason(check_logs(dir, &logs, place, ret_last), STORE_BEHIND));
    if ((logs.tables || *ret_last) && !file_exists(current))
        return err_new(ERR_DATA_LOSS, "'%s' is gone, but not what it leads to", current);
    return OK;
}

err_t intact_check(const char *dir, uint64_t *ret_last)
{
    SCOPED_VALUE(place) place = {0};
    return check(dir, &place, ret_last);
}

/* ---- mending */

static err_t flip_back(const char *path, const struct logfile_flip *flip)
{
    SCOPED_MEM char *kept = mem_printf("%s.damaged", path);
    SCOPED_VALUE(bytes) all = {0};
    TRY(file_read(path, SIZE_MAX, &all));
    if (!file_exists(kept))
        TRY(file_write(kept, all.data, all.len));
    all.data[flip->byte] ^= flip->mask;
    return file_write(path, all.data, all.len);
}

err_t intact_mend(const char *dir, bool apply, FILE *out, int *ret_bits)
{
    for (*ret_bits = 0;; ++*ret_bits) {
        SCOPED_VALUE(place) place = {0};
        struct logfile_flip flip;
        uint64_t last;
        err_t why = check(dir, &place, &last);
        if (!place.path)
            return why;
        err_t failed = logfile_find_flip(place.path, place.at, &flip);
        if (err_failed(failed) && !err_failed(why)) {
            err_free(failed); // a torn end
            return OK;
        }
        err_free(why);
        TRY(failed);
        if (!apply) {
            *ret_bits = 1;
            return OK;
        }
        if (out)
            fprintf(out, "mended: bit mask 0x%02x of byte %llu of '%s'; as it was: '%s.damaged'\n",
                    flip.mask, (unsigned long long)flip.byte, place.path, place.path);
        TRY(flip_back(place.path, &flip));
    }
}
