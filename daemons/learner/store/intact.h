/* Checks that a store's logs are as they were written, before RocksDB opens them and drops all that
 * it cannot read.
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

/* err_reason of a store that ends too early. Its rest is whole, and `--job salvage` goes on with
 * it. */
#define STORE_BEHIND "STORE_BEHIND"

/* Repairs a log that one flipped bit has damaged. The record's checksum proves the repair, and
 * nothing is lost. The damaged file stays as FILE.damaged. apply: else it is only tried, for the
 * first damage. Prints each step to out (NULL: nowhere). *ret_bits: bits repaired, or that can be.
 * DATA_LOSS: more than that is damaged. */
err_t intact_mend(const char *dir, bool apply, FILE *out, int *ret_bits);

/* *ret_last: the sequence number of the newest batch in the write-ahead logs; 0: they hold none. OK
 * where there is no store. */
err_t intact_check(const char *dir, uint64_t *ret_last);
