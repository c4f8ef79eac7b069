#include "learner/store/logfile.h"
#include "base/crc32c.h"
#include "base/env.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks of 32 KiB hold records: crc32c (4 bytes), length (2), type (1), payload, all
 * little-endian. A batch is one record, or fragments of it; it begins with its sequence number (8)
 * and the count of its entries (4). */
enum { BLOCK = 32 << 10, HEADER = 7, BATCH_HEADER = 12 };
enum { FULL = 1, FIRST = 2, MIDDLE = 3, LAST = 4 };

struct scan {
    struct crc32c crc;
    const uint8_t *block;
    size_t len;     // of the block; the last one is shorter
    uint64_t begin; // of the block in the file
    bool batches;
    bool open;                    // a batch has begun and not ended
    uint8_t header[BATCH_HEADER]; // of the open batch
    size_t header_len;
    struct logfile *log;
};

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* ---- checksums */

static uint32_t checksum(const struct scan *scan, const uint8_t *record, uint8_t type, size_t len)
{
    return ~crc32c_add(&scan->crc, crc32c_add(&scan->crc, UINT32_MAX, &type, 1), record + HEADER,
                       len);
}

static bool matches(const struct scan *scan, const uint8_t *record, uint8_t type, size_t len)
{
    return le32(record) == crc32c_masked(checksum(scan, record, type, len));
}

/* ---- one record */

static size_t payload_of(const uint8_t *record)
{
    return (size_t)record[4] | (size_t)record[5] << 8;
}

static bool is_valid(const struct scan *scan, const uint8_t *record, size_t left)
{
    const uint8_t type = record[6];
    const size_t len = payload_of(record);
    return type >= FULL && type <= LAST && HEADER + len <= left && matches(scan, record, type, len);
}

static bool begins_batch(const uint8_t *record)
{
    return record[6] == FULL || record[6] == FIRST;
}

/* A checksum that fits another type, or the length up to the file's end, shows a record that was
 * whole once. */
static bool was_whole(const struct scan *scan, const uint8_t *record, size_t left)
{
    const size_t len = payload_of(record);
    for (uint8_t type = FULL; type <= LAST; type++)
        if ((HEADER + len <= left && matches(scan, record, type, len)) ||
            matches(scan, record, type, left - HEADER))
            return true;
    return false;
}

/* Whether a batch begins anywhere behind a record that cannot be read: records may be out of step
 * there. */
static bool batch_follows(const struct scan *scan, const uint8_t *from, size_t left)
{
    for (; left >= HEADER; from++, left--)
        if (is_valid(scan, from, left) && begins_batch(from))
            return true;
    return false;
}

/* ---- batches */

static void unreadable(struct scan *scan, size_t at, const char *damage)
{
    struct logfile *log = scan->log;
    if (!log->torn)
        log->at = scan->begin + at;
    log->torn = true;
    if (!log->damage)
        log->damage = damage;
    scan->open = false;
}

static void end_batch(struct scan *scan, size_t at)
{
    struct logfile *log = scan->log;
    scan->open = false;
    if (!scan->batches)
        return;
    const uint64_t sequence = le64(scan->header);
    const uint32_t count = le32(scan->header + 8);
    if (scan->header_len == BATCH_HEADER && !count)
        return; // RocksDB's own, after it recovered from damage
    if (scan->header_len < BATCH_HEADER || !sequence)
        unreadable(scan, at, "a batch without a sequence number");
    else if (log->last && sequence != log->last + 1)
        unreadable(scan, at, "batches are missing before it");
    else if (!log->last)
        log->first = sequence;
    if (!log->torn)
        log->last = sequence + count - 1;
}

static void take_record(struct scan *scan, size_t at)
{
    const uint8_t *record = scan->block + at;
    const uint8_t type = record[6];
    if (scan->log->torn) {
        if (begins_batch(record))
            unreadable(scan, at, "a damaged record with intact ones behind it");
        return;
    }
    if (begins_batch(record) == scan->open) {
        unreadable(scan, at, "a record out of order");
        return;
    }
    if (begins_batch(record))
        scan->header_len = 0;
    scan->open = true;
    const size_t len = payload_of(record), want = BATCH_HEADER - scan->header_len;
    memcpy(scan->header + scan->header_len, record + HEADER, len < want ? len : want);
    scan->header_len += len < want ? len : want;
    if (type == FULL || type == LAST)
        end_batch(scan, at);
}

static void scan_block(struct scan *scan)
{
    size_t at = 0;
    while (scan->len - at >= HEADER) {
        const uint8_t *record = scan->block + at;
        const size_t left = scan->len - at;
        if (is_valid(scan, record, left)) {
            take_record(scan, at);
            at += HEADER + payload_of(record);
            continue;
        }
        const char *damage = NULL;
        if (was_whole(scan, record, left))
            damage = "a record with a damaged header";
        else if (!scan->batches && HEADER + payload_of(record) <= left)
            damage = "a damaged record"; // a torn one is shorter than it says
        else if (batch_follows(scan, record + 1, left - 1))
            damage = "a damaged record with intact ones behind it";
        unreadable(scan, at, damage);
        return;
    }
    if (at < scan->len && scan->len < BLOCK)
        unreadable(scan, at, NULL); // less than a header: torn
}

/* ---- the file */

/* Up to `len` bytes; fewer at the file's end. */
static err_t read_block(int fd, const char *path, uint8_t *block, size_t len, size_t *ret)
{
    *ret = 0;
    while (*ret < len) {
        const ssize_t got = env()->read(fd, block + *ret, len - *ret);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(errno, "cannot read '%s'", path);
        if (got == 0)
            break;
        *ret += (size_t)got;
    }
    return OK;
}

err_t logfile_scan(const char *path, bool batches, struct logfile *ret)
{
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_CLOEXEC, 0);
    struct stat status;
    if (fd < 0 || fstat(fd, &status))
        return err_errno(errno, "cannot open '%s'", path);
    SCOPED_MEM uint8_t *block = mem_array(BLOCK, 1);
    struct logfile log = {0};
    struct scan scan = {.block = block, .batches = batches, .log = &log};
    crc32c_init(&scan.crc);
    /* A writer may append meanwhile: what it adds is not looked at. */
    for (uint64_t left = (uint64_t)status.st_size; left; left -= scan.len) {
        TRY(read_block(fd, path, block, left < BLOCK ? (size_t)left : BLOCK, &scan.len));
        if (!scan.len)
            break;
        scan_block(&scan);
        scan.begin += scan.len;
    }
    if (scan.open)
        unreadable(&scan, 0, NULL);
    *ret = log;
    return OK;
}

/* ---- one flipped bit */

static bool found(struct logfile_flip *ret, size_t byte, unsigned bit)
{
    *ret = (struct logfile_flip){byte, (uint8_t)(1U << bit)};
    return true;
}

/* The bit whose change explains a difference of checksums: what it adds is carried through all
 * bytes behind it. */
static bool find_in_payload(const struct scan *scan, uint32_t difference, size_t len,
                            struct logfile_flip *ret)
{
    uint32_t added[8];
    for (unsigned bit = 0; bit < 8; bit++)
        added[bit] = scan->crc.table[0][1U << bit];
    for (size_t behind = 0; behind < len; behind++)
        for (unsigned bit = 0; bit < 8; bit++) {
            if (added[bit] == difference)
                return found(ret, HEADER + len - 1 - behind, bit);
            added[bit] = added[bit] >> 8 ^ scan->crc.table[0][added[bit] & 0xff];
        }
    return false;
}

/* In the checksum, the length, the type or the payload; *ret: from the record's beginning. */
static bool find_flip(const struct scan *scan, const uint8_t *record, size_t left,
                      struct logfile_flip *ret)
{
    const size_t len = payload_of(record);
    const uint8_t type = record[6];
    for (unsigned bit = 0; bit < 16; bit++)
        if (HEADER + (len ^ 1U << bit) <= left && matches(scan, record, type, len ^ 1U << bit))
            return found(ret, 4 + bit / 8, bit % 8);
    if (HEADER + len > left)
        return false;
    for (unsigned bit = 0; bit < 8; bit++)
        if (matches(scan, record, type ^ (uint8_t)(1U << bit), len))
            return found(ret, 6, bit);
    const uint32_t is = checksum(scan, record, type, len);
    for (unsigned bit = 0; bit < 32; bit++)
        if ((crc32c_masked(is) ^ le32(record)) == 1U << bit)
            return found(ret, bit / 8, bit % 8);
    return find_in_payload(scan, is ^ crc32c_unmasked(le32(record)), len, ret);
}

err_t logfile_find_flip(const char *path, uint64_t at, struct logfile_flip *ret)
{
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_CLOEXEC, 0);
    const size_t in_block = (size_t)(at % BLOCK);
    SCOPED_MEM uint8_t *block = mem_array(BLOCK, 1);
    struct scan scan = {.block = block, .begin = at - in_block};
    if (fd < 0 || lseek(fd, (off_t)scan.begin, SEEK_SET) < 0)
        return err_errno(errno, "cannot open '%s'", path);
    crc32c_init(&scan.crc);
    TRY(read_block(fd, path, block, BLOCK, &scan.len));
    if (scan.len < in_block + HEADER ||
        !find_flip(&scan, block + in_block, scan.len - in_block, ret))
        return err_new(ERR_DATA_LOSS, "'%s' at byte %llu: more than one bit is damaged", path,
                       (unsigned long long)at);
    ret->byte += at;
    return OK;
}
