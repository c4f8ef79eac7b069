/* The bytes of a group, or of a disposition: what decodes keeps its invariants and encodes to what decodes to the same. */
#include "base/mem.h"
#include "wire/rollout.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void invariants(const struct group *group)
{
    struct digest id = group_id(group->run, group->lineage, group->slot, group->attempt);
    must(digest_equal(&id, &group->id) && group->completions && group->prompt_tokens);
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *completion = &group->completion[i];
        must(completion->tokens && completion->spans && completion->span[0].first_token == 0);
        must(completion->span[completion->spans - 1].first_token < completion->tokens);
        must(completion->text[completion->text_len] == 0);
        for (uint32_t t = 0; t < completion->tokens; t++)
            must(isfinite(completion->logp[t]) && completion->logp[t] <= 0);
    }
}

static void try_group(const uint8_t *data, size_t len)
{
    SCOPED(group) group = NULL;
    SCOPED(group) again = NULL;
    const struct group_limits limits = GROUP_LIMITS;
    err_t e = group_decode(data, len, &limits, &group);
    if (err_failed(e)) {
        must(err_code(e) == ERR_INVALID);
        err_free(e);
        return;
    }
    invariants(group);
    SCOPED_VALUE(bytes) first = {0};
    SCOPED_VALUE(bytes) second = {0};
    group_encode(group, &first);
    must(!err_failed(group_decode(first.data, first.len, &limits, &again)));
    group_encode(again, &second);
    must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    try_group(data, len);
    SCOPED_VALUE(disposition) disposition = {0};
    err_free(disposition_decode(data, len, &disposition));
    return 0;
}
