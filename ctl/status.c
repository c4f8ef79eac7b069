/* status: asks the daemons of a run, or one address, how they are. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "rpc/admin.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include <stdio.h>
#include <string.h>

enum { DEADLINE_MS = 3000, ENDPOINTS_MAX_BYTES = 1 << 20 };

struct asked {
    struct loop *loop;
    const char *name;
    err_t failed;
};

static void answered(void *arg, const struct admin_status *status, err_t why)
{
    struct asked *asked = arg;
    if (status) {
        printf("%s  run %s  %s\n", asked->name, status->run, status->state);
        for (size_t i = 0; i < status->count; i++)
            printf("  %-44s %.10g\n", status->name[i], status->value[i]);
    }
    asked->failed = err_wrap(why, "%s", asked->name);
    loop_stop(asked->loop);
}

static err_t ask(struct loop *loop, struct rpc *rpc, const char *name, const char *address)
{
    SCOPED(rpc_channel) channel = NULL;
    struct asked asked = {.loop = loop, .name = name};
    TRY(rpc_channel_new(rpc, &(struct rpc_channel_options){.target = address, .insecure = true},
                        &channel));
    rpc_admin_get_status(channel, DEADLINE_MS, answered, &asked);
    TRY(loop_run(loop));
    return asked.failed;
}

/* All of RUN/endpoints.json; the first that does not answer is the error, the others are shown. */
static err_t ask_run(struct loop *loop, struct rpc *rpc, const char *run)
{
    SCOPED_MEM char *path = file_join(run, "endpoints.json");
    SCOPED_JSON json_t *endpoints = NULL;
    err_t failed = OK;
    const char *name;
    json_t *endpoint;
    TRY(json_read_file(path, ENDPOINTS_MAX_BYTES, &endpoints));
    json_object_foreach (endpoints, name, endpoint) {
        const char *address;
        TRY(json_get_text(endpoint, path, "admin", &address));
        err_t one = ask(loop, rpc, name, address);
        if (err_failed(failed))
            err_free(one);
        else
            failed = one;
    }
    return failed;
}

err_t command_status(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        puts(
            "Usage: rlhfctl status RUN | HOST:PORT\n"
            "Asks every daemon of the run directory RUN, or the one with this admin address, how it is.");
        return argc == 2 && strcmp(argv[1], "--help") == 0
                   ? OK
                   : err_new(ERR_INVALID, "one RUN or HOST:PORT is needed");
    }
    SCOPED(loop) loop = NULL;
    SCOPED(rpc) rpc = NULL;
    TRY(loop_new(&loop));
    TRY(rpc_new(loop, &rpc));
    SCOPED_MEM char *endpoints = file_join(argv[1], "endpoints.json");
    if (file_exists(endpoints) || !strchr(argv[1], ':'))
        return ask_run(loop, rpc, argv[1]);
    return ask(loop, rpc, argv[1], argv[1]);
}
