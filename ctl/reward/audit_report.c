#include "ctl/reward/audit_report.h"
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/words/output.h"
#include <math.h>
#include <stdarg.h>

void audit_done(struct audit *audit)
{
    for (size_t i = 0; i < audit->alarms; i++)
        mem_free(audit->alarm[i].text);
    mem_free(audit->alarm);
    audit_groups_done(&audit->sources);
    audit_groups_done(&audit->annotators);
    audit_flips_done(&audit->flips);
    audit_copies_done(&audit->copies);
    audit_grams_done(&audit->grams);
    mem_free(audit->margin);
    mem_free(audit->deviation);
    audit_pairs_done(&audit->pairs);
}

/* "12.3 % (10.1-14.9 %)" */
static struct figure share_text(double k, double n)
{
    struct figure ret = {"-"};
    const struct interval in = share_interval(k, n);
    if (n > 0)
        snprintf(ret.text, sizeof ret.text, "%.1f %% (%.1f-%.1f)", 100 * k / n, 100 * in.low,
                 100 * in.high);
    return ret;
}

/* ---- alarms */

static void alarm_add(struct audit *audit, const char *kind, double p, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void alarm_add(struct audit *audit, const char *kind, double p, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = mem_string(kind);
    va_end(args);
    audit->alarm = mem_grow(audit->alarm, audit->alarms + 1, sizeof *audit->alarm);
    audit->alarm[audit->alarms++] = (struct audit_alarm){kind, text, p};
}

static void alarms_of_group(struct audit *audit, const char *kind, const struct audit_group *g)
{
    if (g->against_p <= AUDIT_ALARM_P)
        alarm_add(audit, kind, g->against_p,
                  "%s '%s': %s of %.0f labels are against the model, more than of the others "
                  "(p %.2g)",
                  kind, g->name, share_text(g->against, g->scored).text, g->scored, g->against_p);
    if (g->longer_p <= AUDIT_ALARM_P)
        alarm_add(audit, kind, g->longer_p,
                  "%s '%s': the longer answer wins %s of %.0f pairs, not as with the others (p "
                  "%.2g)",
                  kind, g->name, share_text(g->longer, g->compared).text, g->compared, g->longer_p);
}

static void alarms_of_sources(struct audit *audit)
{
    const double all = (double)audit->pairs.count;
    for (size_t i = 0; i < audit->sources.count; i++) {
        const struct audit_group *g = &audit->sources.at[i];
        alarms_of_group(audit, "source", g);
        if (g->pairs > audit->source_cap * all)
            alarm_add(audit, "source", 0,
                      "source '%s': %.1f %% of all pairs; allowed are %g %% (--source-share)",
                      g->name, 100 * g->pairs / all, 100 * audit->source_cap);
    }
}

static void alarms_of_texts(struct audit *audit)
{
    for (size_t i = 0; i < audit->grams.count; i++) {
        const struct audit_gram *g = &audit->grams.at[i];
        alarm_add(audit, "phrase", g->p,
                  "phrase '%s': in %.0f winners and %.0f losers alone, in %.0f %% of their prompts "
                  "(p %.2g)",
                  g->text, g->won, g->lost, 100 * g->asked, g->p);
    }
    for (size_t i = 0; i < audit->copies.count; i++) {
        const struct audit_template *t = &audit->copies.at[i];
        alarm_add(audit, "template", t->p,
                  "template '%.120s': %.0f winners and %.0f losers of %zu prompts (p %.2g)",
                  t->text, t->won, t->lost, t->prompts, t->p);
    }
}

static void find_alarms(struct audit *audit)
{
    const struct audit_flips *flips = &audit->flips;
    if (flips->listed && flips->longer_p <= AUDIT_ALARM_P)
        alarm_add(audit, "length", flips->longer_p,
                  "length: the longer answer wins %s of the suspect pairs (p %.2g); flips that do "
                  "not favour length would mirror all pairs",
                  share_text(flips->longer, flips->compared).text, flips->longer_p);
    for (size_t i = 0; i < audit->annotators.count; i++)
        alarms_of_group(audit, "annotator", &audit->annotators.at[i]);
    alarms_of_sources(audit);
    alarms_of_texts(audit);
}

void audit_count(struct audit *audit)
{
    const struct audit_pairs *pairs = &audit->pairs;
    audit_grams_find(pairs, &audit->grams);
    audit_copies_find(pairs, &audit->grams.null, &audit->copies);
    if (audit->margin)
        audit_flips_find(pairs, audit->margin, audit->deviation, audit->share, &audit->flips);
    audit_length_count(pairs, audit->margin, &audit->length);
    audit_groups_count(pairs, AUDIT_BY_ANNOTATOR, audit->margin, &audit->annotators);
    audit_groups_count(pairs, AUDIT_BY_SOURCE, audit->margin, &audit->sources);
    find_alarms(audit);
}

/* ---- text */

static void print_length(const struct audit *audit)
{
    const struct audit_length *l = &audit->length;
    printf("length: the longer answer wins %s of %.0f pairs; by the difference in words:",
           share_text(l->longer, l->compared).text, l->compared);
    for (int q = 0; q < AUDIT_QUARTERS; q++)
        if (l->quarter[q].compared > 0)
            printf("  to %d %.1f %%", l->quarter[q].words,
                   100 * l->quarter[q].longer / l->quarter[q].compared);
    printf("\n");
    if (audit->margin)
        printf("length: rank correlation of margins with length differences %.3f\n",
               l->correlation);
}

static void print_flips(const struct audit *audit)
{
    const struct audit_flips *f = &audit->flips;
    if (!audit->margin)
        return;
    printf("labels: %s of %zu against the model  likely flips %.1f %%  listed %zu  without a score "
           "%zu\n",
           share_text(f->against, (double)f->scored).text, f->scored, 100 * f->share, f->listed,
           audit->pairs.count - f->scored);
    if (!f->scored)
        return;
    printf("labels: likely flips by the winner's words above the loser's:");
    for (size_t b = 0; b < f->bins; b++)
        if (f->bin[b].pairs > 0)
            printf("  %d..%d %.1f %%", f->bin[b].low, f->bin[b].high,
                   100 * f->bin[b].flips / f->bin[b].pairs);
    printf("\nlabels: the longer answer wins %s of the %.0f listed\n",
           share_text(f->longer, f->compared).text, f->compared);
}

static void print_groups(const char *title, const struct audit_groups *groups, const double *flips)
{
    if (!groups->count)
        return;
    SCOPED(table) table = table_new("NAME|>PAIRS|LONGER WINS|AGAINST THE MODEL|>LIKELY FLIPS");
    printf("\n%s: %zu, the largest with %.1f %% of all pairs\n", title, groups->count,
           100 * groups->largest);
    for (size_t i = 0; i < groups->count; i++) {
        const struct audit_group *g = &groups->at[i];
        SCOPED_MEM char *name = printable_text(g->name, "");
        table_cell(table, "%s", name);
        table_cell(table, "%.0f", g->pairs);
        table_cell(table, "%s", share_text(g->longer, g->compared).text);
        table_cell(table, "%s", share_text(g->against, g->scored).text);
        if (flips)
            table_cell(table, "%.1f %%", 100 * flips[i]);
        else
            table_cell(table, "-");
    }
    table_print(table, stdout);
}

static void print_probes(const struct audit *audit)
{
    SCOPED(table) table = table_new("PHRASE|>WON|>LOST|>LOSERS|RAISED BY IT|>BY OTHERS");
    if (!audit->grams.count || !audit->grams.at[0].probe.texts)
        return;
    printf("\nprobes: how much higher losers score that end with a phrase\n");
    for (size_t i = 0; i < audit->grams.count && audit->grams.at[i].probe.texts > 0; i++) {
        const struct audit_gram *g = &audit->grams.at[i];
        SCOPED_MEM char *text = printable_text(g->text, "");
        table_cell(table, "%s", text);
        table_cell(table, "%.0f", g->won);
        table_cell(table, "%.0f", g->lost);
        table_cell(table, "%.0f", g->probe.texts);
        table_cell(table, "%.2f +- %.2f", g->probe.raised, g->probe.error);
        table_cell(table, "%.2f", g->probe.control);
    }
    table_print(table, stdout);
}

void audit_print(const struct audit *audit)
{
    printf("pairs: %zu  ties left out %zu  annotators %zu  sources %zu\n", audit->pairs.count,
           audit->pairs.ties, audit->annotators.count, audit->sources.count);
    print_length(audit);
    print_flips(audit);
    printf("texts: %zu phrases tested, %.1f %% of their uses in winners, %zu found; %zu templates "
           "tested, %zu found\n",
           audit->grams.tested, 100 * audit->grams.null.mean, audit->grams.count,
           audit->copies.tested, audit->copies.count);
    print_groups("annotators", &audit->annotators, audit->flips.annotator);
    print_groups("sources", &audit->sources, audit->flips.source);
    print_probes(audit);
    printf(audit->alarms ? "\nalarms: %zu\n" : "\nno alarm\n", audit->alarms);
    for (size_t i = 0; i < audit->alarms; i++) {
        SCOPED_MEM char *text = printable_text(audit->alarm[i].text, "");
        printf("  %s\n", text);
    }
}
