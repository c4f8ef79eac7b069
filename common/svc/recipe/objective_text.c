/* The tables of rl as people read them: the part of docs/recipe.md on objectives. */
#include "rl/column_table.h"
#include "rl/figure_table.h"
#include "rl/objective_table.h"
#include "svc/recipe/recipe_objective.h"
#include "svc/recipe/recipe_options.h"
#include <ctype.h>

/* "REWARDER" as "rewarder". */
static void put_lower(struct bytes *ret, const char *text)
{
    for (; *text; text++)
        bytes_u8(ret, (uint8_t)tolower((unsigned char)*text));
}

static void put_columns(struct bytes *ret, uint64_t columns)
{
    size_t count = 0;
    for (unsigned id = 0; id < COLUMNS; id++)
        if (columns & COLUMN_BIT(id))
            bytes_printf(ret, "%s`%s`", count++ ? ", " : "", column_name(id));
}

static void put_figures(struct bytes *ret, uint64_t figures)
{
#define FIGURE_NAME(name, ...) #name,
    static const char *const names[] = {RL_FIGURES(FIGURE_NAME)};
#undef FIGURE_NAME
    size_t count = 0;
    for (size_t i = 0; i < RL_FIGURES_COUNT; i++)
        if (figures & (UINT64_C(1) << i))
            bytes_printf(ret, "%s`%s`", count++ ? ", " : "", names[i]);
}

static void put_objective(struct bytes *ret, const struct objective_row *row)
{
    const struct objective_config *defaults = &row->defaults;
    const bool ratio = objective_has_ratio(defaults) && defaults->gate.base != BASE_REFERENCE;
    bytes_printf(ret, "| `%s` | %s | %s | %s | %s | %s | %s | %s | ", row->name, row->help,
                 objective_data_name(row->data), row->source, objective_unit_name(row->unit),
                 advantage_name(defaults->advantage), gate_name(defaults->gate.gate),
                 reduce_name(defaults->reduce));
    put_columns(ret, row->needs | (ratio ? NEEDS_OF_RATIO : 0));
    bytes_text(ret, " | ");
    put_figures(ret, row->figures);
    bytes_text(ret, " |\n");
}

static void objectives(struct bytes *ret)
{
    bytes_text(ret,
               "\n## Objectives\n\n"
               "Values of `learner.objective`, from the table in `common/rl/objective_table.h`; "
               "`rlhfctl objectives show` has one's defaults and its behaviour under lag. "
               "`learner.advantage`, `gate` and `reduction` replace\nwhat the row has. "
               "`learner.kl.coef` above 0 needs the column ");
    put_columns(ret, NEEDS_OF_KL);
    bytes_text(ret, ", and a correction needs ");
    put_columns(ret, NEEDS_OF_CORRECTION);
    bytes_text(
        ret,
        ".\n\n| objective | what it is | data | source | one loss is of a | advantage | gate | "
        "reduction | columns it needs | figures beside the loss |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n");
    const struct objective_row *row;
    for (size_t i = 0; (row = objective_row_at(i)); i++)
        put_objective(ret, row);
}

static void words(struct bytes *ret)
{
    static const struct {
        const char *key;
        const struct word_row *(*word)(size_t i);
    } keys[] = {{"learner.advantage", advantage_word},
                {"learner.gate", gate_word},
                {"learner.importance_sampling_level", ratio_word},
                {"learner.reduction", reduce_word},
                {"learner.correction.kind", correction_word},
                {"learner.mask.kind", mask_word},
                {"learner.select.kind", selection_word},
                {"learner.ess_step.rule", step_rule_word},
                {"learner.dpo.loss_type", pair_loss_word},
                {"learner.dpo.anchor", anchor_word},
                {"learner.kto.rule", label_rule_word},
                {"learner.kl.estimator", kl_word}};
    bytes_text(
        ret,
        "\n### Words of an objective's keys\n\n"
        "A is the advantage, R the reward, r the ratio to older weights, d = logp - reference logp, "
        "w = exp(proximal_logp - behaviour_logp).\nA of a pair's token is minus the slope of the pair's "
        "loss. An update has B completions and N tokens, a "
        "completion T; z is beta times the difference of the sums of d in a pair. From the table\nin "
        "`common/rl/word_table.h`.\n\n| key | word | what it is |\n|---|---|---|\n");
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const struct word_row *row;
        for (size_t i = 0; (row = keys[k].word(i)); i++) {
            bytes_printf(ret, "| `%s` | `%s` | ", keys[k].key, row->word);
            markdown_cell(ret, row->help);
            bytes_text(ret, " |\n");
        }
    }
}

static void columns(struct bytes *ret)
{
    static const struct {
        const char *name, *unit, *dtype, *origin, *key, *value, *help;
    } rows[] = {
#define COLUMN_DOC(id, enum_, name, unit, dtype, origin, range, key, value, help)                  \
    {#name, #unit, #dtype, #origin, key, value, help},
        COLUMN_ROWS(COLUMN_DOC)
#undef COLUMN_DOC
    };
    bytes_text(
        ret,
        "\n### Columns\n\n"
        "Values that belong to a token, a sequence (one completion) or a group, from the table in "
        "`common/rl/column_table.h`. Objectives read\nthem; `f32`, `f64` and `u8` are their types on "
        "the wire and in the store.\n\n"
        "| column | of a | type | filled by the | with | what it is |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes_printf(ret, "| `%s` | ", rows[i].name);
        put_lower(ret, rows[i].unit);
        bytes_text(ret, " | `");
        put_lower(ret, rows[i].dtype);
        bytes_text(ret, "` | ");
        put_lower(ret, rows[i].origin);
        if (*rows[i].key)
            bytes_printf(ret, " | `%s: %s` | ", rows[i].key, rows[i].value);
        else
            bytes_text(ret, " | | ");
        markdown_cell(ret, rows[i].help);
        bytes_text(ret, " |\n");
    }
}

static void figures(struct bytes *ret)
{
    static const struct {
        const char *name, *over, *help;
    } rows[] = {
#define FIGURE_DOC(name, over, of, what) {#name, #over, what},
        RL_FIGURES(FIGURE_DOC)
#undef FIGURE_DOC
    };
    bytes_text(ret,
               "\n### Figures of objectives\n\n"
               "Measured in every update, from the table in `common/rl/figure_table.h`; a line of "
               "RUN/metrics.jsonl has their mean or sum over the\nround's updates.\n\n"
               "| figure | over updates | what it is |\n|---|---|---|\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes_printf(ret, "| `%s` | ", rows[i].name);
        put_lower(ret, rows[i].over);
        bytes_text(ret, " | ");
        markdown_cell(ret, rows[i].help);
        bytes_text(ret, " |\n");
    }
}

void recipe_objectives_markdown(struct bytes *ret)
{
    objectives(ret);
    words(ret);
    columns(ret);
    figures(ret);
}
