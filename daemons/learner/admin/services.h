/* The methods of LearnerAdmin, each file's as a service of its own; main serves them on the admin port. Loop thread. */
#pragma once
#include "learner/admin/desk.h"

struct rpc_service tuning_service(struct desk *desk); // settings and changes
