#include "learner/admin/services.h"

size_t learner_services(struct desk *desk, struct rpc_service ret[FACE_SERVICES_MAX])
{
    static struct rpc_service (*const services[])(struct desk *) = {
        tuning_service,  browsing_service, rolling_service,    pausing_service,
        workers_service, copying_service,  operations_service, retrying_service};
    const size_t count = sizeof services / sizeof *services;
    _Static_assert(sizeof services / sizeof *services <= FACE_SERVICES_MAX, "they have a place");
    for (size_t i = 0; i < count; i++)
        ret[i] = services[i](desk);
    return count;
}
