/* A group as a peer may send it: what is taken encodes to bytes that mean the same. */
#include "wire/rollout.h"
#include <stdlib.h>
#include <string.h>

static struct group *decode(const uint8_t *data, size_t len)
{
    struct group *group = NULL;
    err_t e = group_decode(data, len, &GROUP_LIMITS, &group);
    if (err_failed(e) == (group != NULL))
        abort();
    err_free(e);
    return group;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED(group) first = decode(data, len);
    if (!first)
        return 0;
    SCOPED_VALUE(bytes) one = {0}, two = {0};
    group_encode(first, &one);
    SCOPED(group) second = decode(one.data, one.len);
    if (!second || group_tokens(first) != group_tokens(second) ||
        group_oldest_version(first) != group_oldest_version(second))
        abort();
    group_encode(second, &two);
    if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
        abort();
    return 0;
}
