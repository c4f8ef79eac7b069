/* Names of losses of whole rows of the vocabulary, and of objectives that weigh the tokens of one
 * completion by one another. Slopes come from the objectives' rows, and from them the slopes of
 * logits by the specification of the backend's op (rl/row_value.h). */
#include "base/mem.h"
#include "check/check.h"
#include "rl/row_value.h"
#include <math.h>
#include <string.h>

const struct check_key *check_token_key(size_t i)
{
    static const struct check_key keys[] = {
        {"ift weights (gamma #, weights NOT detached), seq-mean",
         "ift",
         CHECK_SEQUENCES,
         0,
         {ARG(ift.gamma, 0), SET(ift.detached, 0)},
         NULL},
        {NULL}};
    return keys[i].pattern ? &keys[i] : NULL;
}

/* ---- one row of logits */

/* The tokens that the file's numbers are of, where a name tells none. */
enum { TOKEN = 2, CHOSEN = 1, REJECTED = 3 };

static struct row_ask ask_of(const struct check_rows *rows, const double *z, size_t token)
{
    return (struct row_ask){.z = z,
                            .reference = rows->reference,
                            .width = rows->vocabulary,
                            .token = token,
                            .rival = -1,
                            .scale = 1,
                            .beta = 0.5};
}

/* The token's log-probability itself, or a term. */
static void quantity(const struct row_ask *ask, double dlogp, enum row_term term, double *ret_value,
                     double *ret_dz)
{
    double slope[ROW_TERMS] = {0};
    struct row_value value;
    if (ask->token >= ask->width)
        return;
    row_value(ask, &value);
    slope[term] = dlogp != 0 ? 0 : 1;
    *ret_value = dlogp != 0 ? value.logp : value.at[term];
    row_slope(ask, &value, dlogp, slope, ret_dz);
}

static void logp(const struct check_rows *rows, const struct check_args *args, double *ret_value,
                 double *ret_dz)
{
    const struct row_ask ask = ask_of(rows, rows->z, (size_t)args->number[0]);
    quantity(&ask, 1, ROW_ENTROPY, ret_value, ret_dz);
}

static void logp_at_temperature(const struct check_rows *rows, const struct check_args *args,
                                double *ret_value, double *ret_dz)
{
    struct row_ask ask = ask_of(rows, rows->z, TOKEN);
    ask.scale = 1 / args->number[0];
    quantity(&ask, 1, ROW_ENTROPY, ret_value, ret_dz);
}

static void term(const struct check_rows *rows, enum row_term which, double beta, double *ret_value,
                 double *ret_dz)
{
    struct row_ask ask = ask_of(rows, rows->z, 0);
    ask.beta = beta;
    quantity(&ask, 0, which, ret_value, ret_dz);
}

static void forward_kl(const struct check_rows *rows, const struct check_args *args,
                       double *ret_value, double *ret_dz)
{
    (void)args;
    term(rows, ROW_FORWARD_KL, 0.5, ret_value, ret_dz);
}

static void reverse_kl(const struct check_rows *rows, const struct check_args *args,
                       double *ret_value, double *ret_dz)
{
    (void)args;
    term(rows, ROW_REVERSE_KL, 0.5, ret_value, ret_dz);
}

static void entropy(const struct check_rows *rows, const struct check_args *args, double *ret_value,
                    double *ret_dz)
{
    (void)args;
    term(rows, ROW_ENTROPY, 0.5, ret_value, ret_dz);
}

static void jsd(const struct check_rows *rows, const struct check_args *args, double *ret_value,
                double *ret_dz)
{
    term(rows, ROW_JSD, args->number[0], ret_value, ret_dz);
}

/* ---- objectives of completions of one token */

struct pieces {
    struct row_ask ask[2];
    struct row_value value[2];
    double logp[2], row[ROW_TERMS][2];
};

/* The objective's loss on `count` completions of a token each, and its slopes. */
static double grad(const char *name, const struct objective_config *config, size_t count,
                   double label, struct pieces *p)
{
    const struct objective *objective = objective_find(name);
    const size_t tokens[] = {1, 1};
    SCOPED(columns) update = columns_new(count, tokens);
    struct rl_slopes slopes = {.logp = p->logp};
    struct rl_tally tally = {0};
    if (count == 2)
        columns_set_units(update, 1, &count);
    for (size_t i = 0; i < count; i++) {
        struct row_ask ask = p->ask[i];
        struct row_value reference;
        row_value(&p->ask[i], &p->value[i]);
        ask.z = ask.reference;
        row_value(&ask, &reference);
        columns_add(update, COLUMN_LOGP)[i] = p->value[i].logp;
        columns_add(update, COLUMN_REFERENCE_LOGP)[i] = reference.logp;
        columns_add(update, COLUMN_LABEL)[i] = label;
        for (int k = 0; k < ROW_TERMS; k++) {
            columns_add(update, row_term_column((enum row_term)k))[i] = p->value[i].at[k];
            slopes.row[k] = p->row[k];
        }
    }
    const struct rl_totals totals = columns_totals(update);
    err_t e = objective_grad(objective, config, update, (struct range){0, count}, &totals, &slopes,
                             &tally);
    const bool failed = err_failed(e);
    err_free(e);
    return failed ? NAN : rl_tally_figures(&tally).loss;
}

static void slope_of(const struct pieces *p, size_t i, double *ret_dz)
{
    double slope[ROW_TERMS];
    for (int k = 0; k < ROW_TERMS; k++)
        slope[k] = p->row[k][i];
    row_slope(&p->ask[i], &p->value[i], p->logp[i], slope, ret_dz);
}

/* beta .1 and alpha .5, as the names have them. */
static void tdpo(const struct check_rows *rows, const char *name, double alpha, size_t of,
                 double *ret_value, double *ret_dz)
{
    struct objective_config config = objective_find(name)->row.defaults;
    struct pieces p = {.ask = {ask_of(rows, rows->z, CHOSEN), ask_of(rows, rows->loser, REJECTED)}};
    if (rows->vocabulary <= REJECTED)
        return;
    config.tdpo.beta = 0.1;
    config.tdpo.alpha = alpha;
    *ret_value = grad(name, &config, 2, 0, &p);
    slope_of(&p, of, ret_dz);
}

static void tdpo2_winner(const struct check_rows *rows, const struct check_args *args,
                         double *ret_value, double *ret_dz)
{
    (void)args;
    tdpo(rows, "tdpo2", 0.5, 0, ret_value, ret_dz);
}

static void tdpo2_loser(const struct check_rows *rows, const struct check_args *args,
                        double *ret_value, double *ret_dz)
{
    (void)args;
    tdpo(rows, "tdpo2", 0.5, 1, ret_value, ret_dz);
}

static void tdpo1_winner(const struct check_rows *rows, const struct check_args *args,
                         double *ret_value, double *ret_dz)
{
    tdpo(rows, "tdpo1", args->number[1], 0, ret_value, ret_dz);
}

/* One token of a bad completion. rival -1: the likeliest other. */
static void bad_token(const struct check_rows *rows, const char *name, double token, int64_t rival,
                      double *ret_value, double *ret_dz)
{
    const struct objective_config *config = &objective_find(name)->row.defaults;
    struct pieces p = {.ask = {ask_of(rows, rows->z, (size_t)token)}};
    p.ask[0].rival = rival;
    *ret_value = grad(name, config, 1, -1, &p);
    slope_of(&p, 0, ret_dz);
}

static void cringe(const struct check_rows *rows, const struct check_args *args, double *ret_value,
                   double *ret_dz)
{
    bad_token(rows, "cringe", args->number[0], (int64_t)args->number[1], ret_value, ret_dz);
}

static void unlikelihood(const struct check_rows *rows, const struct check_args *args,
                         double *ret_value, double *ret_dz)
{
    bad_token(rows, "unlikelihood", args->number[0], -1, ret_value, ret_dz);
}

const struct check_rows_key *check_vocabulary_key(size_t i)
{
    static const struct check_rows_key keys[] = {
        {"logp of token #", logp, 1},
        {"logp/temperature #", logp_at_temperature, 0},
        {"forward KL(ref||pi)", forward_kl, 0},
        {"reverse KL(pi||ref)", reverse_kl, 0},
        {"entropy", entropy, 0},
        {"generalised JSD beta=# (GKD)", jsd, 0},
        {"cringe neg=# pos=#", cringe, 2},
        {"tdpo2 d/dz_winner", tdpo2_winner, 0},
        {"tdpo2 d/dz_loser", tdpo2_loser, 0},
        {"tdpo1(alpha=#-># here) d/dz_winner, no sg", tdpo1_winner, 0},
        {"unlikelihood -log(1-p#)", unlikelihood, 1},
        {NULL}};
    return keys[i].pattern ? &keys[i] : NULL;
}
