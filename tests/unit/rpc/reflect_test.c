#include "loopback.h"
// clang-format off
#include "rpc/descset.h"
// clang-format on
#include "grpc/reflection/v1alpha/reflection.pb-c.h"

typedef Grpc__Reflection__V1alpha__ServerReflectionRequest request;
typedef Grpc__Reflection__V1alpha__ServerReflectionResponse response;
#define REQUEST_CASE(name)                                                                         \
    GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define REQUEST_INIT GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__INIT

/* The server with reflection; asks one question by the given version's path. */
static response *ask(const char *path, const request *question)
{
    struct loopback lo;
    struct call_outcome out = {0};
    struct rpc_reflect *reflect = NULL;
    loopback_init(&lo);
    rpc_server_free(lo.server);
    rpc_channel_free(lo.channel);
    assert_ok(rpc_reflect_new(descriptors, descriptors_len, &reflect));
    struct rpc_service services[] = {{loopback_methods, &lo}, rpc_reflect_service(reflect)};
    assert_ok(rpc_server_start(
        lo.rpc, &(struct rpc_server_options){.address = lo.target, RPC_SERVICES(services)},
        &lo.server));
    connect_to(&lo, 0);
    const struct rpc_method method = {path, NULL, NULL, RPC_BIDI};
    struct rpc_call *call = rpc_call_stream(lo.channel, &method, NULL, &outcome_handlers, &out);
    rpc_call_send(call, &question->base);
    rpc_call_half_close(call);
    until(&lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    assert_int_equal(out.messages, 1);
    response *answer = grpc__reflection__v1alpha__server_reflection_response__unpack(
        NULL, rpc_message_len(out.last), rpc_message_data(out.last));
    assert_non_null(answer);
    outcome_done(&out);
    loopback_done(&lo);
    rpc_reflect_free(reflect);
    return answer;
}

#define V1      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

static void done(response *answer)
{
    grpc__reflection__v1alpha__server_reflection_response__free_unpacked(answer, NULL);
}

static void it_lists_the_services_that_are_served(void **)
{
    static const char *const paths[] = {V1, V1ALPHA};
    static const char *const names[] = {"rlhfd.admin.v1.Admin", "rlhfd.v1.Replay",
                                        "grpc.reflection.v1alpha.ServerReflection",
                                        "grpc.reflection.v1.ServerReflection"};
    for (int i = 0; i < 2; i++) {
        request question = REQUEST_INIT;
        question.message_request_case = REQUEST_CASE(LIST_SERVICES);
        question.list_services = "*";
        response *answer = ask(paths[i], &question);
        assert_non_null(answer->list_services_response);
        assert_int_equal(answer->list_services_response->n_service, 4);
        for (int j = 0; j < 4; j++)
            assert_string_equal(answer->list_services_response->service[j]->name, names[j]);
        assert_string_equal(answer->original_request->list_services, "*");
        done(answer);
    }
}

/* A file is its FileDescriptorProto, whose field 1 is the name. */
static bool begins_with_name(ProtobufCBinaryData file, const char *name)
{
    return file.len > strlen(name) + 2 && file.data[0] == 0x0a && file.data[1] == strlen(name) &&
           memcmp(file.data + 2, name, strlen(name)) == 0;
}

static void it_finds_symbols_with_their_imports(void **)
{
    static const struct {
        const char *symbol, *file;
        size_t files;
    } rows[] = {
        {"rlhfd.v1.Replay", "replay.proto", 3},
        {"rlhfd.v1.Replay.Append", "replay.proto", 3},
        {"rlhfd.v1.Group", "rollout.proto", 2},
        {"rlhfd.v1.Group.start_round", "rollout.proto", 2},
        {"rlhfd.v1.OUTCOME_STORED", "rollout.proto", 2},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        request question = REQUEST_INIT;
        question.message_request_case = REQUEST_CASE(FILE_CONTAINING_SYMBOL);
        question.file_containing_symbol = (char *)rows[i].symbol;
        response *answer = ask(V1, &question);
        assert_non_null(answer->file_descriptor_response);
        assert_int_equal(answer->file_descriptor_response->n_file_descriptor_proto, rows[i].files);
        assert_true(begins_with_name(answer->file_descriptor_response->file_descriptor_proto[0],
                                     rows[i].file));
        done(answer);
    }
}

static void it_finds_files_by_name(void **)
{
    request question = REQUEST_INIT;
    question.message_request_case = REQUEST_CASE(FILE_BY_FILENAME);
    question.file_by_filename = "weights.proto";
    response *answer = ask(V1ALPHA, &question);
    assert_non_null(answer->file_descriptor_response);
    assert_true(begins_with_name(answer->file_descriptor_response->file_descriptor_proto[0],
                                 "weights.proto"));
    done(answer);
}

static void what_it_does_not_know_is_an_error_in_the_answer(void **)
{
    request question = REQUEST_INIT;
    question.message_request_case = REQUEST_CASE(FILE_CONTAINING_SYMBOL);
    question.file_containing_symbol = "rlhfd.v1.Grou";
    response *answer = ask(V1, &question);
    assert_non_null(answer->error_response);
    assert_int_equal(answer->error_response->error_code, ERR_NOT_FOUND);
    done(answer);
    question.message_request_case = REQUEST_CASE(ALL_EXTENSION_NUMBERS_OF_TYPE);
    question.all_extension_numbers_of_type = "x";
    answer = ask(V1, &question);
    assert_int_equal(answer->error_response->error_code, ERR_UNIMPLEMENTED);
    done(answer);
}

static void broken_sets_are_refused(void **)
{
    struct descset *set = NULL;
    assert_ok(descset_new(descriptors, descriptors_len, &set));
    assert_true(set->file_count >= 9);
    const int files = set->file_count;
    descset_free(set);
    /* Cut anywhere: an error, or fewer files where the cut is between two. */
    for (size_t len = 0; len < descriptors_len; len += 3) {
        SCOPED_MEM uint8_t *part = mem_copy(descriptors, len ? len : 1);
        set = NULL;
        err_t e = descset_new(part, len, &set);
        assert_true(err_failed(e) || set->file_count < files);
        err_free(e);
        descset_free(set);
    }
    /* Messages in messages without end. */
    uint8_t nested[600];
    size_t at = sizeof nested;
    for (size_t len = 0; at > 8; len = sizeof nested - at) {
        nested[--at] = (uint8_t)(len >> 7);
        nested[--at] = (uint8_t)(len & 127) | 128;
        nested[--at] = 3 << 3 | 2; // nested_type
        nested[--at] = 'x';
        nested[--at] = 1;
        nested[--at] = 1 << 3 | 2; // name
    }
    uint8_t file[sizeof nested + 6];
    const size_t len = sizeof nested - at;
    const uint8_t head[] = {1 << 3 | 2, (uint8_t)((len + 3) & 127) | 128, (uint8_t)((len + 3) >> 7),
                            4 << 3 | 2, (uint8_t)(len & 127) | 128,       (uint8_t)(len >> 7)};
    memcpy(file, head, sizeof head);
    memcpy(file + sizeof head, nested + at, len);
    assert_err(ERR_INVALID, "malformed", descset_new(file, sizeof head + len, &set));
}

TESTS(cmocka_unit_test(it_lists_the_services_that_are_served),
      cmocka_unit_test(it_finds_symbols_with_their_imports),
      cmocka_unit_test(it_finds_files_by_name),
      cmocka_unit_test(what_it_does_not_know_is_an_error_in_the_answer),
      cmocka_unit_test(broken_sets_are_refused))
