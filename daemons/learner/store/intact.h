/* Whether a store's logs are as they were written, seen before RocksDB opens them: it drops what it
 * cannot read.
 *
 *     uint64_t last;
 *     TRY(intact_check("store", &last));          -- DATA_LOSS: which file, at which byte, what is wrong
 *
 * Looks at the manifest and the write-ahead logs. RocksDB checks its other files whenever it reads
 * them. Any thread. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* err_reason of a store that ends too early: what is left is whole, and `--job salvage` goes on
 * with it. */
#define STORE_BEHIND "STORE_BEHIND"

/* Puts right what one flipped bit has damaged in each log, which its checksum proves; nothing is
 * lost then. The damaged file stays as FILE.damaged. apply: else it is only tried, for the first
 * damage. Prints what it does to out (NULL: nowhere). *ret_bits: how many it put right, or could.
 * DATA_LOSS: more than that is damaged. */
err_t intact_mend(const char *dir, bool apply, FILE *out, int *ret_bits);

/* *ret_last: the sequence number of the newest batch in the write-ahead logs; 0: they hold none. OK
 * where there is no store. */
err_t intact_check(const char *dir, uint64_t *ret_last);
