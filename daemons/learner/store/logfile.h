/* RocksDB's log format, read without RocksDB: whether a write-ahead log or a manifest is as it was
 * written.
 *
 *     struct logfile log = {0};
 *     TRY(logfile_scan("store/000012.log", true, &log));
 *     if (log.damage)                                   -- log.at says where
 *
 * RocksDB takes some flipped bits for the end of the file and silently drops the rest. The scan
 * tells such a bit from the torn end that a power failure leaves. Each batch is synced before the
 * next is written, so only the last batch can be torn. Any thread. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct logfile {
    uint64_t first,
        last;    // sequence numbers of the write-ahead log's intact batches; last 0: there is none
    uint64_t at; // byte offset of the first record that cannot be read
    bool torn;   // the file ends with a part of a batch
    const char *damage; // NULL: none; else what is wrong at `at`
};

/* batches: the file is a write-ahead log, whose sequence numbers must follow each other. Damage is
 * no error. NOT_FOUND: the file is gone; UNAVAILABLE: it cannot be read. */
err_t logfile_scan(const char *path, bool batches, struct logfile *ret);

/* The one bit that, flipped back, makes the record at byte `at` whole: its checksum proves it.
 * DATA_LOSS: there is none. */
struct logfile_flip {
    uint64_t byte; // of the file
    uint8_t mask;
};
err_t logfile_find_flip(const char *path, uint64_t at, struct logfile_flip *ret);
