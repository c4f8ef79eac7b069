/* The NCCL carrier's row, and its means: the parts of this machine that it needs. The carrier's
 * `can` fills the means from the recipe's rows after publish.transport; both sides of the carrier
 * borrow them. */
#pragma once
#include "weights/broadcast/session.h"
#include "weights/broadcast/session_member.h"

struct loop;
struct nccl;
struct nccl_means {
    struct loop *loop;
    struct nccl *nccl;
    int device;
    size_t bucket_bytes;                // broadcast at a time; 0: 32 MiB
    struct session_limits limits;       // the learner's; zeros: defaults
    struct member_limits member_limits; // a generator's; zeros: defaults
};

extern const struct carrier carrier_nccl;
