#include "wire/failed_group.h"
#include "base/mem.h"
#include "rollout.pb-c.h"
#include "wire/unpack.h"
#include <string.h>

/* Fields of rlhfd.v1.Group by their numbers in proto/rollout.proto. */
#define FIELD(number) (UINT64_C(1) << (number))
#define FIELD_ID      FIELD(1)
#define FIELDS_NAMES                                                                               \
    (FIELD_ID | FIELD(2) /* run */ | FIELD(3) /* lineage */ | FIELD(4) /* slot */ |                \
     FIELD(5) /* attempt */ | FIELD(6) /* prompt */ | FIELD(7) /* epoch */ |                       \
     FIELD(8) /* start_round */ | FIELD(13) /* generator */ | FIELD(14) /* evaluation */)

/* Each name once, and room for a field that comes twice. */
enum { NAMES_MAX_BYTES = 2048, NAMES_FIELDS = 32 };

struct group *failed_group(const struct group *group, const char *failure)
{
    struct group *failed = mem_new(sizeof *failed);
    failed->id = group->id;
    failed->run = mem_string(group->run);
    failed->lineage = group->lineage;
    failed->slot = group->slot;
    failed->attempt = group->attempt;
    failed->prompt = group->prompt;
    failed->epoch = group->epoch;
    failed->start_round = group->start_round;
    failed->row = mem_string("");
    failed->generator = mem_string(group->generator);
    failed->evaluation = group->evaluation;
    failed->failure = wire_text_cut(failure);
    if (!*failed->failure) { // no text
        mem_free(failed->failure);
        failed->failure = mem_string("it is malformed");
    }
    return failed;
}

void group_encode_within(const struct group *group, size_t most, struct bytes *ret)
{
    const size_t before = ret->len;
    group_encode(group, ret);
    const size_t len = ret->len - before;
    if (len <= most)
        return;
    ret->len = before;
    SCOPED_MEM char *why =
        mem_printf("the group has %zu bytes, with %u completions of %llu tokens in all; at most "
                   "%zu go round the ring",
                   len, group->completions, (unsigned long long)group_tokens(group), most);
    SCOPED(group) failed = failed_group(group, why);
    group_encode(failed, ret);
}

/* The fields of these numbers alone; false: no id of the right length is among them. */
static bool take_names(const uint8_t *data, size_t len, uint64_t numbers, const char *failure,
                       struct group **ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    SCOPED_VALUE(bytes) names = {0};
    struct group from = {0};
    wire_keep_fields(data, len, numbers, NAMES_MAX_BYTES, &names);
    const struct wire_bounds bounds = {NAMES_MAX_BYTES, NAMES_FIELDS};
    err_t failed =
        wire_unpack(&rlhfd__v1__group__descriptor, names.data, names.len, &bounds, &base);
    const Rlhfd__V1__Group *pb = (const Rlhfd__V1__Group *)base;
    if (!err_failed(failed))
        failed = wire_digest(&pb->id, "id", &from.id);
    const bool found = !err_failed(failed);
    err_free(failed);
    if (!found)
        return false;
    from.run = strlen(pb->run) <= NAME_MAX_BYTES ? pb->run : (char *)"";
    from.generator = strlen(pb->generator) <= NAME_MAX_BYTES ? pb->generator : (char *)"";
    from.lineage = pb->lineage;
    from.slot = pb->slot;
    from.attempt = pb->attempt;
    from.prompt = pb->prompt;
    from.epoch = pb->epoch;
    from.start_round = pb->start_round;
    from.evaluation = pb->evaluation;
    *ret = failed_group(&from, failure);
    return true;
}

err_t failed_group_decode(const uint8_t *data, size_t len, err_t why, struct group **ret)
{
    const char *failure = err_message(why);
    if (!take_names(data, len, FIELDS_NAMES, failure, ret) &&
        !take_names(data, len, FIELD_ID, failure, ret))
        return why;
    err_free(why);
    return OK;
}
