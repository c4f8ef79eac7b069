/* The curve of over-optimisation as a table and as CSV. */
#include "ctl/reward/eval/eval_output.h"
#include "ctl/words/output.h"
#include <math.h>
#include <stdio.h>

static void put(struct table *table, const struct estimate *e)
{
    const bool interval = isfinite(e->low) && e->low != e->high;
    table_cell(table, "%s%s%s%s", cell_number(e->value).text, interval ? " (" : "",
               interval ? cell_interval(e).text : "", interval ? ")" : "");
}

static void print_fit(const struct curve *curve)
{
    const struct drift *d = &curve->drift;
    const struct curve_point *best = &curve->point[curve->best];
    printf("the highest gold score: %s, at %s nats\n", best->name,
           cell_number(best->kl.value).text);
    if (!isfinite(d->a))
        return;
    printf("gain of gold by d = sqrt(KL): d (a - b %s)  a %s  b %s  r2 %s  points %zu",
           curve->law == DRIFT_RL ? "log d" : "d", cell_number(d->a).text, cell_number(d->b).text,
           cell_number(d->r2).text, d->points);
    if (isfinite(d->peak_kl))
        printf("  highest at %s nats", cell_number(d->peak_kl).text);
    printf("\n");
}

void curve_print(const struct curve *curve)
{
    SCOPED(table)
    table = table_new("POINT|>LINES|>KL|>SCORE|>GOLD|>GAIN OF GOLD|>WIN OVER BASE|>WIN OVER ROW'S "
                      "OWN|>TOKENS|OVER-OPTIMISED");
    printf("base %s  prompts %zu  scores '%s'  gold scores '%s'\n", curve->point[curve->base].name,
           curve->prompts, curve->score, curve->gold);
    for (size_t i = 0; i < curve->points; i++) {
        const struct curve_point *p = &curve->point[i];
        table_cell(table, "%s", p->name);
        table_cell(table, "%zu", p->lines);
        put(table, &p->kl);
        put(table, &p->score);
        put(table, &p->gold);
        put(table, &p->gold_gain);
        put(table, &p->win_base);
        put(table, &p->win_own);
        table_cell(table, "%s", cell_number(p->tokens.value).text);
        table_cell(table, "%s", p->over ? "yes" : "");
    }
    table_print(table, stdout);
    print_fit(curve);
}

/* A name as RFC 4180 quotes it. */
static void put_name(const char *name)
{
    putchar('"');
    for (; *name; name++) {
        if (*name == '"')
            putchar('"');
        putchar(*name);
    }
    putchar('"');
}

void curve_print_csv(const struct curve *curve)
{
    static const char *const columns[] = {"kl",        "score",    "gold",    "score_gain",
                                          "gold_gain", "win_base", "win_own", "tokens"};
    printf("point,lines");
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        printf(",%s,%s_low,%s_high", columns[c], columns[c], columns[c]);
    printf(",over\n");
    for (size_t i = 0; i < curve->points; i++) {
        const struct curve_point *p = &curve->point[i];
        put_name(p->name);
        printf(",%zu", p->lines);
        csv_estimate(&p->kl);
        csv_estimate(&p->score);
        csv_estimate(&p->gold);
        csv_estimate(&p->score_gain);
        csv_estimate(&p->gold_gain);
        csv_estimate(&p->win_base);
        csv_estimate(&p->win_own);
        csv_estimate(&p->tokens);
        printf(",%d\n", p->over);
    }
}
