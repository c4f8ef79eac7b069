/* Backup. */
#include "admin.pb-c.h"
#include "base/clock.h"
#include "learner/admin/services.h"
#include "learner/replay/backup.h"
#include "learner/store/rounds.h"
#include "svc/security.h"
#include <time.h>

enum { NAME_OF_TIME = 32 };

/* "2026-11-29T20-05-12Z" */
static char *name_of_time(struct desk_visit *visit)
{
    const time_t now_s = (time_t)(clock_wall_ms() / 1000);
    char *name = desk_new(visit, NAME_OF_TIME);
    struct tm parts;
    gmtime_r(&now_s, &parts);
    strftime(name, NAME_OF_TIME, "%Y-%m-%dT%H-%M-%SZ", &parts);
    return name;
}

static err_t answer(struct desk_visit *visit, struct store *store)
{
    const Rlhfd__Admin__V1__BackupRequest *request = (const void *)visit->request;
    Rlhfd__Admin__V1__BackupReply reply = RLHFD__ADMIN__V1__BACKUP_REPLY__INIT;
    char *path = NULL;
    reply.name = *request->name ? request->name : name_of_time(visit);
    TRY(backup_make(visit->desk->directory, store, reply.name, &path));
    reply.path = desk_keep(visit, path);
    reply.lineage = store_lineage(store);
    reply.version = store_last_version(store);
    reply.round = store_rounds_done(store);
    return desk_reply(visit, &reply.base);
}

static void on_backup(struct rpc_call *call, struct rpc_message *message,
                      const struct ProtobufCMessage *pb, void *user)
{
    desk_ask(user, call, message, pb, answer);
}

struct rpc_service copying_service(struct desk *desk)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.admin.v1.LearnerAdmin/Backup",
         &rlhfd__admin__v1__backup_request__descriptor,
         &rlhfd__admin__v1__backup_reply__descriptor,
         RPC_UNARY,
         CALLER_ADMIN,
         {.message = on_backup},
         0},
        {0},
    };
    return (struct rpc_service){methods, desk};
}
