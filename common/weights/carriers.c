#include "weights/carriers.h"
#include "base/mem.h"
#include "gpu/nccl.h"
#include "svc/recipe/recipe.h"
#include "weights/broadcast/nccl_carrier.h"
#include "weights/fanout/fanout.h"
#include "weights/stream/streaming.h"
#include <assert.h>
#include <unistd.h>

const struct carrier *const carriers_table[CARRIERS] = {
    &carrier_fanout,
    &carrier_nccl,
    &carrier_stream,
};

size_t carriers_index(const struct carrier *carrier)
{
    size_t row = 0;
    while (row + 1 < CARRIERS && carriers_table[row] != carrier)
        row++;
    assert(carriers_table[row] == carrier);
    return row;
}

void *carriers_means(const struct carriers *carriers, const struct carrier *carrier)
{
    return carriers ? carriers->means[carriers_index(carrier)] : NULL;
}

err_t carriers_open(const struct recipe *recipe, struct loop *loop, struct carriers *ret)
{
    for (size_t row = 0; row < CARRIERS; row++) {
        const struct carrier *carrier = carriers_table[row];
        err_t e = carrier->can ? carrier->can(recipe, loop, &ret->means[row]) : OK;
        if (!err_failed(e))
            continue;
        if (recipe->publish.transport != RECIPE_AUTO)
            return err_wrap(e, "publish.transport: %s", carrier->name);
        mem_free(ret->why); // another carrier's, of which one is enough
        ret->why = mem_string(err_message(e));
        err_free(e);
    }
    return OK;
}

int carriers_exit(int status)
{
    if (nccl_is_stuck())
        _exit(status);
    return status;
}

void carriers_done(struct carriers *carriers)
{
    for (size_t row = 0; row < CARRIERS; row++)
        if (carriers_table[row]->drop)
            carriers_table[row]->drop(carriers->means[row]);
    mem_free(carriers->why);
    *carriers = (struct carriers){0};
}
