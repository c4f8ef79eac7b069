/* completion: scripts for bash and zsh. They ask `rlhfctl __complete` (offers.c) for every word, so
 * a script need not be made again when this program changes. */
#include "ctl/words/arguments.h"
#include "ctl/words/command.h"
#include <stdio.h>
#include <string.h>

static const char bash_script[] =
    "# bash completion of rlhfctl:  source <(rlhfctl completion bash)\n"
    "_rlhfctl()\n"
    "{\n"
    "    local IFS=$'\\n'\n"
    "    COMPREPLY=($(rlhfctl __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
    "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
    "    return 0\n"
    "}\n"
    "complete -o bashdefault -o default -F _rlhfctl rlhfctl\n";

static const char zsh_script[] =
    "#compdef rlhfctl\n"
    "# zsh completion of rlhfctl:  source <(rlhfctl completion zsh), after compinit\n"
    "_rlhfctl()\n"
    "{\n"
    "    local -a plain assign\n"
    "    local word\n"
    "    for word in ${(f)\"$(rlhfctl __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"}; do\n"
    "        [[ $word == *= ]] && assign+=(\"$word\") || plain+=(\"$word\")\n"
    "    done\n"
    "    (( ${#plain} + ${#assign} )) || { _files; return }\n"
    "    (( ${#plain} )) && compadd -- $plain\n"
    "    (( ${#assign} )) && compadd -S '' -- $assign\n"
    "}\n"
    /* zsh itself reads a file in fpath as the body of _rlhfctl, at the first completion. */
    "[[ $funcstack[1] == _rlhfctl ]] && _rlhfctl \"$@\" || compdef _rlhfctl rlhfctl\n";

err_t command_completion(int argc, char **argv)
{
    const char *shell;
    size_t count;
    bool helped;
    const struct arguments arguments = {
        .usage = "completion bash|zsh",
        .purpose =
            "Prints a script that completes commands, flags, option keys, contexts and workers.",
        .examples = "  source <(rlhfctl completion bash)",
        .words = &shell,
        .words_min = 1,
        .words_max = 1,
        .words_count = &count};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    const bool zsh = strcmp(shell, "zsh") == 0;
    if (!zsh && strcmp(shell, "bash") != 0)
        return err_new(ERR_INVALID, "'%s' is none of bash, zsh", shell);
    fputs(zsh ? zsh_script : bash_script, stdout);
    return OK;
}
