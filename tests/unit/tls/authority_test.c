/* Certificates that are made are read again, and accepted or refused as a peer would. */
#include "base/clock.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include "tls/authority.h"
#include "tls/certificate_text.h"
#include <string.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static struct validity days(int64_t from, int64_t until)
{
    const int64_t now_ms = clock_wall_ms();
    return (struct validity){now_ms + from * DAY_MS, now_ms + until * DAY_MS};
}

static void make_ca(struct key_pair *ret)
{
    assert_ok(authority_make("example.org", days(-1, 10), ret));
}

static struct certificate_request learner(struct validity valid)
{
    return (struct certificate_request){.identity = "spiffe://example.org/run/sort/learner/learner",
                                        .name = "learner",
                                        .hosts = {"localhost", "127.0.0.1", "::1", "l-0.svc"},
                                        .host_count = 4,
                                        .valid = valid};
}

static err_t check(const struct key_pair *pair, const struct bytes *roots, int64_t now_ms)
{
    return certificate_check(&pair->certificate, &pair->key, roots, now_ms);
}

static void what_is_signed_is_accepted(void **state)
{
    (void)state;
    SCOPED_VALUE(key_pair) ca = {0};
    SCOPED_VALUE(key_pair) leaf = {0};
    SCOPED_VALUE(certificates) all = {0};
    SCOPED_VALUE(certificates) roots = {0};
    make_ca(&ca);
    const struct certificate_request request = learner(days(0, 2));
    assert_ok(authority_sign(&ca, &request, &leaf));
    assert_ok(certificates_read(&leaf.certificate, "leaf", &all));
    assert_int_equal(all.count, 1);
    assert_string_equal(all.at[0].identity, request.identity);
    assert_string_equal(all.at[0].hosts, "localhost 127.0.0.1 ::1 l-0.svc");
    assert_string_equal(all.at[0].subject, "CN=learner,O=rlhfd");
    assert_false(all.at[0].is_authority);
    assert_int_equal(all.at[0].from_ms, request.valid.from_ms / 1000 * 1000);
    assert_int_equal(all.at[0].until_ms, request.valid.until_ms / 1000 * 1000);
    assert_ok(certificates_read(&ca.certificate, "ca", &roots));
    assert_string_equal(roots.at[0].identity, "spiffe://example.org");
    assert_string_equal(roots.at[0].subject, all.at[0].issuer);
    assert_true(roots.at[0].is_authority);
    assert_ok(check(&leaf, &ca.certificate, clock_wall_ms()));
}

static void what_is_not_valid_is_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(key_pair) ca = {0};
    SCOPED_VALUE(key_pair) other = {0};
    SCOPED_VALUE(key_pair) leaf = {0};
    SCOPED_VALUE(key_pair) second = {0};
    const int64_t now_ms = clock_wall_ms();
    make_ca(&ca);
    make_ca(&other);
    const struct certificate_request request = learner(days(1, 2));
    assert_ok(authority_sign(&ca, &request, &leaf));
    assert_ok(authority_sign(&ca, &request, &second));
    assert_err(ERR_DENIED, "not yet valid", check(&leaf, &ca.certificate, now_ms));
    assert_err(ERR_DENIED, "expired", check(&leaf, &ca.certificate, now_ms + 3 * (int64_t)DAY_MS));
    const int64_t then_ms = now_ms + 3 * (int64_t)DAY_MS / 2;
    assert_ok(check(&leaf, &ca.certificate, then_ms));
    assert_err(ERR_DENIED, "unable to get local issuer", check(&leaf, &other.certificate, then_ms));
    assert_err(ERR_DENIED, "the key is not the certificate's",
               certificate_check(&leaf.certificate, &second.key, &ca.certificate, then_ms));
    /* A leaf is no CA, even to who has its key. */
    SCOPED_VALUE(key_pair) forged = {0};
    SCOPED_VALUE(bytes) chain = {0};
    struct certificate_request admin = request;
    admin.identity = "spiffe://example.org/run/sort/admin/admin";
    assert_ok(authority_sign(&leaf, &admin, &forged));
    bytes_put(&chain, forged.certificate.data, forged.certificate.len);
    bytes_put(&chain, leaf.certificate.data, leaf.certificate.len);
    assert_err(ERR_DENIED, "not accepted",
               certificate_check(&chain, &forged.key, &ca.certificate, then_ms));
}

static void a_bundle_has_several_roots(void **state)
{
    (void)state;
    SCOPED_VALUE(key_pair) old = {0};
    SCOPED_VALUE(key_pair) bundle = {0};
    SCOPED_VALUE(key_pair) first = {0};
    SCOPED_VALUE(key_pair) second = {0};
    SCOPED_VALUE(bytes) root = {0};
    make_ca(&old);
    make_ca(&bundle);
    const struct certificate_request request = learner(days(0, 2));
    assert_ok(authority_sign(&old, &request, &first));
    SCOPED_VALUE(bytes) newest = {0};
    bytes_put(&newest, bundle.certificate.data, bundle.certificate.len);
    bytes_clear(&bundle.certificate); // the signer need not be the first
    bytes_put(&bundle.certificate, old.certificate.data, old.certificate.len);
    bytes_put(&bundle.certificate, newest.data, newest.len);
    assert_ok(authority_sign(&bundle, &request, &second));
    assert_ok(check(&first, &bundle.certificate, clock_wall_ms()));
    assert_ok(check(&second, &bundle.certificate, clock_wall_ms()));
    assert_err(ERR_DENIED, "not accepted", check(&second, &old.certificate, clock_wall_ms()));
    assert_ok(authority_root(&bundle, &root));
    assert_int_equal(root.len, newest.len);
    assert_memory_equal(root.data, newest.data, root.len);
    bytes_clear(&bundle.certificate);
    bytes_put(&bundle.certificate, old.certificate.data, old.certificate.len);
    assert_err(ERR_INVALID, "no certificate of ca.crt belongs to ca.key",
               authority_root(&bundle, &root));
}

static void none_outlives_its_ca(void **state)
{
    (void)state;
    SCOPED_VALUE(key_pair) ca = {0};
    SCOPED_VALUE(key_pair) leaf = {0};
    make_ca(&ca);
    struct certificate_request request = learner(days(0, 10));
    request.valid.until_ms += 60000;
    assert_err(ERR_INVALID, "longer than the CA", authority_sign(&ca, &request, &leaf));
    request.valid.until_ms -= 120000;
    assert_ok(authority_sign(&ca, &request, &leaf));
}

static err_t read_text(const void *text, size_t len)
{
    SCOPED_VALUE(certificates) all = {0};
    SCOPED_VALUE(bytes) bytes = {0};
    bytes_put(&bytes, text, len);
    return certificates_read(&bytes, "x.crt", &all);
}

static void hostile_text_is_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(key_pair) ca = {0};
    SCOPED_VALUE(key_pair) leaf = {0};
    SCOPED_VALUE(bytes) many = {0};
    make_ca(&ca);
    const struct certificate_request request = learner(days(0, 2));
    assert_ok(authority_sign(&ca, &request, &leaf));
    assert_err(ERR_INVALID, "'x.crt' has no certificate", read_text("", 0));
    assert_err(ERR_INVALID, "'x.crt' has no certificate", read_text("\0\xff\n-----", 8));
    assert_err(ERR_INVALID, "'x.crt' has no certificate",
               read_text(leaf.key.data, leaf.key.len)); // a key is none
    for (int i = 0; i <= CERTIFICATES_MAX; i++)
        bytes_put(&many, leaf.certificate.data, leaf.certificate.len);
    assert_err(ERR_INVALID, "more than 16", read_text(many.data, many.len));
    /* Every prefix, and every byte changed, is read or refused. */
    const struct bytes *good = &leaf.certificate;
    for (size_t len = 0; len < good->len; len++)
        err_free(read_text(good->data, len));
    for (size_t i = 0; i < good->len; i++) {
        many.len = good->len;
        memcpy(many.data, good->data, good->len);
        many.data[i] ^= 1;
        err_free(read_text(many.data, many.len));
    }
    /* An encrypted key asks nobody for a passphrase. */
    SCOPED_VALUE(bytes) key = {0};
    bytes_text(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjApBgkq\n"
                     "-----END ENCRYPTED PRIVATE KEY-----\n");
    assert_err(ERR_INVALID, "without a passphrase",
               certificate_check(good, &key, &ca.certificate, clock_wall_ms()));
}

TESTS(cmocka_unit_test(what_is_signed_is_accepted), cmocka_unit_test(what_is_not_valid_is_refused),
      cmocka_unit_test(a_bundle_has_several_roots), cmocka_unit_test(none_outlives_its_ca),
      cmocka_unit_test(hostile_text_is_refused))
