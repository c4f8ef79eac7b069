/* Mutual TLS: who calls is known, who has no good certificate is told why, on both sides. */
#include "tls_rig.h"

static void caller_is_known(void **)
{
    struct rig rig;
    struct call_outcome out = {0};
    rig_init(&rig);
    rig_start(&rig);
    asks(&rig, ERR_NONE, "");
    assert_string_equal(rig.lo.caller, "spiffe://testing/run/sort/generator/one");
    /* And bytes in both directions, more than any buffer holds. */
    struct rpc_call *call = open_append(&rig.lo, NULL, &out);
    for (int i = 0; i < 20; i++) {
        SCOPED(rpc_message) group = group_message((uint64_t)i, 1 << 20);
        assert_true(rpc_call_send_message(call, group));
    }
    rpc_call_half_close(call);
    until(&rig.lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_NONE);
    assert_int_equal(out.messages, 20);
    outcome_done(&out);
    rig_done(&rig);
}

/* A method's row decides before anything of the request is read. */
static void callers_are_held_to_rows(void **)
{
    static const struct rpc_method guarded[] = {{GET_STATUS,
                                                 loopback_methods[0].request,
                                                 loopback_methods[0].reply,
                                                 RPC_UNARY,
                                                 CALLER_READS,
                                                 {.message = get_status},
                                                 0},
                                                {APPEND,
                                                 loopback_methods[1].request,
                                                 loopback_methods[1].reply,
                                                 RPC_BIDI,
                                                 CALLER_ADMIN,
                                                 {.open = append_open, .message = append_message},
                                                 RPC_INLINE},
                                                {0}};
    struct rig rig;
    struct call_outcome out = {0};
    rig_init(&rig);
    rig.methods = guarded;
    rig_start(&rig);
    asks(&rig, ERR_DENIED,
         "spiffe://testing/run/sort/generator/one may not call this; allowed are: "
         "viewer, admin");
    struct rpc_call *call = open_append(&rig.lo, NULL, &out);
    SCOPED(rpc_message) group = group_message(0, 100);
    rpc_call_send_message(call, group);
    until(&rig.lo, is_set, &out.closed);
    assert_int_equal(out.code, ERR_DENIED);
    assert_false(out.opened);
    assert_int_equal(rig.lo.received, 0);
    assert_int_equal(rig.lo.opened, 0);
    /* With another certificate, and no new connection by hand, it may. */
    issue(rig.ca, "viewer", rig.client);
    run_for(&rig.lo, 1100); // keys are looked at once a second
    asks(&rig, ERR_NONE, "");
    outcome_done(&out);
    rig_done(&rig);
}

static void claims_are_compared(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig.lo.claims = "one";
    asks(&rig, ERR_NONE, "");
    rig.lo.claims = "two";
    asks(&rig, ERR_DENIED,
         "a caller that is spiffe://testing/run/sort/generator/one may not speak "
         "for 'two' of run 'sort'");
    rig_done(&rig);
}

/* ---- keys that change */

static void certificates_end(void **)
{
    struct rig rig;
    struct call_outcome out = {0};
    rig_init(&rig);
    authority_issue(rig.ca,
                    &(struct certificate){.uri = "spiffe://testing/run/sort/generator/one",
                                          .from_s = -10,
                                          .until_s = 8},
                    rig.client);
    rig_start(&rig);
    struct rpc_call *call = open_append(&rig.lo, NULL, &out);
    until(&rig.lo, is_set, &out.opened);
    until(&rig.lo, is_set, &out.closed); // by its end, though it is in use
    assert_int_equal(out.code, ERR_UNAVAILABLE);
    asks(&rig, ERR_DENIED, "the certificate expired on ");
    issue(rig.ca, "generator", rig.client);
    run_for(&rig.lo, 1100);
    asks(&rig, ERR_NONE, "");
    (void)call;
    outcome_done(&out);
    rig_done(&rig);
}

/* From one root to two, then to the other: who has the old one goes, who has the new one stays. */
static void roots_roll_over(void **)
{
    struct rig rig;
    struct call_outcome old = {0}, new = {0};
    const char *learner = "spiffe://testing/run/sort/learner/one";
    const char *generator = "spiffe://testing/run/sort/generator/one";
    rig_init(&rig);
    authority_issue(rig.ca, &(struct certificate){.uri = learner, .roots = {rig.ca, rig.other}},
                    rig.server);
    authority_issue(rig.ca, &(struct certificate){.uri = generator, .roots = {rig.ca, rig.other}},
                    rig.client);
    rig_start(&rig);
    open_append(&rig.lo, NULL, &old);
    until(&rig.lo, is_set, &old.opened);
    authority_issue(rig.other,
                    &(struct certificate){.uri = generator, .roots = {rig.ca, rig.other}},
                    rig.client);
    run_for(&rig.lo, 1100);
    struct rpc_call *call = open_append(&rig.lo, NULL, &new);
    until(&rig.lo, is_set, &new.opened);
    assert_false(old.closed); // new keys end no call
    authority_issue(rig.other, &(struct certificate){.uri = learner, .roots = {rig.other}},
                    rig.server);
    until(&rig.lo, is_set, &old.closed);
    assert_int_equal(old.code, ERR_UNAVAILABLE);
    assert_false(new.closed);
    asks(&rig, ERR_NONE, ""); // the server shows its new certificate
    authority_issue(rig.ca, &(struct certificate){.uri = generator, .roots = {rig.other}},
                    rig.client);
    run_for(&rig.lo, 1100);
    asks(&rig, ERR_DENIED, "of a CA that is not in ca.crt");
    assert_false(new.closed);
    rpc_call_cancel(call);
    until(&rig.lo, is_set, &new.closed);
    outcome_done(&old);
    outcome_done(&new);
    rig_done(&rig);
}

/* ---- clients that are refused */

static void client_of_another_ca(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue(
        rig.other,
        &(struct certificate){.uri = "spiffe://testing/run/sort/generator/one", .roots = {rig.ca}},
        rig.client);
    rig_start(&rig);
    asks(&rig, ERR_DENIED, "the certificate is of a CA that is not in ca.crt (issuer /CN=second)");
    rig_done(&rig);
}

static void client_of_another_run(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue_to(rig.ca, "other", "generator", "one", rig.client);
    rig_start(&rig);
    rig.at_client.run = "other";
    asks(&rig, ERR_DENIED, "the certificate is of run 'other'; this is run 'sort'");
    rig_done(&rig);
}

static void client_in_plaintext(void **)
{
    struct rig rig;
    rig_init(&rig);
    rig.client = NULL;
    rig_start(&rig);
    asks(&rig, ERR_DENIED, "the client speaks plaintext");
    rig_done(&rig);
}

/* ---- servers that are refused */

static void server_of_another_ca(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue(
        rig.other,
        &(struct certificate){.uri = "spiffe://testing/run/sort/learner/one", .roots = {rig.ca}},
        rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE,
         "the certificate is of a CA that is not in ca.crt (issuer /CN=second)");
    rig_done(&rig);
}

/* Its keys were good when it read them. */
static void server_that_has_expired(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue(rig.ca,
                    &(struct certificate){.uri = "spiffe://testing/run/sort/learner/one",
                                          .from_s = -10,
                                          .until_s = 4},
                    rig.server);
    rig_start(&rig);
    run_for(&rig.lo, 5100);
    asks(&rig, ERR_UNAVAILABLE, "the server is refused: the certificate expired on ");
    issue(rig.ca, "learner", rig.server);
    run_for(&rig.lo, 1100);
    asks_in_the_end(&rig);
    rig_done(&rig);
}

static void server_of_another_role(void **)
{
    struct rig rig;
    rig_init(&rig);
    issue(rig.ca, "rewarder", rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE,
         "the server is spiffe://testing/run/sort/rewarder/one, not a learner");
    rig_done(&rig);
}

static void server_of_another_domain(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue(rig.ca, &(struct certificate){.uri = "spiffe://elsewhere/run/sort/learner/one"},
                    rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE, "of domain 'elsewhere'; this is domain 'testing'");
    rig_done(&rig);
}

static void server_of_another_run(void **)
{
    struct rig rig;
    rig_init(&rig);
    authority_issue_to(rig.ca, "other", "learner", "one", rig.server);
    rig_start(&rig);
    asks(&rig, ERR_UNAVAILABLE, "of run 'other'; this is run 'sort'");
    rig_done(&rig);
}

TESTS(cmocka_unit_test(caller_is_known), cmocka_unit_test(callers_are_held_to_rows),
      cmocka_unit_test(claims_are_compared), cmocka_unit_test(certificates_end),
      cmocka_unit_test(roots_roll_over), cmocka_unit_test(client_of_another_ca),
      cmocka_unit_test(client_of_another_run), cmocka_unit_test(client_in_plaintext),
      cmocka_unit_test(server_of_another_ca), cmocka_unit_test(server_that_has_expired),
      cmocka_unit_test(server_of_another_role), cmocka_unit_test(server_of_another_domain),
      cmocka_unit_test(server_of_another_run))
