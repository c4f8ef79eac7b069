#include "base/clock.h"
#include "base/mem.h"
#include "rewarder/sandbox/sandbox.h"

enum { PROBE_S = 20 };

/* rlhfd-sandbox tries from the inside what must be denied. By this name whoever it has become may
 * start it, wherever it is installed. */
static err_t try_level(enum sandbox_level level, struct sandbox_result *result)
{
    static const char *const argv[] = {"/proc/self/exe", "--trial", NULL};
    static const char *const read[] = {"/proc/self/exe"};
    const struct sandbox_orders orders = {
        .level = level, .argv = argv, .read = read, .read_count = 1};
    const struct sandbox_input input = {.deadline_s = clock_s() + PROBE_S};
    TRY(sandbox_run(&orders, &input, result));
    return result->fate == SANDBOX_EXITED && result->number == 0
               ? OK
               : err_new(ERR_PRECONDITION, "%s", result->why);
}

err_t sandbox_probe(enum sandbox_level *ret, char **ret_why)
{
    SCOPED_VALUE(bytes) why = {0};
    bytes_text(&why, "");
    for (int level = SANDBOX_STRONG; level > SANDBOX_NONE; level--) {
        SCOPED_VALUE(sandbox_result) result = {0};
        err_t failed = try_level((enum sandbox_level)level, &result);
        if (!err_failed(failed)) {
            *ret = (enum sandbox_level)level;
            *ret_why = mem_string(why.len ? (const char *)why.data : "");
            return OK;
        }
        bytes_printf(&why, "%s%s: %s", why.len ? "; " : "",
                     sandbox_level_name((enum sandbox_level)level), err_message(failed));
        err_free(failed);
    }
    return err_new(ERR_PRECONDITION, "no sandbox here: %s", (const char *)why.data);
}

err_t sandbox_choose(enum sandbox_choice choice, enum sandbox_level *ret, char **ret_why)
{
    static enum sandbox_level found; // of this machine: asked for once
    static char *why;
    if (choice == SANDBOX_CHOICE_NONE) {
        *ret = SANDBOX_NONE;
        *ret_why = mem_string("as the recipe says");
        return OK;
    }
    if (!why)
        TRY(err_wrap(sandbox_probe(&found, &why),
                     "sandbox (none runs it as free as the rewarder is)"));
    if (choice == SANDBOX_CHOICE_STRONG && found != SANDBOX_STRONG)
        return err_new(ERR_PRECONDITION, "sandbox: 'strong' cannot be had here: %s", why);
    *ret = choice == SANDBOX_CHOICE_RESTRICTED ? SANDBOX_RESTRICTED : found;
    *ret_why = mem_string(why);
    return OK;
}
