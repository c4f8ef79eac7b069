#include "rewarder/program/program_words.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <stdlib.h>
#include <string.h>

/* Takes path. */
static void may_read(struct program_words *words, char *path)
{
    words->read = mem_grow(words->read, words->reads + 1, sizeof *words->read);
    words->read[words->reads++] = path;
}

/* "/a/b/c" without its last name; at the top "/" would be everything, and is nothing. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash > path ? mem_printf("%.*s", (int)(slash - path), path) : NULL;
}

/* PREFIX of PREFIX/bin/python, as it is named and where links lead: an environment has its
 * libraries in one and its interpreter in the other. */
static void may_read_prefix(struct program_words *words, const char *program)
{
    SCOPED_MEM char *real = realpath(program, NULL);
    const char *const names[] = {program, real};
    for (size_t i = 0; i < 2; i++) {
        SCOPED_MEM char *directory = names[i] ? parent_of(names[i]) : NULL;
        SCOPED_MEM char *prefix = directory ? parent_of(directory) : NULL;
        const size_t len = directory ? strlen(directory) : 0;
        const bool is_tree = prefix && len > 4 && strcmp(directory + len - 4, "/bin") == 0;
        if (is_tree || directory)
            may_read(words, is_tree ? STEAL(prefix) : STEAL(directory));
    }
}

static bool is_in_path(const char *name)
{
    static const char *const directories[] = {"/usr/local/bin", "/usr/bin", "/bin"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        SCOPED_MEM char *path = file_join(directories[i], name);
        if (file_exists(path))
            return true;
    }
    return false;
}

static err_t check_program(const char *name)
{
    if (*name == '/' ? file_exists(name) : !strchr(name, '/') && is_in_path(name))
        return OK;
    return err_new(ERR_NOT_FOUND, "command: no program '%s'%s", name,
                   *name == '/' ? "" : " in /usr/local/bin, /usr/bin or /bin");
}

err_t program_words_read(const struct recipe_texts *command, const struct recipe_texts *read,
                         struct program_words *ret)
{
    struct program_words words = {.argv = mem_array(command->count + 1, sizeof *words.argv)};
    err_t failed = command->count ? check_program(command->at[0])
                                  : err_new(ERR_INVALID, "command: is empty; a program is needed");
    for (size_t i = 0; i < command->count; i++) {
        const char *word = command->at[i];
        words.argv[i] = mem_string(word);
        if (i == 0 && *word == '/')
            may_read_prefix(&words, word);
        SCOPED_MEM char *directory =
            i && *word == '/' && file_exists(word) ? parent_of(word) : NULL;
        if (directory)
            may_read(&words, STEAL(directory));
    }
    for (size_t i = 0; i < read->count; i++) {
        if (!err_failed(failed) && (*read->at[i] != '/' || !file_exists(read->at[i])))
            failed = err_new(ERR_NOT_FOUND, "read: '%s' is no absolute name of what is there",
                             read->at[i]);
        may_read(&words, mem_string(read->at[i]));
    }
    if (err_failed(failed)) {
        program_words_done(&words);
        return failed;
    }
    *ret = words;
    return OK;
}

void program_words_done(struct program_words *words)
{
    for (size_t i = 0; words->argv && words->argv[i]; i++)
        mem_free(words->argv[i]);
    for (size_t i = 0; i < words->reads; i++)
        mem_free(words->read[i]);
    mem_free(words->argv);
    mem_free(words->read);
    *words = (struct program_words){0};
}
