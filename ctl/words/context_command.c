/* context: names for runs. */
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include "ctl/words/context.h"
#include "ctl/words/output.h"
#include <string.h>

static err_t show_contexts(const json_t *contexts, bool json)
{
    SCOPED(table) table = table_new("CURRENT|NAME|RUN|ADDRESS|TLS");
    const char *current = json_string_value(json_object_get(contexts, "current")), *name;
    json_t *one;
    if (json) {
        output_json(contexts);
        return OK;
    }
    json_object_foreach (json_object_get(contexts, "contexts"), name, one) {
        const char *run = json_string_value(json_object_get(one, "run"));
        const char *address = json_string_value(json_object_get(one, "address"));
        const char *tls = json_string_value(json_object_get(one, "tls"));
        table_cell(table, "%s", current && strcmp(current, name) == 0 ? "*" : " ");
        table_cell(table, "%s", name);
        table_cell(table, "%s", run ? run : "");
        table_cell(table, "%s", address ? address : "");
        table_cell(table, "%s", tls ? tls : "");
    }
    table_print(table, stdout);
    return OK;
}

err_t command_context_list(int argc, char **argv)
{
    const char *output = NULL;
    bool helped, json;
    SCOPED_JSON json_t *contexts = NULL;
    const struct argument_flag rows[] = {{"o", "FORMAT", "table, wide or json", .text = &output}};
    const struct arguments arguments = {
        .usage = "context list",
        .purpose = "Shows the named runs. * marks the run of commands that name no other.",
        .flags = rows,
        .flags_count = 1};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(output_format(output, &json));
    TRY(contexts_read(&contexts));
    return show_contexts(contexts, json);
}

err_t command_context_add(int argc, char **argv)
{
    const char *run = NULL, *address = NULL, *tls = NULL, *name;
    size_t count;
    bool helped;
    SCOPED_JSON json_t *contexts = NULL;
    const struct argument_flag rows[] = {
        {"run", "DIR", "directory of a run on this machine", .text = &run},
        {"address", "HOST:PORT", "a learner's admin address", .text = &address},
        {"tls", "DIR", "keys to show and roots to trust: DIR, DIR/admin or DIR/viewer",
         .text = &tls}};
    const struct arguments arguments = {
        .usage = "context add NAME --run DIR | --address HOST:PORT [--tls DIR]",
        .purpose =
            "Gives a name to a run, or an existing name to another run. The first named run is in use at once.",
        .examples =
            "  rlhfctl context add sort --run RUN\n  rlhfctl context add cluster --address learner:7013 --tls certs/anna",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &name,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(contexts_read(&contexts));
    TRY(contexts_add(contexts, name, run, address, tls));
    return contexts_write(contexts);
}

static err_t change(int argc, char **argv, const char *usage, const char *purpose,
                    err_t (*fn)(json_t *contexts, const char *name))
{
    const char *name;
    size_t count;
    bool helped;
    SCOPED_JSON json_t *contexts = NULL;
    const struct arguments arguments = {.usage = usage,
                                        .purpose = purpose,
                                        .words = &name,
                                        .words_min = 1,
                                        .words_max = 1,
                                        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(contexts_read(&contexts));
    TRY(fn(contexts, name));
    return contexts_write(contexts);
}

err_t command_context_use(int argc, char **argv)
{
    return change(argc, argv, "context use NAME",
                  "Chooses the run of later commands that name no other.", contexts_use);
}

err_t command_context_remove(int argc, char **argv)
{
    return change(argc, argv, "context remove NAME", "Forgets a name. The run is left alone.",
                  contexts_remove);
}
