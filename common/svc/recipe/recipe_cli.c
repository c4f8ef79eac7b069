#include "svc/recipe/recipe_cli.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/version.h"
#include "svc/recipe/suggest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The command line as far as it is read. */
struct line {
    const struct recipe_cli *cli;
    char **argv; // from the next word on; ends with NULL
    struct recipe_source source;
    const char **sets; // what source.sets points to; owned
    const char *log;
    bool help, version;
};

static err_t usage(const struct line *line, const char *what, const char *word)
{
    return err_new(ERR_INVALID, "%s: %s '%.100s'; %s --help says what there is", line->cli->program,
                   what, word, line->cli->program);
}

static err_t unknown_flag(const struct line *line, const char *name)
{
    static const char *const common[] = {"set", "run", "help", "version", "recipe-fd", "log"};
    enum { COMMON = sizeof common / sizeof *common };
    const size_t own = line->cli->flags_count, count = own + COMMON - (line->cli->member ? 0 : 2);
    SCOPED_MEM const char **names = mem_array(count, sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = i < own ? line->cli->flags[i].name : common[i - own];
    const char *meant = suggest(name, names, count);
    if (!meant)
        return usage(line, "no such flag: ", name);
    return err_new(ERR_INVALID, "%s: no such flag: '--%.100s'; did you mean '--%s'?",
                   line->cli->program, name, meant);
}

/* The flag's argument: what follows '=', or the next word. */
static err_t take_argument(struct line *line, const char *name, const char *joined,
                           const char **ret)
{
    if (joined) {
        *ret = joined;
        return OK;
    }
    if (!*line->argv)
        return usage(line, "nothing follows", name);
    *ret = *line->argv++;
    return OK;
}

static err_t add_set(struct line *line, const char *set)
{
    line->sets = mem_grow(line->sets, line->source.sets_count + 1, sizeof *line->sets);
    line->sets[line->source.sets_count++] = set;
    line->source.sets = line->sets;
    return OK;
}

static err_t take_own(struct line *line, const struct recipe_flag *flag, const char *word,
                      const char *joined)
{
    if (flag->argument)
        return take_argument(line, word, joined, flag->text);
    if (joined)
        return usage(line, "takes no value:", word);
    *flag->flag = true;
    return OK;
}

/* word is "--name" or "--name=value". */
static err_t take_flag(struct line *line, const char *word)
{
    const char *equals = strchr(word, '='), *joined = equals ? equals + 1 : NULL;
    SCOPED_MEM char *name =
        equals ? strndup(word + 2, (size_t)(equals - word - 2)) : strdup(word + 2);
    const char *argument = NULL;
    if (strcmp(name, "set") == 0) {
        TRY(take_argument(line, word, joined, &argument));
        return add_set(line, argument);
    }
    if (strcmp(name, "run") == 0)
        return take_argument(line, word, joined, &line->source.run);
    if (line->cli->member && strcmp(name, "log") == 0)
        return take_argument(line, word, joined, &line->log);
    if (line->cli->member && strcmp(name, "recipe-fd") == 0)
        return take_argument(line, word, joined, &line->source.descriptor);
    for (size_t i = 0; i < line->cli->flags_count; i++)
        if (strcmp(name, line->cli->flags[i].name) == 0)
            return take_own(line, &line->cli->flags[i], word, joined);
    bool help = strcmp(name, "help") == 0, version = strcmp(name, "version") == 0;
    if ((!help && !version) || joined)
        return unknown_flag(line, name);
    line->help |= help;
    line->version |= version;
    return OK;
}

static err_t take_word(struct line *line, char **at)
{
    if (!line->source.file) {
        line->source.file = *at;
        return OK;
    }
    const struct recipe_cli *cli = line->cli;
    if (!cli->positional_help || *cli->positional_count == cli->positional_max)
        return usage(line, "one word too many:", *at);
    cli->positional[(*cli->positional_count)++] = *at;
    return OK;
}

static err_t read_line(struct line *line)
{
    bool flags = true;
    for (char **at = line->argv; *at; at++)
        if (!utf8_is(*at))
            return usage(line, "this is no UTF-8:", *at);
    while (*line->argv && !line->help) {
        char **at = line->argv++;
        if (flags && strcmp(*at, "--") == 0)
            flags = false;
        else if (flags && strcmp(*at, "-h") == 0)
            line->help = true;
        else if (flags && strncmp(*at, "--", 2) == 0)
            TRY(take_flag(line, *at));
        else if (flags && **at == '-' && (*at)[1])
            return usage(line, "no such flag:", *at);
        else
            TRY(take_word(line, at));
    }
    return OK;
}

/* A recipe that is not there is as wrong as one that says nonsense: programs exit alike. */
static err_t as_usage(err_t e)
{
    if (!err_failed(e) || err_code(e) == ERR_INVALID)
        return e;
    err_t wrong = err_new(ERR_INVALID, "%s", err_message(e));
    err_free(e);
    return wrong;
}

/* With --log there is one file for both streams. */
static err_t open_log(const struct recipe *recipe, const char *file)
{
    if (recipe->log.format != RECIPE_LOG_DEFAULT)
        log_as(recipe->log.format == RECIPE_LOG_JSON ? LOG_JSON : LOG_TEXT);
    return recipe->log.stream == RECIPE_STREAM_STDOUT && !file ? log_to_output() : OK;
}

static err_t load(struct line *line, struct recipe **ret)
{
    TRY(read_line(line));
    if (line->help) {
        SCOPED_VALUE(bytes) text = {0};
        recipe_help(line->cli, &text);
        fputs((const char *)text.data, stdout);
        return OK;
    }
    if (line->version) {
        printf("%s %s\n", line->cli->program, version_text);
        return OK;
    }
    if (line->log)
        TRY(log_to(line->log, LOG_MAX_BYTES, LOG_KEPT));
    if (!line->source.file && !line->cli->recipe_optional)
        return err_new(ERR_INVALID, "%s: no recipe; usage: %s RECIPE.yaml; --help says more",
                       line->cli->program, line->cli->program);
    SCOPED(recipe) recipe = NULL;
    line->source.daemon = line->cli->member;
    TRY(as_usage(recipe_read(&line->source, &recipe)));
    if (line->cli->member)
        TRY(open_log(recipe, line->log));
    *ret = STEAL(recipe);
    return OK;
}

err_t recipe_load(const struct recipe_cli *cli, int argc, char **argv, struct recipe **ret)
{
    struct line line = {.cli = cli, .argv = argv + (argc > 0)};
    err_t result = load(&line, ret);
    free(line.sets);
    return result;
}
