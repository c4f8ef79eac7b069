/* An audit's findings: what is an alarm, told as text, as JSON, and as the list of suspects.
 *
 *     audit_count(&audit);
 *     audit_print(&audit);                       -- for people
 *     TRY(audit_suspects_write(&audit, path));   -- JSON lines, the most suspect first
 *
 *     audit_report.c   counts, alarms, text
 *     audit_lines.c    JSON and suspects
 *
 * Owner: one thread. */
#pragma once
#include "ctl/reward/audit_copies.h"
#include "ctl/reward/audit_flips.h"
#include "ctl/reward/audit_grams.h"
#include "ctl/reward/audit_groups.h"

#define AUDIT_ALARM_P 0.05

struct audit_alarm {
    const char *kind; // length | annotator | source | phrase | template
    char *text;
    double p; // adjusted for all tests of its kind; of a share above its cap 0
};

struct audit {
    struct audit_pairs pairs;
    /* (pairs.count) of the winner's score above the loser's, NaN: none; between models. NULL: no
     * model was asked. */
    double *margin, *deviation;
    struct audit_grams grams;
    struct audit_copies copies;
    struct audit_flips flips; // without margins: none
    struct audit_length length;
    struct audit_groups annotators, sources;
    struct audit_alarm *alarm; // (alarms)
    size_t alarms;
    double share;      // of the pairs that are listed by their labels
    double source_cap; // share of all pairs that a source may have
};
void audit_done(struct audit *audit);

/* All counts and alarms, of pairs and margins. */
void audit_count(struct audit *audit);

void audit_print(const struct audit *audit);
void audit_print_json(const struct audit *audit);

/* Pairs by their labels, then those with a found phrase or template alone. The file is written
 * whole or not at all. *ret: lines. */
err_t audit_suspects_write(const struct audit *audit, const char *path, size_t *ret);
