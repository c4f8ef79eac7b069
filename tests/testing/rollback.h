/* Rolling a running learner back, as an operator does: for the tests of ring/ and crash/.
 *
 *     assert_ok(rollback_begin(admin, 8, "", name));
 *     rollback_wait(admin, name, "DONE", &end);
 *
 * Owner: the test's thread. */
#pragma once
#include "admin.pb-c.h"
#include "testing/asking.h"
#include "testing/testing.h"
#include <string.h>

struct rollback_end {
    uint32_t lineage;
    uint64_t version, round;
    char text[200];
};

/* name: of the operation, "" if another process had it; NULL: only checked. */
static inline err_t rollback_begin(const char *admin, uint64_t version, const char *request_id,
                                   char *name)
{
    Rlhfd__Admin__V1__RollbackRequest request = RLHFD__ADMIN__V1__ROLLBACK_REQUEST__INIT;
    Rlhfd__Admin__V1__Operation *operation = NULL;
    request.version = version;
    request.request_id = (char *)request_id;
    request.author = (char *)"test";
    request.validate_only = !name;
    TRY(ask(admin, "LearnerAdmin/Rollback", &request.base, &rlhfd__admin__v1__operation__descriptor,
            (void **)&operation));
    assert_string_equal(operation->kind, "rollback");
    if (name)
        snprintf(name, 64, "%s", operation->name);
    protobuf_c_message_free_unpacked(&operation->base, NULL);
    return OK;
}

static inline void rollback_wait(const char *admin, const char *name, const char *state,
                                 struct rollback_end *ret)
{
    Rlhfd__Admin__V1__GetOperationRequest request = RLHFD__ADMIN__V1__GET_OPERATION_REQUEST__INIT;
    Rlhfd__Admin__V1__Operation *operation = NULL;
    request.name = (char *)name;
    request.wait_ms = 60000;
    assert_ok(ask(admin, "LearnerAdmin/GetOperation", &request.base,
                  &rlhfd__admin__v1__operation__descriptor, (void **)&operation));
    if (strcmp(operation->state, state) != 0)
        fail_msg("%s: %s: %s", name, operation->state, operation->text);
    *ret = (struct rollback_end){operation->lineage, operation->version, operation->round, ""};
    snprintf(ret->text, sizeof ret->text, "%s", operation->text);
    protobuf_c_message_free_unpacked(&operation->base, NULL);
}
