#include "learner/steer/live_request.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "wire/unpack.h"
#include <string.h>

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static err_t check_text(const char *field, const char *text, size_t max)
{
    size_t len = strnlen(or_empty(text), max + 1);
    bool ok = len <= max && wire_text_ok(or_empty(text), len);
    for (size_t i = 0; ok && i < len; i++)
        ok = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
    if (ok)
        return OK;
    SCOPED_MEM char *allowed = mem_printf("one line of UTF-8, at most %zu bytes", max);
    return err_field(err_new(ERR_INVALID, "%s: allowed: %s", field, allowed), field, allowed);
}

err_t live_request_check(const struct live_request *request)
{
    TRY(check_text("author", request->author, CHANGE_NAME_MAX));
    TRY(check_text("reason", request->reason, CHANGE_REASON_MAX));
    TRY(check_text("request_id", request->request_id, CHANGE_NAME_MAX));
    if (request->count > CHANGE_VALUES_MAX)
        return err_field(err_new(ERR_INVALID, "settings: %zu of them; allowed: at most %d",
                                 request->count, CHANGE_VALUES_MAX),
                         "settings", "at most 256");
    for (size_t i = 0; i < request->count; i++)
        TRY(check_text(request->at[i].key, request->at[i].value, CHANGE_VALUE_MAX));
    return OK;
}

struct digest live_request_digest(const struct live_request *request)
{
    SCOPED_VALUE(bytes) all = {0};
    bytes_put(&all, request->kind, strlen(request->kind) + 1);
    for (size_t i = 0; i < request->count; i++) {
        const struct live_assignment *at = &request->at[i];
        bytes_put(&all, at->key, strlen(at->key) + 1);
        bytes_u8(&all, at->value != NULL);
        bytes_put(&all, or_empty(at->value), strlen(or_empty(at->value)) + 1);
    }
    return hash128(all.data, all.len, 0);
}
