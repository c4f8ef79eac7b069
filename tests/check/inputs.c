/* The inputs of a file: checked, then columns. */
#include "base/mem.h"
#include "check/check.h"
#include <math.h>
#include <string.h>

enum { MOST_SEQUENCES = 4096, MOST_TOKENS = 1 << 20, MOST_PAIRS = 65536 };

err_t check_numbers(const json_t *list, const char *name, size_t count, double *ret)
{
    if (!json_is_array(list) || json_array_size(list) != count)
        return err_new(ERR_INVALID, "%s: a list of %zu numbers is allowed", name, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value) || !isfinite(json_number_value(value)))
            return err_new(ERR_INVALID, "%s: [%zu] is no finite number", name, i);
        ret[i] = json_number_value(value);
    }
    return OK;
}

/* A list of lists; *ret_sizes (count) is owned by the caller. */
static err_t sizes_of(const json_t *rows, const char *name, size_t most, size_t **ret_sizes,
                      size_t *ret_count)
{
    const size_t count = json_array_size(rows);
    if (!json_is_array(rows) || count > MOST_SEQUENCES)
        return err_new(ERR_INVALID, "%s: a list of at most %d lists is allowed", name,
                       MOST_SEQUENCES);
    SCOPED_MEM size_t *sizes = mem_array(count, sizeof *sizes);
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        sizes[i] = json_array_size(row);
        all += sizes[i];
        if (!json_is_array(row) || sizes[i] == 0 || all > most)
            return err_new(ERR_INVALID,
                           "%s: [%zu] is no list of something, or all of them have more than %zu "
                           "values",
                           name, i, most);
    }
    *ret_sizes = STEAL(sizes);
    *ret_count = count;
    return OK;
}

static err_t read_tokens(const json_t *inputs, const char *key, enum column column,
                         struct columns *all)
{
    const json_t *rows = json_object_get(inputs, key);
    double *to = columns_add(all, column);
    if (!json_is_array(rows) || json_array_size(rows) != all->sequences)
        return err_new(ERR_INVALID, "inputs.%s: %zu lists are allowed, as l_policy has", key,
                       all->sequences);
    for (size_t i = 0; i < all->sequences; i++) {
        SCOPED_MEM char *name = mem_printf("inputs.%s[%zu]", key, i);
        TRY(check_numbers(json_array_get(rows, i), name, all->first[i + 1] - all->first[i],
                          to + all->first[i]));
    }
    return OK;
}

static err_t read_columns(const json_t *inputs, struct columns *all)
{
    static const struct {
        const char *key;
        enum column column;
    } tokens[] = {{"l_policy", COLUMN_LOGP},
                  {"o_prox", COLUMN_PROXIMAL_LOGP},
                  {"b_behaviour", COLUMN_BEHAVIOUR_LOGP},
                  {"f_ref", COLUMN_REFERENCE_LOGP}};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        TRY(read_tokens(inputs, tokens[i].key, tokens[i].column, all));
    TRY(check_numbers(json_object_get(inputs, "R"), "inputs.R", all->sequences,
                      columns_add(all, COLUMN_REWARD)));
    return check_numbers(json_object_get(inputs, "A"), "inputs.A", all->sequences,
                         columns_add(all, COLUMN_ADVANTAGE));
}

/* A sequence's number. */
static err_t read_index(const json_t *value, const char *name, size_t sequences, size_t *ret)
{
    const json_int_t i = json_integer_value(value);
    if (!json_is_integer(value) || i < 0 || (size_t)i >= sequences)
        return err_new(ERR_INVALID, "%s: a sequence's number, 0 to %zu, is allowed", name,
                       sequences - 1);
    *ret = (size_t)i;
    return OK;
}

static err_t read_pairs(const json_t *inputs, size_t sequences, struct check_inputs *ret)
{
    const char *name = "inputs.pairs_winner_loser";
    const json_t *pairs = json_object_get(inputs, "pairs_winner_loser");
    const size_t count = json_array_size(pairs);
    if (!json_is_array(pairs) || count > MOST_PAIRS)
        return err_new(ERR_INVALID, "%s: a list of at most %d pairs is allowed", name, MOST_PAIRS);
    ret->pair = mem_array(count, sizeof *ret->pair);
    ret->pairs = count;
    for (size_t p = 0; p < count; p++) {
        const json_t *pair = json_array_get(pairs, p);
        if (!json_is_array(pair) || json_array_size(pair) != 2)
            return err_new(ERR_INVALID, "%s: [%zu] is no pair of numbers", name, p);
        for (size_t side = 0; side < 2; side++)
            TRY(read_index(json_array_get(pair, side), name, sequences, &ret->pair[p][side]));
        if (ret->pair[p][0] == ret->pair[p][1])
            return err_new(ERR_INVALID, "%s: [%zu] has the same sequence twice", name, p);
    }
    return OK;
}

static err_t read_groups(const json_t *inputs, size_t sequences, struct check_inputs *ret)
{
    const char *name = "inputs.groups";
    const json_t *groups = json_object_get(inputs, "groups");
    SCOPED_MEM size_t *sizes = NULL;
    TRY(sizes_of(groups, name, sequences, &sizes, &ret->groups));
    SCOPED_MEM bool *seen = mem_array(sequences, sizeof *seen);
    ret->group = mem_array(ret->groups + 1, sizeof *ret->group);
    ret->member = mem_array(sequences, sizeof *ret->member);
    for (size_t g = 0; g < ret->groups; g++) {
        ret->group[g + 1] = ret->group[g] + sizes[g];
        for (size_t i = 0; i < sizes[g]; i++) {
            size_t *member = &ret->member[ret->group[g] + i];
            TRY(read_index(json_array_get(json_array_get(groups, g), i), name, sequences, member));
            if (seen[*member])
                return err_new(ERR_INVALID, "%s: sequence %zu is in two groups, or twice in one",
                               name, *member);
            seen[*member] = true;
        }
    }
    return OK;
}

err_t check_inputs_read(const json_t *root, const char *name, struct check_inputs *ret)
{
    const json_t *inputs = json_object_get(root, "inputs");
    SCOPED_VALUE(check_inputs) in = {0};
    SCOPED_MEM size_t *tokens = NULL;
    size_t sequences = 0;
    if (!json_is_object(inputs))
        return err_new(ERR_INVALID, "%s: inputs: an object is allowed", name);
    TRY(err_wrap(sizes_of(json_object_get(inputs, "l_policy"), "inputs.l_policy", MOST_TOKENS,
                          &tokens, &sequences),
                 "%s", name));
    if (sequences == 0)
        return err_new(ERR_INVALID, "%s: inputs.l_policy has no sequence", name);
    in.all = columns_new(sequences, tokens);
    TRY(err_wrap(read_columns(inputs, in.all), "%s", name));
    TRY(err_wrap(read_pairs(inputs, sequences, &in), "%s", name));
    TRY(err_wrap(read_groups(inputs, sequences, &in), "%s", name));
    *ret = in;
    memset(&in, 0, sizeof in);
    return OK;
}

void check_inputs_done(struct check_inputs *inputs)
{
    columns_free(inputs->all);
    mem_free(inputs->pair);
    mem_free(inputs->group);
    mem_free(inputs->member);
}
