/* An audit's findings as JSON, and the suspects as JSON lines. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/reward/audit_report.h"
#include "ctl/words/output.h"
#include <math.h>

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* {"count", "of", "share", "low", "high"} */
static json_t *share_json(double k, double n)
{
    const struct interval in = share_interval(k, n);
    return json_pack("{s:I, s:I, s:o, s:f, s:f}", "count", (json_int_t)k, "of", (json_int_t)n,
                     "share", number_or_null(k / n), "low", in.low, "high", in.high);
}

/* ---- the report */

static json_t *length_json(const struct audit *audit)
{
    const struct audit_length *l = &audit->length;
    json_t *quarters = json_array();
    for (int q = 0; q < AUDIT_QUARTERS; q++)
        json_array_append_new(quarters,
                              json_pack("{s:i, s:o}", "words", l->quarter[q].words, "longer_wins",
                                        share_json(l->quarter[q].longer, l->quarter[q].compared)));
    return json_pack("{s:o, s:o, s:o}", "longer_wins", share_json(l->longer, l->compared),
                     "quarters", quarters, "margin_correlation",
                     audit->margin ? json_real(l->correlation) : json_null());
}

static json_t *flips_json(const struct audit *audit)
{
    const struct audit_flips *f = &audit->flips;
    json_t *bins = json_array();
    for (size_t b = 0; b < f->bins; b++)
        json_array_append_new(bins, json_pack("{s:i, s:i, s:I, s:f}", "low", f->bin[b].low, "high",
                                              f->bin[b].high, "pairs", (json_int_t)f->bin[b].pairs,
                                              "likely_flips", f->bin[b].flips));
    return json_pack("{s:I, s:o, s:f, s:f, s:I, s:o, s:f, s:o}", "scored", (json_int_t)f->scored,
                     "against", share_json(f->against, (double)f->scored), "likely_share", f->share,
                     "temperature", f->temperature, "listed", (json_int_t)f->listed,
                     "listed_longer_wins", share_json(f->longer, f->compared), "listed_longer_p",
                     f->longer_p, "by_length", bins);
}

static json_t *groups_json(const struct audit_groups *groups, const double *flips)
{
    json_t *all = json_array();
    for (size_t i = 0; i < groups->count; i++) {
        const struct audit_group *g = &groups->at[i];
        json_array_append_new(
            all, json_pack("{s:s, s:I, s:o, s:f, s:o, s:f, s:o}", "name", g->name, "pairs",
                           (json_int_t)g->pairs, "longer_wins", share_json(g->longer, g->compared),
                           "longer_p", g->longer_p, "against", share_json(g->against, g->scored),
                           "against_p", g->against_p, "likely_flips",
                           flips ? json_real(flips[i]) : json_null()));
    }
    return all;
}

static json_t *phrase_json(const struct audit_gram *g)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:f, s:f}", "kind", "phrase", "text", g->text, "won",
                     (json_int_t)g->won, "lost", (json_int_t)g->lost, "p", g->p, "in_prompts",
                     g->asked);
}

static json_t *template_json(const struct audit_template *t)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:f, s:I}", "kind", "template", "text", t->text, "won",
                     (json_int_t)t->won, "lost", (json_int_t)t->lost, "p", t->p, "prompts",
                     (json_int_t)t->prompts);
}

static json_t *probe_json(const struct audit_probe *probe)
{
    return probe->texts > 0
               ? json_pack("{s:I, s:f, s:f, s:f}", "texts", (json_int_t)probe->texts, "raised",
                           probe->raised, "error", probe->error, "control", probe->control)
               : json_null();
}

static json_t *texts_json(const struct audit *audit)
{
    json_t *phrases = json_array(), *templates = json_array();
    for (size_t i = 0; i < audit->grams.count; i++) {
        json_t *phrase = phrase_json(&audit->grams.at[i]);
        json_object_set_new(phrase, "probe", probe_json(&audit->grams.at[i].probe));
        json_array_append_new(phrases, phrase);
    }
    for (size_t i = 0; i < audit->copies.count; i++)
        json_array_append_new(templates, template_json(&audit->copies.at[i]));
    return json_pack("{s:I, s:f, s:o, s:I, s:o}", "phrases_tested", (json_int_t)audit->grams.tested,
                     "winners_share", audit->grams.null.mean, "phrases", phrases,
                     "templates_tested", (json_int_t)audit->copies.tested, "templates", templates);
}

void audit_print_json(const struct audit *audit)
{
    json_t *alarms = json_array();
    for (size_t i = 0; i < audit->alarms; i++)
        json_array_append_new(alarms,
                              json_pack("{s:s, s:s, s:f}", "kind", audit->alarm[i].kind, "text",
                                        audit->alarm[i].text, "p", audit->alarm[i].p));
    SCOPED_JSON json_t *json = json_pack(
        "{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "pairs", (json_int_t)audit->pairs.count, "ties",
        (json_int_t)audit->pairs.ties, "length", length_json(audit), "labels",
        audit->margin ? flips_json(audit) : json_null(), "texts", texts_json(audit), "annotators",
        groups_json(&audit->annotators, audit->flips.annotator), "sources",
        groups_json(&audit->sources, audit->flips.source), "alarms", alarms);
    output_json(json);
}

/* ---- suspects */

/* Of each pair the numbers of the first found phrase and template in it, or -1. */
struct marks {
    int *phrase, *template; // (pairs)
};

static void marks_done(struct marks *marks)
{
    mem_free(marks->phrase);
    mem_free(marks->template);
}

static void mark(int *of, const uint32_t *pair, size_t count, int number)
{
    for (size_t i = 0; i < count; i++)
        if (of[pair[i]] < 0)
            of[pair[i]] = number;
}

static struct marks marks_of(const struct audit *audit)
{
    const size_t count = audit->pairs.count;
    struct marks marks = {mem_array(count, sizeof(int)), mem_array(count, sizeof(int))};
    for (size_t i = 0; i < count; i++)
        marks.phrase[i] = marks.template[i] = -1;
    for (size_t g = 0; g < audit->grams.count; g++)
        mark(marks.phrase, audit->grams.at[g].pair, audit->grams.at[g].pairs, (int)g);
    for (size_t t = 0; t < audit->copies.count; t++)
        mark(marks.template, audit->copies.at[t].pair, audit->copies.at[t].pairs, (int)t);
    return marks;
}

static json_t *label_json(const struct audit *audit, size_t i)
{
    const struct audit_pair *pair = &audit->pairs.at[i];
    return json_pack("{s:s, s:f, s:f, s:f, s:i}", "kind", "label", "margin", audit->margin[i],
                     "deviation", audit->deviation[i], "flip", audit->flips.chance[i],
                     "winner_words_more", pair->winner_words - pair->loser_words);
}

static err_t put_suspect(const struct audit *audit, const struct marks *marks, size_t i, bool label,
                         size_t rank, struct bytes *ret)
{
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = NULL;
    json_t *reasons = json_array();
    const struct audit_pair *pair = &audit->pairs.at[i];
    TRY(audit_pairs_row(&audit->pairs, i, &row, &name));
    if (label)
        json_array_append_new(reasons, label_json(audit, i));
    if (marks->phrase[i] >= 0)
        json_array_append_new(reasons, phrase_json(&audit->grams.at[marks->phrase[i]]));
    if (marks->template[i] >= 0)
        json_array_append_new(reasons, template_json(&audit->copies.at[marks->template[i]]));
    SCOPED_JSON json_t *line = json_pack("{s:I, s:s, s:I, s:o, s:O}", "rank", (json_int_t)rank,
                                         "file", jsonl_path(audit->pairs.file[pair->file]), "line",
                                         (json_int_t)pair->row + 1, "reasons", reasons, "row", row);
    SCOPED_MEM char *text = json_to_text(line);
    bytes_text(ret, text);
    bytes_text(ret, "\n");
    return OK;
}

err_t audit_suspects_write(const struct audit *audit, const char *path, size_t *ret)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(marks) marks = marks_of(audit);
    SCOPED_MEM bool *listed = mem_array(audit->pairs.count, sizeof *listed);
    size_t rank = 0;
    for (size_t k = 0; k < audit->flips.listed; k++) {
        const size_t i = audit->flips.order[k];
        listed[i] = true;
        TRY(put_suspect(audit, &marks, i, true, ++rank, &text));
    }
    for (size_t i = 0; i < audit->pairs.count; i++)
        if (!listed[i] && (marks.phrase[i] >= 0 || marks.template[i] >= 0))
            TRY(put_suspect(audit, &marks, i, false, ++rank, &text));
    TRY(file_write(path, text.data ? (const char *)text.data : "", text.len));
    *ret = rank;
    return OK;
}
