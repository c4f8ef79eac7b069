/* explain version: hands over to `rlhfd-learner --job explain`, which reads the run's store. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/command.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

err_t command_explain_version(int argc, char **argv)
{
    if (argc < 3 || argv[1][0] == '-') {
        puts(
            "Usage: rlhfctl explain version N RECIPE --run RUN [-o json]\n"
            "Shows what made version N of the weights: its round and lineage, the groups with prompt, generator, lag and\n"
            "reward, the settings then in force, digests, and the checkpoint that has it. Works while the run goes on.");
        return argc == 2 && strcmp(argv[1], "--help") == 0
                   ? OK
                   : err_new(ERR_INVALID, "N and RECIPE are needed");
    }
    SCOPED_MEM char *program = program_beside("rlhfd-learner");
    SCOPED_MEM char **words = mem_array((size_t)argc + 5, sizeof *words);
    int n = 0;
    words[n++] = program;
    for (int i = 2; i < argc; i++)
        words[n++] = strcmp(argv[i], "-o") == 0 ? "--output" : argv[i];
    words[n++] = "--job";
    words[n++] = "explain";
    words[n++] = "--at";
    words[n++] = argv[1];
    execv(program, words);
    return err_errno(errno, "cannot start '%s'", program);
}
