/* Reads RUN/metrics.jsonl at a start: which of its lines stay, and whether the store has all the
 * rounds that they name.
 *
 *     struct reported lines = {.branch = &branch, .first_round = 40};
 *     reported_read(&lines, &text);
 *     keep(text.data, lines.kept);                -- what follows is made again, or was torn
 *
 * The start is from a checkpoint, and lines of rounds before first_round were on disk before it. So
 * none of them can be torn: an unreadable one is damaged, and stays as it is. Any thread. */
#pragma once
#include "base/bytes.h"
#include "learner/store/history.h"
#include <stdbool.h>
#include <stdint.h>

struct reported {
    const struct branch *branch; // of the rounds that are made now
    uint64_t first_round;        // the first of them that is trained from here on
    /* found: */
    size_t kept;         // bytes of the lines that stay
    bool unended;        // the last of them lacks its newline
    bool begun;          // the branch has lines of its own among them
    double time_s;       // of the last of them; 0: none
    uint64_t damaged;    // lines that stay but cannot be read or are out of order
    uint64_t first_line; // the first damaged one, from 1
    uint64_t rounds;     // one more than the last round that lines of this lineage name
    uint32_t lineage;    // the highest of all lines
    uint32_t foreign;    // a later lineage that has several lines; 0: none
};
void reported_read(struct reported *lines, const struct bytes *text);
