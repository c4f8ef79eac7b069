/* reward audit: labels and texts of preference rows that look wrong, or planted. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/reward/audit_report.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"

struct options {
    const char *data, *share, *source_share, *out;
    bool json;
};

static err_t read_pairs(const struct recipe *recipe, const struct options *o, struct audit *audit)
{
    struct mixture_file one = {.path = (char *)o->data, .weight = 1};
    const struct recipe_files given = {1, &one};
    const struct row_names names = {recipe->data.prompt_column, recipe->data.completion_column,
                                    recipe->data.text_column};
    if (!o->data)
        TRY(recipe_require(recipe, "data.train"));
    return audit_pairs_read(o->data ? &given : &recipe->data.train, &names, &audit->pairs);
}

static err_t read_options(const struct options *o, struct audit *audit)
{
    audit->share = 0.1;
    audit->source_cap = 1;
    if (o->share)
        TRY(flag_number("--share", o->share, 0, 1, &audit->share));
    if (o->source_share)
        TRY(flag_number("--source-share", o->source_share, 0, 1, &audit->source_cap));
    return OK;
}

static err_t tell(const struct recipe *recipe, const struct options *o, const struct audit *audit)
{
    SCOPED_MEM char *own =
        *recipe->directory ? file_join(recipe->directory, "suspects.jsonl") : NULL;
    const char *path = o->out ? o->out : own;
    size_t lines = 0;
    if (path && !o->out)
        TRY(file_make_directories(recipe->directory));
    if (path)
        TRY(audit_suspects_write(audit, path, &lines));
    if (o->json) {
        audit_print_json(audit);
        return OK;
    }
    audit_print(audit);
    if (path)
        printf("%s: %zu suspect pairs\n", path, lines);
    return OK;
}

err_t command_reward_audit(int argc, char **argv)
{
    struct options o = {0};
    struct recipe_flag flags[] = {
        {"data", "FILE", "JSON lines of preference rows, also compressed by zstd; else data.train",
         .text = &o.data},
        {"share", "S", "share of the pairs to list by their labels (0.1)", .text = &o.share},
        {"source-share", "S", "alarm where one source has more of all pairs (1: never)",
         .text = &o.source_share},
        {"out", "FILE", "suspects as JSON lines; else RUN/suspects.jsonl, if --run is given",
         .text = &o.out},
        {"json", NULL, "print one JSON object", .flag = &o.json},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl reward audit",
        .purpose =
            "Looks for wrong labels and planted texts in preference rows: labels against the lengths of answers,\n"
            "annotators and sources apart from the others (columns annotator, source), phrases and templates that\n"
            "win more often than chance lets them.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .recipe_optional = true};
    SCOPED(recipe) recipe = NULL;
    SCOPED_VALUE(audit) audit = {0};
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(read_options(&o, &audit));
    TRY(read_pairs(recipe, &o, &audit));
    audit_count(&audit);
    return tell(recipe, &o, &audit);
}
