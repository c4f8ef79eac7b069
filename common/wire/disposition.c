#include "wire/disposition.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rollout.pb-c.h"
#include "wire/unpack.h"
#include <stdlib.h>
#include <string.h>

enum { DISPOSITION_MAX_BYTES = 64 << 10, DISPOSITION_FIELDS_MAX = 16 };

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {"?",          "stored", "duplicate",
                                        "superseded", "stale",  "rejected"};
    return outcome >= OUTCOME_STORED && outcome <= OUTCOME_REJECTED ? names[outcome] : "?";
}

void disposition_encode(const struct disposition *disposition, struct bytes *ret)
{
    SCOPED_MEM char *reason = wire_text_cut(disposition->reason ? disposition->reason : "");
    Rlhfd__V1__Disposition pb;
    rlhfd__v1__disposition__init(&pb);
    pb.id = (ProtobufCBinaryData){sizeof disposition->id.byte, (uint8_t *)disposition->id.byte};
    pb.outcome = (Rlhfd__V1__Outcome)disposition->outcome;
    pb.reason = reason;
    wire_pack(&pb.base, ret);
}

err_t disposition_decode(const uint8_t *data, size_t len, struct disposition *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {DISPOSITION_MAX_BYTES, DISPOSITION_FIELDS_MAX};
    TRY(wire_unpack(&rlhfd__v1__disposition__descriptor, data, len, &bounds, &base));
    Rlhfd__V1__Disposition *pb = (Rlhfd__V1__Disposition *)base;
    struct disposition disposition = {.outcome = (enum outcome)pb->outcome};
    TRY(err_wrap(wire_digest(&pb->id, "id", &disposition.id), "disposition"));
    if (pb->outcome < RLHFD__V1__OUTCOME__OUTCOME_STORED ||
        pb->outcome > RLHFD__V1__OUTCOME__OUTCOME_REJECTED)
        return err_new(ERR_INVALID, "disposition: outcome is %d; 1 to 5 are allowed",
                       (int)pb->outcome);
    disposition.reason = pb->reason[0] ? wire_text_cut(pb->reason) : NULL;
    *ret = disposition;
    return OK;
}

void disposition_done(struct disposition *disposition)
{
    free(disposition->reason);
    *disposition = (struct disposition){0};
}
