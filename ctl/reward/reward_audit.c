/* reward audit: labels and texts of preference rows that look wrong, or planted. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/reward/audit_margins.h"
#include "ctl/reward/audit_probes.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_cli.h"

struct options {
    const char *data, *model, *folds, *repeats, *share, *source_share, *out;
    bool blind, json;
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

static err_t read_options(const struct options *o, struct audit *audit, struct audit_folds *folds)
{
    audit->share = 0.1;
    audit->source_cap = 1;
    folds->blind = o->blind;
    if (o->share)
        TRY(flag_number("--share", o->share, 0, 1, &audit->share));
    if (o->source_share)
        TRY(flag_number("--source-share", o->source_share, 0, 1, &audit->source_cap));
    if (o->folds)
        TRY(flag_int("--folds", o->folds, 0, AUDIT_FOLDS, &folds->folds));
    if (o->repeats)
        TRY(flag_int("--repeats", o->repeats, 1, AUDIT_REPEATS, &folds->repeats));
    if (folds->folds == 1)
        return err_new(ERR_INVALID, "--folds 1: a model would be trained on what it scores; "
                                    "allowed: 0, which trains none, and 2 to 64");
    if (o->model && (o->folds || o->repeats))
        return err_new(ERR_INVALID, "--model scores all pairs: --folds and --repeats train models; "
                                    "either may be given");
    return OK;
}

/* By the given model, by folds in RUN, or by none. */
static err_t find_margins(const struct recipe *recipe, const struct options *o, char **argv,
                          const struct audit_folds *folds, struct audit *audit)
{
    if (o->model)
        return audit_margins_model(recipe, o->model, audit);
    if (!folds->folds || (!*recipe->directory && !o->folds))
        return OK;
    if (!*recipe->directory)
        return err_new(ERR_INVALID, "--run DIR is missing: for the models of --folds");
    if (!*recipe->file)
        return err_new(ERR_INVALID, "RECIPE is missing: how are the models of --folds trained? "
                                    "Allowed without one: --folds 0, and --model DIR");
    return audit_margins_folds(recipe, argv, folds, audit);
}

/* By the given model, or the first that was trained. */
static err_t probe(const struct recipe *recipe, const struct options *o, struct audit *audit)
{
    if (!audit->margin || !*recipe->directory)
        return OK;
    SCOPED_MEM char *own = file_join(recipe->directory, "folds/1-1/checkpoints/latest");
    SCOPED_MEM char *path = file_join(recipe->directory, "probes.jsonl");
    TRY(file_make_directories(recipe->directory));
    return audit_probes_run(recipe, o->model ? o->model : own, path, audit);
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
        {"model", "DIR", "an independent reward model, whose margins judge the labels",
         .text = &o.model},
        {"folds", "K",
         "else models trained in RUN/folds, each on all folds of prompts but one (4; 0: none)",
         .text = &o.folds},
        {"repeats", "N", "times that prompts are dealt to folds anew, and margins averaged (1)",
         .text = &o.repeats},
        {"length-blind", NULL,
         "folds' models see the longer answer win as often as the shorter one: rows are left out",
         .flag = &o.blind},
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
            "Looks for wrong labels and planted texts in preference rows: labels against the margins of models that\n"
            "were not trained on them, and against the lengths of answers; annotators and sources apart from the\n"
            "others (columns annotator, source); phrases and templates that win more often than chance lets them.\n"
            "The recipe is that of rlhfctl reward train. Without --run and --model texts alone are looked at.",
        .flags = flags,
        .flags_count = sizeof flags / sizeof *flags,
        .recipe_optional = true};
    SCOPED(recipe) recipe = NULL;
    SCOPED_VALUE(audit) audit = {0};
    struct audit_folds folds = {.folds = 4, .repeats = 1};
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(read_options(&o, &audit, &folds));
    TRY(read_pairs(recipe, &o, &audit));
    TRY(find_margins(recipe, &o, argv, &folds, &audit));
    audit_count(&audit);
    TRY(probe(recipe, &o, &audit));
    return tell(recipe, &o, &audit);
}
