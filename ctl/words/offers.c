/* __complete: prints each word that may stand at the end of a command line, for the scripts of
 * completion.c. Commands, flags, option keys, contexts and workers are offered. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "svc/recipe/recipe_live.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* The words after "rlhfctl"; the last one is being written. */
struct completing {
    int argc; // as of main's argv: [0] is the program
    char **argv;
    const char *word;
};

static void offer(const struct completing *c, const char *candidate, const char *end)
{
    if (strncmp(candidate, c->word, strlen(c->word)) == 0)
        printf("%s%s\n", candidate, end);
}

/* Bytes of a name's first word. */
static size_t first_of(const struct command *command)
{
    return strcspn(command->name, " ");
}

/* Commands of one noun need not stand beside each other. */
static bool offered_before(const struct command *commands, size_t i)
{
    const size_t len = first_of(&commands[i]);
    for (size_t j = 0; j < i; j++)
        if (commands[j].summary && first_of(&commands[j]) == len &&
            strncmp(commands[j].name, commands[i].name, len) == 0)
            return true;
    return false;
}

static void offer_commands(const struct completing *c)
{
    size_t count;
    const struct command *commands = commands_all(&count);
    for (size_t i = 0; i < count; i++) {
        const char *name = commands[i].name, *space = name + first_of(&commands[i]);
        char first[32];
        snprintf(first, sizeof first, "%.*s", (int)(space - name), name);
        if (!commands[i].summary)
            continue;
        if (c->argc == 2 && !offered_before(commands, i))
            offer(c, first, "");
        else if (c->argc == 3 && *space && strcmp(first, c->argv[1]) == 0)
            offer(c, space + 1, "");
    }
}

/* The command's --help. A child prints it, because it goes to standard output. */
static void help_of(const struct command *command, struct bytes *ret)
{
    char name[] = "rlhfctl", help[] = "--help", *words[] = {name, help, NULL}, chunk[4096];
    int ends[2];
    ssize_t got;
    if (pipe(ends) != 0)
        return;
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        err_free(command->run(2, words));
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    while (child > 0 && (got = read(ends[0], chunk, sizeof chunk)) > 0)
        bytes_put(ret, chunk, (size_t)got);
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
}

/* The flags in it, each once. */
static void offer_flags(const struct completing *c, const struct command *command)
{
    SCOPED_VALUE(bytes) help = {0};
    SCOPED_VALUE(bytes) seen = {0};
    help_of(command, &help);
    const char *text = help.len ? (char *)help.data : "";
    bytes_text(&seen, " ");
    for (const char *at = text; (at = strchr(at, '-')); at += strspn(at, "-")) {
        const size_t dashes = strspn(at, "-");
        const size_t letters = strspn(at + dashes, "abcdefghijklmnopqrstuvwxyz-");
        if (dashes > 2 || !letters || (dashes == 1 && letters > 1) ||
            (at > text && !strchr(" \n[|`(", at[-1])))
            continue;
        SCOPED_MEM char *flag = mem_printf(" %.*s ", (int)(dashes + letters), at);
        if (strstr((char *)seen.data, flag))
            continue;
        bytes_text(&seen, flag);
        flag[dashes + letters + 1] = 0;
        offer(c, flag + 1, "");
    }
    offer(c, "--help", "");
}

static void offer_contexts(const struct completing *c)
{
    SCOPED_JSON json_t *contexts = NULL;
    const char *name;
    json_t *one;
    err_free(contexts_read(&contexts));
    json_object_foreach (json_object_get(contexts, "contexts"), name, one)
        offer(c, name, "");
}

struct keys {
    const struct completing *completing;
    bool to_set; // live ones, as KEY=
};

static void offer_key(void *arg, const struct recipe_setting *setting)
{
    const struct keys *keys = arg;
    if (!keys->to_set)
        offer(keys->completing, setting->key, "");
    else if (setting->live)
        offer(keys->completing, setting->key, "=");
}

static void offer_keys(const struct completing *c, bool to_set)
{
    SCOPED(recipe) recipe = NULL;
    struct keys keys = {c, to_set};
    const struct recipe_source none = {0};
    err_t failed = recipe_read(&none, &recipe);
    if (!err_failed(failed))
        recipe_describe(recipe, offer_key, &keys);
    err_free(failed);
}

/* Asks the learner that the words before name, for a second at most. */
static err_t offer_workers(const struct completing *c)
{
    struct admin_flags flags = {.timeout = "1"};
    for (int i = 2; i + 2 < c->argc; i++) {
        if (strcmp(c->argv[i], "--run") == 0)
            flags.target.run = c->argv[i + 1];
        if (strcmp(c->argv[i], "--address") == 0)
            flags.target.address = c->argv[i + 1];
        if (strcmp(c->argv[i], "--context") == 0)
            flags.target.context = c->argv[i + 1];
    }
    SCOPED(admin) admin = NULL;
    SCOPED_JSON json_t *reply = NULL;
    TRY(admin_open(&flags, &admin));
    TRY(admin_call(admin, "LearnerAdmin/ListWorkers", json_object(), &reply));
    size_t i;
    json_t *one;
    json_array_foreach (json_object_get(reply, "workers"), i, one)
        offer(c, answer_text(one, "name"), "");
    return OK;
}

static void offer_list(const struct completing *c, const char *const *words)
{
    for (; *words; words++)
        offer(c, *words, "");
}

static void offer_words(const struct completing *c, const struct command *command)
{
    static const char *const parts[] = {"generation", "training", NULL};
    static const char *const shells[] = {"bash", "zsh", NULL};
    const char *name = command->name;
    if (strcmp(name, "get") == 0 || strcmp(name, "set") == 0)
        offer_keys(c, *name == 's');
    else if (strcmp(name, "pause") == 0 || strcmp(name, "resume") == 0)
        offer_list(c, parts);
    else if (strcmp(name, "completion") == 0)
        offer_list(c, shells);
    else if (strcmp(name, "context use") == 0 || strcmp(name, "context remove") == 0)
        offer_contexts(c);
    else if (strcmp(name, "drain") == 0)
        err_free(offer_workers(c));
}

err_t command_complete_words(int argc, char **argv)
{
    static const char *const formats[] = {"table", "wide", "json", NULL};
    static const char *const roles[] = {"generator", "rewarder", "learner",
                                        "viewer",    "admin",    NULL};
    const struct completing c = {argc, argv, argc > 1 ? argv[argc - 1] : ""};
    const char *before = argc > 2 ? argv[argc - 2] : "";
    int words = 0;
    const struct command *command = argc > 2 ? command_find(argc - 1, argv, &words) : NULL;
    if (argc < 2)
        return OK;
    if (argc <= 3)
        offer_commands(&c);
    if (!command)
        return OK;
    if (strcmp(before, "-o") == 0)
        offer_list(&c, formats);
    else if (strcmp(before, "--context") == 0)
        offer_contexts(&c);
    else if (strcmp(before, "--role") == 0)
        offer_list(&c, roles);
    else if (strcmp(before, "--reset") == 0)
        offer_keys(&c, false);
    else if (c.word[0] == '-')
        offer_flags(&c, command);
    else if (before[0] != '-' || words + 1 == argc - 1)
        offer_words(&c, command);
    return OK;
}
