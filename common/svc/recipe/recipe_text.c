/* The table as people read it: a complete recipe, --help, docs/recipe.md. */
#include "base/log.h"
#include "base/mem.h"
#include "svc/exit_status.h"
#include "svc/recipe/preset.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/recipe/recipe_objective.h"
#include "svc/recipe/recipe_options.h"
#include "svc/recipe/recipe_words.h"
#include <string.h>

static void render(struct option_rows rows, const char *group, int depth, struct bytes *ret)
{
    for (size_t i = 0; i < rows.count; i++) {
        const struct recipe_option *row = &rows.row[i];
        bytes_printf(ret, "%*s%s:", 2 * depth, "", row->key);
        if (row->kind == OPTION_group) {
            bytes_text(ret, "\n");
            render(row->rows(), group + row->offset, depth + 1, ret);
            continue;
        }
        bytes_text(ret, " ");
        option_put(row, group, ret);
        bytes_text(ret, "\n");
    }
}

void recipe_render(const struct recipe *recipe, struct bytes *ret)
{
    render(option_root(), (const char *)recipe, 0, ret);
}

static void put_default(const struct recipe_option *row, struct bytes *ret)
{
    bytes_text(ret, *row->value ? row->value : "not set");
}

static void help_rows(struct option_rows rows, const char *prefix, struct bytes *ret)
{
    for (size_t i = 0; i < rows.count; i++) {
        const struct recipe_option *row = &rows.row[i];
        SCOPED_MEM char *path = mem_printf("%s%s", prefix, row->key);
        if (row->kind == OPTION_group) {
            SCOPED_MEM char *below = mem_printf("%s.", path);
            help_rows(row->rows(), below, ret);
            continue;
        }
        SCOPED_VALUE(bytes) allowed = {0};
        option_allowed(row, &allowed);
        bytes_printf(ret, "  %-34s %s\n%37s(%s; default ", path, row->help, "",
                     (char *)allowed.data);
        put_default(row, ret);
        bytes_text(ret, ")\n");
    }
}

static void help_flags(const struct recipe_cli *cli, struct bytes *ret)
{
    bytes_printf(ret,
                 "\nFlags:\n"
                 "  %-34s override one option; again for more\n"
                 "  %-34s directory of the run; relative paths are looked up there first\n",
                 "--set SECTION.KEY=VALUE", "--run DIR");
    bool version = false; // a program may mean something of its own by it
    for (size_t i = 0; i < cli->flags_count; i++) {
        const struct recipe_flag *flag = &cli->flags[i];
        version = version || strcmp(flag->name, "version") == 0;
        SCOPED_MEM char *left = mem_printf("--%s%s%s", flag->name, flag->argument ? " " : "",
                                           flag->argument ? flag->argument : "");
        bytes_printf(ret, "  %-34s %s\n", left, flag->help);
    }
    if (cli->member)
        bytes_printf(
            ret,
            "  %-34s open file to read the recipe from; RECIPE.yaml only names it\n"
            "  %-34s log to FILE; at %d MiB it becomes FILE.1, then FILE.2, up to FILE.%d\n",
            "--recipe-fd N", "--log FILE", LOG_MAX_BYTES >> 20, LOG_KEPT);
    bytes_printf(ret, "  %-34s this\n", "--help");
    if (!version)
        bytes_printf(ret, "  %-34s version\n", "--version");
}

static void help_statuses(struct bytes *ret)
{
    bytes_text(ret, "\nExit status of a daemon:\n");
#define HELP_STATUS(name, status, again, text)                                                     \
    bytes_printf(ret, "  %d  %s%s\n", status, text,                                                \
                 (again)        ? ""                                                               \
                 : (status) > 0 ? "; the same start would end the same"                            \
                                : "");
    EXIT_STATUSES(HELP_STATUS)
#undef HELP_STATUS
}

void recipe_help(const struct recipe_cli *cli, struct bytes *ret)
{
    bytes_printf(ret, "%s\n\nusage: %s %s [--set SECTION.KEY=VALUE]... [--run DIR]", cli->purpose,
                 cli->program, cli->recipe_optional ? "[RECIPE.yaml]" : "RECIPE.yaml");
    for (size_t i = 0; i < cli->flags_count; i++) {
        const struct recipe_flag *flag = &cli->flags[i];
        bytes_printf(ret, " [--%s%s%s]", flag->name, flag->argument ? " " : "",
                     flag->argument ? flag->argument : "");
    }
    bytes_printf(ret, "%s%s\n", cli->positional_help ? " " : "",
                 cli->positional_help ? cli->positional_help : "");
    help_flags(cli, ret);
    if (cli->member)
        help_statuses(ret);
    bytes_text(ret, "\nOptions of the recipe (YAML: SECTION: {KEY: VALUE}), or of --set:\n");
    struct option_rows sections = option_root();
    for (size_t i = 0; i < sections.count; i++) {
        const struct recipe_option *section = &sections.row[i];
        SCOPED_MEM char *prefix = mem_printf("%s.", section->key);
        bytes_printf(ret, "\n%s: %s\n", section->key, section->help);
        help_rows(section->rows(), prefix, ret);
    }
    bytes_text(ret, "\nEach entry of data.train and sft.data, where they are lists:\n");
    help_rows(option_file(), "", ret);
    bytes_text(ret,
               "\nEach entry of rewarder.scorers, beside the keys of its kind (rlhfctl recipe):\n");
    help_rows(option_scorer(), "", ret);
}

void markdown_option(struct bytes *ret, const struct recipe_option *row, const char *key,
                     const char *note)
{
    const char *quote = *row->value && !row->required ? "`" : "";
    SCOPED_VALUE(bytes) allowed = {0};
    option_allowed(row, &allowed);
    bytes_printf(ret, "| `%s` | %s%s%s | %s | ", key, quote,
                 row->required ? "required"
                 : *row->value ? row->value
                               : "not set",
                 quote, option_kind_name(row));
    markdown_cell(ret, (char *)allowed.data);
    bytes_text(ret, " | ");
    if (note)
        bytes_printf(ret, "%s%s| ", note, *note ? " " : "");
    markdown_cell(ret, row->help);
    bytes_text(ret, " |\n");
}

static void markdown_rows(struct option_rows rows, const char *section, const char *prefix,
                          struct bytes *ret)
{
    for (size_t i = 0; i < rows.count; i++) {
        const struct recipe_option *row = &rows.row[i];
        SCOPED_MEM char *path = mem_printf("%s%s", prefix, row->key);
        if (row->kind == OPTION_group) {
            SCOPED_MEM char *below = mem_printf("%s.", path);
            markdown_rows(row->rows(), section, below, ret);
            continue;
        }
        SCOPED_MEM char *whole = mem_printf("%s.%s", section, path);
        markdown_option(ret, row, path, option_is_live(whole, row) ? "live" : "");
    }
}

static void markdown_table(struct option_rows rows, const char *title, const char *help,
                           const char *prefix, struct bytes *ret)
{
    bytes_printf(
        ret,
        "\n## %s\n\n%s\n\n| key | default | type | allowed | | what it is |\n|---|---|---|---|---|---|\n",
        title, help);
    markdown_rows(rows, title, prefix, ret);
}

static void markdown_words(struct bytes *ret)
{
    bytes_text(
        ret,
        "\n## Names of other trainers\n\nA recipe that uses one of these names is told the key that is meant. "
        "From the table in\n`common/svc/recipe/recipe_words_table.h`.\n\n| name | here | |\n|---|---|---|\n");
    const struct recipe_word *word;
    for (size_t i = 0; (word = recipe_word_at(i)); i++) {
        bytes_printf(ret, "| `%s` | %s%s%s | ", word->name, *word->ours ? "`" : "",
                     *word->ours ? word->ours : "no such thing", *word->ours ? "`" : "");
        markdown_cell(ret, word->note);
        bytes_text(ret, " |\n");
    }
}

static void markdown_presets(struct bytes *ret)
{
    const struct preset *preset;
    bytes_text(ret,
               "\n## Presets\n\n"
               "`rlhfctl recipe --preset NAME` prints one as a recipe, to which the model, the "
               "data and the scorers are added. From the table in\n"
               "`common/svc/recipe/preset_table.h`.\n\n| preset | what it is |\n|---|---|\n");
    for (size_t i = 0; (preset = preset_at(i)); i++)
        bytes_printf(ret, "| `%s` | %s |\n", preset->name, preset->help);
}

void recipe_markdown(const char *stages, struct bytes *ret)
{
    bytes_text(
        ret,
        "# The recipe\n\nOne YAML file, read by every program; written from the table in "
        "`common/svc/recipe/recipe_table.h`, which also makes the parser and `--help`.\nOptions marked live may be "
        "changed while the run goes on. `--set section.key=value` overrides the file.\n");
    struct option_rows sections = option_root();
    for (size_t i = 0; i < sections.count; i++) {
        const struct recipe_option *section = &sections.row[i];
        markdown_table(section->rows(), section->key, section->help, "", ret);
    }
    markdown_table(option_file(), "data.train and sft.data",
                   "Each entry of a list of files is a path, or a map of these.", "", ret);
    markdown_table(option_scorer(), "rewarder.scorers",
                   "Each entry of the list is a map of these and of its kind's own.", "", ret);
    bytes_text(ret, stages);
    recipe_objectives_markdown(ret);
    markdown_presets(ret);
    markdown_words(ret);
}
