#include "rpc/details.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/text.h"
#include "wire/unpack.h"
#include <string.h>

#define TYPE_URL    "type.googleapis.com/"
#define BAD_REQUEST TYPE_URL "google.rpc.BadRequest"
#define ERROR_INFO  TYPE_URL "google.rpc.ErrorInfo"

static Google__Protobuf__Any pack_any(const char *type, const ProtobufCMessage *pb,
                                      struct bytes *out)
{
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    wire_pack(pb, out);
    any.type_url = (char *)type;
    any.value = (ProtobufCBinaryData){out->len, out->data};
    return any;
}

static Google__Protobuf__Any pack_field(err_t e, struct bytes *out)
{
    SCOPED_MEM char *field = text_clean(err_field_name(e), DETAILS_FIELD_MAX);
    SCOPED_MEM char *allowed =
        text_clean(err_field_allowed(e) ? err_field_allowed(e) : "", DETAILS_ALLOWED_MAX);
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    violation.field = field;
    violation.description = allowed;
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};
    Google__Rpc__BadRequest request = GOOGLE__RPC__BAD_REQUEST__INIT;
    request.n_field_violations = 1;
    request.field_violations = violations;
    return pack_any(BAD_REQUEST, &request.base, out);
}

static Google__Protobuf__Any pack_reason(err_t e, struct bytes *out)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    info.reason = (char *)err_reason_word(e);
    info.domain = (char *)DETAILS_DOMAIN;
    return pack_any(ERROR_INFO, &info.base, out);
}

bool details_pack(err_t e, const char *message, struct bytes *ret)
{
    SCOPED_VALUE(bytes) field = {0};
    SCOPED_VALUE(bytes) reason = {0};
    Google__Protobuf__Any any[2], *details[2];
    size_t count = 0;
    if (err_field_name(e))
        any[count++] = pack_field(e, &field);
    if (err_reason_word(e))
        any[count++] = pack_reason(e, &reason);
    if (!count)
        return false;
    for (size_t i = 0; i < count; i++)
        details[i] = &any[i];
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)err_code(e);
    status.message = (char *)message;
    status.n_details = count;
    status.details = details;
    wire_pack(&status.base, ret);
    return true;
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const void *data,
                                size_t len)
{
    ProtobufCMessage *pb = NULL;
    err_free(wire_unpack(type, data, len, &(struct wire_bounds){DETAILS_MAX, 64}, &pb));
    return pb;
}

static err_t attach_one(err_t e, const Google__Protobuf__Any *any)
{
    bool is_field = strcmp(any->type_url, BAD_REQUEST) == 0;
    if (!is_field && strcmp(any->type_url, ERROR_INFO) != 0)
        return e;
    SCOPED_PB ProtobufCMessage *pb = unpack(is_field ? &google__rpc__bad_request__descriptor
                                                     : &google__rpc__error_info__descriptor,
                                            any->value.data, any->value.len);
    if (!pb)
        return e;
    if (!is_field)
        return err_reason(e, ((const Google__Rpc__ErrorInfo *)pb)->reason);
    const Google__Rpc__BadRequest *request = (const Google__Rpc__BadRequest *)pb;
    return request->n_field_violations ? err_field(e, request->field_violations[0]->field,
                                                   request->field_violations[0]->description)
                                       : e;
}

err_t details_attach(err_t e, const void *data, size_t len)
{
    SCOPED_PB ProtobufCMessage *pb = unpack(&google__rpc__status__descriptor, data, len);
    const Google__Rpc__Status *status = (const Google__Rpc__Status *)pb;
    for (size_t i = 0; status && i < status->n_details; i++)
        e = attach_one(e, status->details[i]);
    return e;
}
