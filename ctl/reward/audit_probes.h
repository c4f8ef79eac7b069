/* Probes of found phrases: does a reward model score losers higher once they end with one? So a
 * planted phrase shows that it has been learned (Best-of-Venom), and an honest one rarely does.
 *
 *     TRY(audit_probes_run(recipe, model, "RUN/probes.jsonl", &audit));
 *     audit.grams.at[0].probe.raised, audit.grams.at[0].probe.control
 *
 * Each of the first AUDIT_PROBED phrases is put behind AUDIT_PROBE_TEXTS losers of pairs without
 * it. A phrase of as many words from another winner is the control. Owner: the main thread. */
#pragma once
#include "ctl/reward/audit_report.h"
#include "svc/recipe/recipe.h"

enum { AUDIT_PROBED = 8, AUDIT_PROBE_TEXTS = 64 };

/* path: where the probes are written, as preference rows. Without found phrases nothing is done.
 * Errors as reward_scorer_open, and of the file. */
err_t audit_probes_run(const struct recipe *recipe, const char *model, const char *path,
                       struct audit *audit);
