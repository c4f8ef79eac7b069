/* sft: hands over to `rlhfd-learner --job sft` with the same arguments. */
#include "base/mem.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <unistd.h>

err_t command_sft(int argc, char **argv)
{
    char *program = program_beside("rlhfd-learner");
    char **words = mem_array((size_t)argc + 3, sizeof *words);
    words[0] = program;
    for (int i = 1; i < argc; i++)
        words[i] = argv[i];
    words[argc] = "--job";
    words[argc + 1] = "sft";
    execv(program, words);
    return err_errno(errno, "cannot start '%s'", program);
}
