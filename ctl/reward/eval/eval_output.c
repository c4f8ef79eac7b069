#include "ctl/reward/eval/eval_output.h"
#include "base/mem.h"
#include "ctl/words/output.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define AT(type, field)                                                                            \
    {                                                                                              \
#field, offsetof(struct type, field)                                                       \
    }
const struct named_figure pair_names[] = {
    AT(pair_figures, accuracy),     AT(pair_figures, longer),
    AT(pair_figures, auc),          AT(pair_figures, log_loss),
    AT(pair_figures, brier),        AT(pair_figures, group_mean),
    AT(pair_figures, group_lowest), {0}};
const struct named_figure answer_names[] = {
    AT(answer_figures, pearson),         AT(answer_figures, spearman),
    AT(answer_figures, kendall),         AT(answer_figures, auc),
    AT(answer_figures, prompt_pearson),  AT(answer_figures, prompt_spearman),
    AT(answer_figures, prompt_kendall),  AT(answer_figures, prompt_auc),
    AT(answer_figures, prompt_accuracy), AT(answer_figures, length_score),
    AT(answer_figures, length_gold),     {0}};
const struct named_figure league_names[] = {
    AT(league, spearman), AT(league, kendall), AT(league, row_pearson), {0}};

const struct estimate *named_estimate(const struct named_figure *named, const void *of)
{
    return (const struct estimate *)((const char *)of + named->place);
}

struct eval_cell cell_number(double value)
{
    struct eval_cell cell = {"-"};
    if (isfinite(value)) // no "-0.0000"
        snprintf(cell.text, sizeof cell.text, fabs(value) < 1e4 ? "%.4f" : "%.4g",
                 fabs(value) < 5e-5 ? 0 : value);
    return cell;
}

struct eval_cell cell_interval(const struct estimate *e)
{
    struct eval_cell cell = {""};
    if (isfinite(e->low))
        snprintf(cell.text, sizeof cell.text, "%.24s to %.24s", cell_number(e->low).text,
                 cell_number(e->high).text);
    return cell;
}

/* ---- tables */

static void put(struct table *table, const char *name, const struct estimate *e)
{
    SCOPED_MEM char *words = mem_string(name);
    for (char *at = words; *at; at++)
        *at = *at == '_' ? ' ' : *at;
    table_cell(table, "%s", words);
    table_cell(table, "%s", cell_number(e->value).text);
    table_cell(table, "%s", cell_interval(e).text);
}

static void put_all(struct table *table, const struct named_figure *named, const void *of)
{
    for (; named->name; named++)
        if (isfinite(named_estimate(named, of)->value))
            put(table, named->name, named_estimate(named, of));
}

static struct table *figures_table(void)
{
    return table_new("FIGURE|>VALUE|95 % INTERVAL");
}

static void print_groups(const struct eval_data *data, const struct pair_figures *p)
{
    SCOPED(table) table = table_new("GROUP|>PAIRS|>ACCURACY|95 % INTERVAL");
    for (size_t g = 0; g < p->groups; g++) {
        table_cell(table, "%s", data->groups.at[g]);
        table_cell(table, "%zu", p->group_pairs[g]);
        table_cell(table, "%s", cell_number(p->group[g].value).text);
        table_cell(table, "%s", cell_interval(&p->group[g]).text);
    }
    printf("\n");
    table_print(table, stdout);
}

static void print_calibration(const struct calibration *c)
{
    SCOPED(table) table = table_new("CHANCE|>PAIRS|>TOLD|>TRUE");
    for (int b = CALIBRATION_BINS / 2; b < CALIBRATION_BINS; b++) {
        table_cell(table, "%.1f to %.1f", b / (double)CALIBRATION_BINS,
                   (b + 1) / (double)CALIBRATION_BINS);
        table_cell(table, "%.0f", c->weight[b]);
        table_cell(table, "%s", cell_number(c->chance[b]).text);
        table_cell(table, "%s", cell_number(c->outcome[b]).text);
    }
    printf("\n");
    table_print(table, stdout);
}

static void print_pairs(const struct eval_data *data, const struct pair_figures *p)
{
    SCOPED(table) table = figures_table();
    printf("\npairs %zu  ties %zu  annotators split %zu  mean margin %s\n", p->pairs, p->ties,
           p->split, cell_number(p->margin).text);
    put_all(table, pair_names, p);
    table_print(table, stdout);
    printf("calibration error %s  best scale of margins %s (log loss %s)\n",
           cell_number(p->calibration.ece).text, cell_number(p->scale).text,
           cell_number(p->scaled_log_loss).text);
    print_calibration(&p->calibration);
    if (p->groups)
        print_groups(data, p);
}

static void print_answers(const struct answer_figures *a)
{
    SCOPED(table) table = figures_table();
    printf("\nanswers %zu  prompts with two and more %zu\n", a->answers, a->prompts);
    put_all(table, answer_names, a);
    table_print(table, stdout);
}

/* A group's row: what it is measured by. */
enum { PEARSON, SPEARMAN, KENDALL, AUC, PROMPT_ACCURACY, GOLD, SHARE, GROUP_FIGURES };

static void group_row(const struct group_figures *g, double ret[GROUP_FIGURES])
{
    const bool best = g->best.most;
    ret[PEARSON] = g->answers.pearson.value;
    ret[SPEARMAN] = g->answers.spearman.value;
    ret[KENDALL] = g->answers.kendall.value;
    ret[AUC] = g->answers.auc.value;
    ret[PROMPT_ACCURACY] = g->answers.prompt_accuracy.value;
    ret[GOLD] = best ? g->best.gold[g->best.most - 1].value : NAN;
    ret[SHARE] = best ? g->best.share.value : NAN;
}

static void put_group(struct table *table, const char *name, size_t answers,
                      const double row[GROUP_FIGURES])
{
    table_cell(table, "%s", name);
    table_cell(table, answers ? "%zu" : "", answers);
    for (int f = 0; f < GROUP_FIGURES; f++)
        table_cell(table, "%s", cell_number(row[f]).text);
}

static void print_answer_groups(const struct eval_data *data, const struct eval_figures *f)
{
    SCOPED(table)
    table = table_new("GROUP|>ANSWERS|>PEARSON|>SPEARMAN|>KENDALL|>AUC|>PROMPT "
                      "ACCURACY|>BEST OF K|>SHARE");
    double row[GROUP_FIGURES], mean[GROUP_FIGURES] = {0}, lowest[GROUP_FIGURES];
    size_t groups = 0;
    for (int i = 0; i < GROUP_FIGURES; i++)
        lowest[i] = INFINITY;
    for (size_t g = 0; g < f->groups; g++) {
        if (!f->group[g].answers.answers)
            continue;
        group_row(&f->group[g], row);
        put_group(table, data->groups.at[g], f->group[g].answers.answers, row);
        groups++;
        for (int i = 0; i < GROUP_FIGURES; i++) {
            mean[i] += row[i];
            lowest[i] = row[i] < lowest[i] ? row[i] : lowest[i];
        }
    }
    for (int i = 0; i < GROUP_FIGURES; i++)
        mean[i] /= (double)groups;
    put_group(table, "(mean)", 0, mean);
    put_group(table, "(lowest)", 0, lowest);
    printf("\n");
    table_print(table, stdout);
}

/* 1, 2, 4, ... and the last. */
static size_t next_k(size_t k, size_t most)
{
    return k < most && 2 * k > most ? most : 2 * k;
}

static void print_best(const struct best_figures *b)
{
    SCOPED(table)
    table = table_new(">K|>KL|>SCORE|>GOLD|95 % INTERVAL|>PESSIMISTIC|>BEST POSSIBLE|>REGRET");
    for (size_t k = 1; k <= b->most; k = next_k(k, b->most)) {
        table_cell(table, "%zu", k);
        table_cell(table, "%s", cell_number(best_of_kl(k)).text);
        table_cell(table, "%s", cell_number(b->score[k - 1]).text);
        table_cell(table, "%s", cell_number(b->gold[k - 1].value).text);
        table_cell(table, "%s", cell_interval(&b->gold[k - 1]).text);
        table_cell(table, "%s", cell_number(b->pessimistic[k - 1].value).text);
        table_cell(table, "%s", cell_number(b->oracle[k - 1].value).text);
        table_cell(table, "%s", cell_number(b->regret[k - 1].value).text);
    }
    printf("\nbest of k  prompts %zu  highest at k %zu  share of the possible gain %s  loss %s\n",
           b->prompts, b->best, cell_number(b->share.value).text, cell_number(b->loss.value).text);
    table_print(table, stdout);
}

/* The models, the strongest by people first; the caller's. */
static size_t *by_strength(const struct league *l)
{
    size_t *order = mem_array(l->models, sizeof *order);
    for (size_t m = 0; m < l->models; m++) {
        size_t to = m;
        for (; to && l->people[order[to - 1]].value < l->people[m].value; to--)
            order[to] = order[to - 1];
        order[to] = m;
    }
    return order;
}

static void print_league(const struct eval_data *data, const struct eval_figures *f)
{
    const struct league *l = &f->league;
    SCOPED(table) table = figures_table();
    SCOPED(table) models = table_new("MODEL|>BY PEOPLE|95 % INTERVAL|>BY SCORES|95 % INTERVAL");
    printf("\nmodels %zu  battles %zu  separated by people %s, by scores %s  agreement %s  brier "
           "%s\n",
           l->models, f->battles, cell_number(l->separated_people).text,
           cell_number(l->separated_score).text, cell_number(l->agreement).text,
           cell_number(l->brier).text);
    put_all(table, league_names, l);
    table_print(table, stdout);
    SCOPED_MEM size_t *order = by_strength(l);
    for (size_t i = 0; i < l->models; i++) {
        const size_t m = order[i];
        table_cell(models, "%s", data->models.at[m]);
        table_cell(models, "%s", cell_number(l->people[m].value).text);
        table_cell(models, "%s", cell_interval(&l->people[m]).text);
        table_cell(models, "%s", cell_number(l->score[m].value).text);
        table_cell(models, "%s", cell_interval(&l->score[m]).text);
    }
    printf("\n");
    table_print(models, stdout);
}

void eval_print(const struct eval_data *data, const struct eval_figures *f)
{
    printf("lines %zu  prompts %zu", data->lines, data->prompts);
    if (data->unscored)
        printf("  without a score %zu", data->unscored);
    if (data->without_gold)
        printf("  without a gold score %zu", data->without_gold);
    printf("\n");
    if (f->pairs.pairs)
        print_pairs(data, &f->pairs);
    if (f->answers.answers)
        print_answers(&f->answers);
    if (f->best.most)
        print_best(&f->best);
    if (f->groups)
        print_answer_groups(data, f);
    if (f->league.models)
        print_league(data, f);
}

void csv_number(double value)
{
    if (isfinite(value))
        printf(",%.17g", value);
    else
        printf(",");
}

void csv_estimate(const struct estimate *e)
{
    csv_number(e->value);
    csv_number(e->low);
    csv_number(e->high);
}

void eval_print_csv(const struct eval_figures *f)
{
    const struct best_figures *b = &f->best;
    printf("k,kl,score,gold,gold_low,gold_high,pessimistic,oracle,regret,regret_low,regret_high\n");
    for (size_t k = 0; k < b->most; k++) {
        printf("%zu", k + 1);
        csv_number(best_of_kl(k + 1));
        csv_number(b->score[k]);
        csv_estimate(&b->gold[k]);
        csv_number(b->pessimistic[k].value);
        csv_number(b->oracle[k].value);
        csv_estimate(&b->regret[k]);
        printf("\n");
    }
}
