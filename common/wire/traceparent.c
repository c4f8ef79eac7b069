#include "wire/traceparent.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PARENT_AT = 36, FLAGS_AT = 53, LEN = 55 };

void trace_parent(const struct digest *group, const char *sender, char ret[TRACE_PARENT])
{
    char id[DIGEST_TEXT];
    const uint64_t salt = hash64(sender, strlen(sender), 0);
    const uint64_t parent = hash64(group->byte, sizeof group->byte, salt);
    snprintf(ret, TRACE_PARENT, "00-%s-%016" PRIx64 "-01", digest_text(group, id),
             parent ? parent : 1); // 0 is no id
}

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") >= len;
}

void trace_take(const char *text, const struct digest *group, char ret[TRACE_PARENT])
{
    char id[DIGEST_TEXT], begin[PARENT_AT + 1];
    snprintf(begin, sizeof begin, "00-%s-", digest_text(group, id));
    const bool right = strlen(text) == LEN && strncmp(text, begin, PARENT_AT) == 0 &&
                       is_hex(text + PARENT_AT, 16) && text[FLAGS_AT - 1] == '-' &&
                       is_hex(text + FLAGS_AT, 2) && strspn(text + PARENT_AT, "0") < 16;
    snprintf(ret, TRACE_PARENT, "%s", right ? text : "");
}
