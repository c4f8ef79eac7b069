/* Messages as JSON, and the operator's client over a real server. */
#include "admin/admin_client.h"
#include "admin/pbjson.h"
#include "unit/rpc/loopback.h"
#include <math.h>

static void a_message_shows_every_field(void **state)
{
    (void)state;
    Rlhfd__Admin__V1__Number half = RLHFD__ADMIN__V1__NUMBER__INIT;
    Rlhfd__Admin__V1__Number none = RLHFD__ADMIN__V1__NUMBER__INIT;
    Rlhfd__Admin__V1__Number *numbers[] = {&half, &none};
    Rlhfd__Admin__V1__LagCount lag = RLHFD__ADMIN__V1__LAG_COUNT__INIT, *lags[] = {&lag};
    Rlhfd__Admin__V1__Status status = RLHFD__ADMIN__V1__STATUS__INIT;
    half.name = "half";
    half.value = 0.5;
    none.name = "bad \xff name";
    none.value = NAN;
    lag.trained = UINT64_MAX;
    lag.stored = INT64_MAX;
    status.daemon = "learner";
    status.n_numbers = 2;
    status.numbers = numbers;
    status.n_lags = 1;
    status.lags = lags;
    SCOPED_JSON json_t *object = pbjson_of(&status.base);
    SCOPED_MEM char *text = json_to_text(object);
    assert_string_equal(
        text,
        "{\"daemon\":\"learner\",\"run\":\"\",\"state\":\"\",\"numbers\":[{\"name\":\"half\",\"value\":0.5},"
        "{\"name\":\"bad ? name\",\"value\":null}],\"texts\":[],"
        "\"lags\":[{\"lag\":0,\"trained\":\"18446744073709551615\",\"stored\":9223372036854775807,\"leased\":0}],\"held_up\":null,\"build\":\"\",\"security\":\"\"}");
}

/* JSON -> message -> JSON is the same. */
static void assert_same(const ProtobufCMessageDescriptor *descriptor, const char *text)
{
    SCOPED_JSON json_t *object = NULL;
    ProtobufCMessage *pb = NULL;
    assert_ok(json_parse(text, strlen(text), "text", &object));
    assert_ok(pbjson_to(object, descriptor, &pb));
    SCOPED_JSON json_t *back = pbjson_of(pb);
    if (!json_equal(object, back)) {
        SCOPED_MEM char *is = json_to_text(back);
        print_error("%s\nbecame\n%s\n", text, is);
    }
    assert_true(json_equal(object, back));
    protobuf_c_message_free_unpacked(pb, NULL);
}

static void a_message_is_made_of_json(void **state)
{
    (void)state;
    assert_same(
        &rlhfd__admin__v1__completion__descriptor,
        "{\"text\": \"a\\nb\", \"tokens\": [1, 4294967295], \"logp\": [-0.5, 0.25], \"versions\": [7, 8],"
        " \"scores\": [0.1], \"reward\": -2.5, \"finish\": \"stop\"}");
    assert_same(&rlhfd__admin__v1__get_group_request__descriptor, "{\"id\": \"00ff10a0\"}");
    assert_same(
        &rlhfd__admin__v1__update_settings_request__descriptor,
        "{\"settings\": [{\"key\": \"lag.max\", \"value\": \"2\"}], \"update_mask\": [\"lag.max\"], \"etag\": \"\","
        " \"validate_only\": true, \"request_id\": \"r\", \"author\": \"a\", \"reason\": \"\"}");
    assert_same(
        &rlhfd__admin__v1__operation__descriptor,
        "{\"name\": \"\", \"kind\": \"\", \"state\": \"\", \"text\": \"\", \"begun_ms\": -1, \"ended_ms\": 5,"
        " \"lineage\": 3, \"version\": 9, \"round\": 0, \"path\": \"\"}");
}

static void assert_refused(const ProtobufCMessageDescriptor *descriptor, const char *json,
                           const char *part)
{
    SCOPED_JSON json_t *object = NULL;
    ProtobufCMessage *pb = NULL;
    assert_ok(json_parse(json, strlen(json), "text", &object));
    assert_err(ERR_INVALID, part, pbjson_to(object, descriptor, &pb));
    assert_null(pb);
}

static void what_does_not_fit_is_refused_by_name(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *set = &rlhfd__admin__v1__update_settings_request__descriptor;
    const ProtobufCMessageDescriptor *lease = &rlhfd__admin__v1__list_groups_request__descriptor;
    assert_refused(set, "{\"setings\": []}", "setings: no such field");
    assert_refused(set, "{\"settings\": {}}", "settings: allowed: a list");
    assert_refused(set, "{\"settings\": [{\"key\": \"a\", \"value\": \"b\"}, {\"key\": 1}]}",
                   "settings: key: allowed: text");
    assert_refused(set, "{\"update_mask\": [\"a\", \"b\", null]}", "update_mask: allowed: text");
    assert_refused(set, "{\"validate_only\": 1}", "true or false");
    SCOPED_JSON json_t *zero = json_pack("{s:o}", "reason", json_stringn("a\0b", 3));
    ProtobufCMessage *pb = NULL;
    assert_err(ERR_INVALID, "zero byte", pbjson_to(zero, set, &pb));
    assert_refused(lease, "{\"page_size\": -1}", "from 0");
    assert_refused(lease, "{\"page_size\": 4294967296}", "32 bits");
    assert_refused(lease, "{\"page_size\": 1.5}", "whole number");
    assert_refused(&rlhfd__admin__v1__get_group_request__descriptor, "{\"id\": \"0g\"}",
                   "hexadecimal");
    assert_refused(&rlhfd__admin__v1__get_group_request__descriptor, "{\"id\": \"012\"}",
                   "hexadecimal");
}

/* ---- the client */

struct answer {
    json_t *message;
    int messages;
    bool closed;
    enum err_code code;
    char text[512];
};

static void take(void *arg, const json_t *message)
{
    struct answer *answer = arg;
    json_decref(answer->message);
    answer->message = json_incref((json_t *)message);
    answer->messages++;
}

static void closed(void *arg, err_t why)
{
    struct answer *answer = arg;
    answer->closed = true;
    answer->code = err_code(why);
    snprintf(answer->text, sizeof answer->text, "%s", err_message(why));
    err_free(why);
}

static const struct rpc_admin_handlers handlers = {.message = take, .close = closed};

static void methods_are_asked_by_name(void **state)
{
    (void)state;
    struct loopback lo;
    struct answer answer = {0}, failed = {0};
    SCOPED_JSON json_t *nothing = json_object(), *wrong = json_pack("{s:i}", "x", 1);
    loopback_init(&lo);
    assert_ok(
        rpc_admin_ask(lo.channel, "Admin/GetStatus", nothing, 60000, &handlers, &answer, NULL));
    until(&lo, is_set, &answer.closed);
    assert_int_equal(answer.code, ERR_NONE);
    assert_int_equal(answer.messages, 1);
    assert_string_equal(json_string_value(json_object_get(answer.message, "daemon")), "learner");
    lo.fail = ERR_ABORTED;
    assert_ok(
        rpc_admin_ask(lo.channel, "Admin/GetStatus", nothing, 60000, &handlers, &failed, NULL));
    until(&lo, is_set, &failed.closed);
    assert_int_equal(failed.code, ERR_ABORTED);
    assert_int_equal(failed.messages, 0);
    assert_non_null(strstr(failed.text, "asked to fail"));
    failed = (struct answer){0};
    assert_err(ERR_NOT_FOUND, "Admin/GetStatu",
               rpc_admin_ask(lo.channel, "Admin/GetStatu", nothing, 1, &handlers, &failed, NULL));
    assert_err(ERR_INVALID, "x: no such field",
               rpc_admin_ask(lo.channel, "Admin/GetStatus", wrong, 1, &handlers, &failed, NULL));
    /* A server that does not know the method says so; a stream closes like a call. */
    assert_ok(
        rpc_admin_ask(lo.channel, "Admin/WatchStatus", nothing, 60000, &handlers, &failed, NULL));
    until(&lo, is_set, &failed.closed);
    assert_int_equal(failed.code, ERR_UNIMPLEMENTED);
    json_decref(answer.message);
    loopback_done(&lo);
}

TESTS(cmocka_unit_test(a_message_shows_every_field), cmocka_unit_test(a_message_is_made_of_json),
      cmocka_unit_test(what_does_not_fit_is_refused_by_name),
      cmocka_unit_test(methods_are_asked_by_name))
