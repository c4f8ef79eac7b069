/* v1 and v1alpha are the same on the wire: one set of handlers, with v1alpha's types. */
#include "rpc/reflect.h"
#include "base/mem.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "rpc/call_state.h"
#include "rpc/descset.h"
#include "svc/security.h"
#include <stdlib.h>
#include <string.h>

#define REQUEST_TYPE  Grpc__Reflection__V1alpha__ServerReflectionRequest
#define RESPONSE_TYPE Grpc__Reflection__V1alpha__ServerReflectionResponse
#define REQUEST(name) GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define RESPONSE(name)                                                                             \
    GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

struct rpc_reflect {
    struct descset *set;
};

err_t rpc_reflect_new(const void *data, size_t len, struct rpc_reflect **ret)
{
    struct descset *set;
    TRY(descset_new(data, len, &set));
    struct rpc_reflect *reflect = mem_new(sizeof *reflect);
    reflect->set = set;
    *ret = reflect;
    return OK;
}

/* "/pkg.Service/Method" -> "pkg.Service" */
static char *service_of(const char *path)
{
    return mem_printf("%.*s", (int)(strrchr(path, '/') - path - 1), path + 1);
}

static void answer_services(struct rpc_call *call, RESPONSE_TYPE *response)
{
    const struct rpc_server *server = call->entry->server;
    Grpc__Reflection__V1alpha__ListServiceResponse list =
        GRPC__REFLECTION__V1ALPHA__LIST_SERVICE_RESPONSE__INIT;
    SCOPED_MEM Grpc__Reflection__V1alpha__ServiceResponse *rows =
        mem_array(server->entry_count, sizeof *rows);
    SCOPED_MEM Grpc__Reflection__V1alpha__ServiceResponse **pointers =
        mem_array(server->entry_count, sizeof(void *));
    for (size_t i = 0; i < server->entry_count && server->entries[i].method; i++) {
        char *name = service_of(server->entries[i].method->path);
        if (list.n_service && strcmp(name, rows[list.n_service - 1].name) == 0) {
            free(name); // methods of one service stand together
            continue;
        }
        grpc__reflection__v1alpha__service_response__init(&rows[list.n_service]);
        rows[list.n_service].name = name;
        pointers[list.n_service] = &rows[list.n_service];
        list.n_service++;
    }
    list.service = pointers;
    response->message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
    response->list_services_response = &list;
    rpc_call_send(call, &response->base);
    for (size_t i = 0; i < list.n_service; i++)
        free(rows[i].name);
}

static void answer_error(struct rpc_call *call, RESPONSE_TYPE *response, enum err_code code,
                         const char *message)
{
    Grpc__Reflection__V1alpha__ErrorResponse error =
        GRPC__REFLECTION__V1ALPHA__ERROR_RESPONSE__INIT;
    error.error_code = (int32_t)code;
    error.error_message = (char *)message;
    response->message_response_case = RESPONSE(ERROR_RESPONSE);
    response->error_response = &error;
    rpc_call_send(call, &response->base);
}

/* The file and, behind it, what it imports. */
static size_t add_files(const struct descset *set, int file, bool *seen, ProtobufCBinaryData *out,
                        size_t count)
{
    if (file < 0 || seen[file])
        return count;
    seen[file] = true;
    const struct descset_file *at = &set->files[file];
    out[count++] = (ProtobufCBinaryData){at->bytes.left, (uint8_t *)at->bytes.data};
    for (int i = 0; i < at->import_count; i++)
        count = add_files(set, descset_file_named(set, at->imports[i].data, at->imports[i].left),
                          seen, out, count);
    return count;
}

static void answer_file(struct rpc_call *call, RESPONSE_TYPE *response, const struct descset *set,
                        int file)
{
    if (file < 0) {
        answer_error(call, response, ERR_NOT_FOUND, "not found");
        return;
    }
    SCOPED_MEM bool *seen = mem_array((size_t)set->file_count, sizeof *seen);
    SCOPED_MEM ProtobufCBinaryData *out = mem_array((size_t)set->file_count, sizeof *out);
    Grpc__Reflection__V1alpha__FileDescriptorResponse files =
        GRPC__REFLECTION__V1ALPHA__FILE_DESCRIPTOR_RESPONSE__INIT;
    files.n_file_descriptor_proto = add_files(set, file, seen, out, 0);
    files.file_descriptor_proto = out;
    response->message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
    response->file_descriptor_response = &files;
    rpc_call_send(call, &response->base);
}

static void answer(struct rpc_call *call, struct rpc_message *, const struct ProtobufCMessage *pb,
                   void *user)
{
    const struct descset *set = ((const struct rpc_reflect *)user)->set;
    const REQUEST_TYPE *request = (const void *)pb;
    RESPONSE_TYPE response = GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__INIT;
    response.valid_host = request->host;
    response.original_request = (REQUEST_TYPE *)request;
    switch (request->message_request_case) {
    case REQUEST(LIST_SERVICES):
        answer_services(call, &response);
        break;
    case REQUEST(FILE_BY_FILENAME): {
        const char *name = request->file_by_filename;
        answer_file(call, &response, set, descset_file_named(set, name, strlen(name)));
        break;
    }
    case REQUEST(FILE_CONTAINING_SYMBOL):
        answer_file(call, &response, set,
                    descset_file_of_symbol(set, request->file_containing_symbol));
        break;
    default:
        answer_error(call, &response, ERR_UNIMPLEMENTED, "extensions are not used here");
    }
    if (rpc_call_full(call))
        rpc_call_pause(call); // asks faster than it reads
}

static void go_on(struct rpc_call *call, void *)
{
    rpc_call_resume(call);
}

struct rpc_service rpc_reflect_service(struct rpc_reflect *reflect)
{
#define ROW(version)                                                                               \
    {                                                                                              \
        "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo",                      \
            &grpc__reflection__v1alpha__server_reflection_request__descriptor,                     \
            &grpc__reflection__v1alpha__server_reflection_response__descriptor, RPC_BIDI,          \
            CALLER_ANY,                                                                            \
        {                                                                                          \
            .message = answer, .writable = go_on                                                   \
        }                                                                                          \
    }
    static const struct rpc_method methods[] = {ROW("v1alpha"), ROW("v1"), {0}};
#undef ROW
    return (struct rpc_service){methods, reflect};
}

void rpc_reflect_free(struct rpc_reflect *reflect)
{
    if (!reflect)
        return;
    descset_free(reflect->set);
    free(reflect);
}
