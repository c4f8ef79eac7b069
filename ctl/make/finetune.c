/* sft, train, reward train: hand over to the learner's job of that name with the same arguments. */
#include "base/mem.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <unistd.h>

static err_t hand_over(const char *job, int argc, char **argv)
{
    char *program = program_beside("rlhfd-learner");
    char **words = mem_array((size_t)argc + 3, sizeof *words);
    words[0] = program;
    for (int i = 1; i < argc; i++)
        words[i] = argv[i];
    words[argc] = "--job";
    words[argc + 1] = mem_string(job);
    execv(program, words);
    return err_errno(errno, "cannot start '%s'", program);
}

err_t command_sft(int argc, char **argv)
{
    return hand_over("sft", argc, argv);
}

err_t command_train(int argc, char **argv)
{
    return hand_over("train", argc, argv);
}

err_t command_reward_train(int argc, char **argv)
{
    return hand_over("reward", argc, argv);
}
