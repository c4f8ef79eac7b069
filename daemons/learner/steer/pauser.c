#include "learner/steer/pauser.h"
#include "base/mem.h"
#include <string.h>

static bool pauses(const struct change *change, const char *what)
{
    for (size_t i = 0; i < change->values; i++)
        if (strcmp(change->value[i].key, what) == 0 &&
            strcmp(change->value[i].after, "paused") == 0)
            return true;
    return false;
}

static void pauser_done(struct pauser *pauser)
{
    mem_free(pauser->kind);
    mem_free(pauser->author);
    mem_free(pauser->reason);
    *pauser = (struct pauser){0};
}

static void take(struct pauser *pauser, const struct change *change)
{
    pauser_done(pauser);
    *pauser = (struct pauser){.kind = mem_string(change->kind),
                              .author = mem_string(change->author),
                              .reason = mem_string(change->reason),
                              .time_ms = change->time_ms};
}

void pausers_take(struct pausers *pausers, const struct change *change)
{
    if (pauses(change, "generation"))
        take(&pausers->generation, change);
    if (pauses(change, "training"))
        take(&pausers->training, change);
}

void pausers_done(struct pausers *pausers)
{
    pauser_done(&pausers->generation);
    pauser_done(&pausers->training);
}
