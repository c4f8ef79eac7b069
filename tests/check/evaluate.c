/* One key: its row, with the settings of its name, on an update made of the file's sequences. */
#include "base/mem.h"
#include "check/check.h"
#include <string.h>

static void apply(const struct check_set *set, const struct check_args *args,
                  struct objective_config *config)
{
    const double value = set->add + (set->scale != 0 ? set->scale * args->number[set->arg] : 0);
    void *to = (char *)config + set->offset;
    if (set->size == sizeof(double))
        memcpy(to, &value, sizeof value);
    else if (set->size == sizeof(bool))
        *(bool *)to = value != 0;
    else
        *(int *)to = (int)value; // an enumerator
}

/* The members of the update, and how many each unit has. */
struct members {
    size_t count, units, *at, *unit;
};

static void members_done(struct members *m)
{
    mem_free(m->at);
    mem_free(m->unit);
}

static struct members members_of(const struct check_inputs *in, enum check_units units)
{
    const size_t sequences = in->all->sequences, most = sequences + 2 * in->pairs;
    struct members m = {.at = mem_array(most, sizeof *m.at), .unit = mem_array(most, sizeof *m.at)};
    if (units == CHECK_PAIRS)
        for (size_t p = 0; p < in->pairs; p++) {
            memcpy(m.at + 2 * p, in->pair[p], sizeof in->pair[p]);
            m.unit[m.units++] = 2;
            m.count += 2;
        }
    else if (units == CHECK_GROUPS) {
        m.count = in->groups ? in->group[in->groups] : 0;
        memcpy(m.at, in->member, m.count * sizeof *m.at);
        for (size_t g = 0; g < in->groups; g++)
            m.unit[m.units++] = in->group[g + 1] - in->group[g];
    } else {
        for (size_t i = 0; i < sequences; i++)
            m.at[m.count++] = i;
        m.units = units == CHECK_LIST ? 1 : sequences;
        for (size_t u = 0; u < m.units; u++)
            m.unit[u] = units == CHECK_LIST ? sequences : 1;
    }
    return m;
}

/* Slopes of the update's tokens at the tokens of the file: a sequence may be in several pairs. */
static void put_back(const struct check_case *it, const double *slope, double *ret)
{
    const size_t *first = it->in->all->first;
    memset(ret, 0, first[it->in->all->sequences] * sizeof *ret);
    for (size_t i = 0; i < it->update->sequences; i++)
        for (size_t t = it->update->first[i]; t < it->update->first[i + 1]; t++)
            ret[first[it->member[i]] + t - it->update->first[i]] += slope[t];
}

static err_t compute(const struct check_key *key, struct check_case *it, double *ret_loss,
                     double *ret_slope)
{
    const struct objective *objective = objective_find(key->row);
    struct rl_tally tally = {0};
    const struct range all = {0, it->update->sequences};
    if (!objective)
        return err_new(ERR_INTERNAL, "there is no row %s", key->row);
    it->config = objective->row.defaults;
    for (size_t i = 0; i < CHECK_SETS && key->set[i].size; i++)
        apply(&key->set[i], it->args, &it->config);
    if (key->prepare)
        TRY(key->prepare(it));
    SCOPED_MEM double *slope = mem_array(it->update->first[all.end], sizeof *slope);
    TRY(objective_grad(objective, &it->config, it->update, all, &it->totals,
                       &(struct rl_slopes){.logp = slope}, &tally));
    *ret_loss = rl_tally_figures(&tally).loss;
    put_back(it, slope, ret_slope);
    return OK;
}

static err_t evaluate(const struct check_inputs *in, const struct check_key *key,
                      const struct check_args *args, double *ret_loss, double *ret_slope)
{
    SCOPED_VALUE(members) m = members_of(in, key->units);
    SCOPED(columns) update = columns_gather(in->all, m.at, m.count);
    columns_set_units(update, m.units, m.unit);
    const uint64_t keep = key->columns | COLUMN_BIT(COLUMN_LOGP);
    for (unsigned c = 0; c < COLUMNS; c++)
        if (!(keep & COLUMN_BIT(c)))
            columns_drop(update, c);
    struct check_case it = {
        .in = in, .args = args, .update = update, .member = m.at, .totals = columns_totals(update)};
    if (key->units == CHECK_GROUPS) // one that is in no group counts
        it.totals = columns_totals(in->all);
    return compute(key, &it, ret_loss, ret_slope);
}

err_t check_evaluate(const struct check_inputs *in, const char *name, double *ret_loss,
                     double *ret_slope)
{
    static const struct check_key *(*const tables[])(size_t i) = {
        check_policy_key, check_preference_key, check_token_key};
    struct check_args args;
    const struct check_key *key;
    for (size_t table = 0; table < sizeof tables / sizeof *tables; table++)
        for (size_t i = 0; (key = tables[table](i)); i++)
            if (check_match(key->pattern, name, &args))
                return evaluate(in, key, &args, ret_loss, ret_slope);
    return err_new(ERR_NOT_FOUND, "no key has this name");
}
