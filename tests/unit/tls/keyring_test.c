/* Keys from a directory: sets that count, sets that do not, and what a swap of files does. */
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "testing/certificates.h"
#include "testing/testing.h"
#include "tls/keyring.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The clock is the test's: a look is due when it says so. */
static int64_t now_ns;
static int64_t monotonic(void)
{
    return now_ns;
}

static struct env faked;
static const struct env *before;

static int start_clock(void **)
{
    before = env();
    faked = *before;
    faked.monotonic_ns = monotonic;
    now_ns = 1000000000000;
    env_replace(&faked);
    return 0;
}

static int stop_clock(void **)
{
    env_replace(before);
    return 0;
}

/* A second later: what is in force. */
static uint64_t looked(struct tls_keys *keys, err_t *ret_why)
{
    now_ns += 1100000000;
    struct tls_set *set = tls_keys_now(keys, ret_why);
    const uint64_t generation = tls_set_generation(set);
    tls_set_unref(set);
    return generation;
}

static void copy(const char *from, const char *to, const char *file)
{
    SCOPED_MEM char *source = file_join(from, file);
    SCOPED_MEM char *target = file_join(to, file);
    assert_ok(file_copy(source, target));
}

static void says_who_it_is(void **)
{
    struct authority *ca = authority_new("ca");
    char *at = testing_path(testing_directory(), "who");
    SCOPED(tls_keys) keys = NULL;
    authority_issue_to(ca, "sort", "learner", "l-0", at);
    assert_ok(tls_keys_open(at, &keys));
    struct tls_set *set = tls_keys_now(keys, NULL);
    assert_string_equal(tls_set_identity(set)->run, "sort");
    assert_string_equal(tls_set_identity(set)->name, "l-0");
    assert_int_equal(tls_set_identity(set)->role, IDENTITY_LEARNER);
    assert_int_equal(tls_set_generation(set), 1);
    assert_true(tls_set_not_after_s(set) > 0);
    assert_non_null(strstr(tls_set_pem(set).roots, "BEGIN CERTIFICATE"));
    tls_set_unref(set);
    authority_free(ca);
}

/* A set outlives the keys it was taken from. */
static void a_set_is_held(void **)
{
    struct authority *ca = authority_new("ca");
    char *at = testing_path(testing_directory(), "held");
    struct tls_keys *keys = NULL;
    authority_issue_to(ca, "sort", "learner", "old", at);
    assert_ok(tls_keys_open(at, &keys));
    struct tls_set *set = tls_keys_now(keys, NULL);
    authority_issue_to(ca, "sort", "learner", "new", at);
    assert_int_equal(looked(keys, NULL), 2);
    tls_keys_free(keys);
    assert_string_equal(tls_set_identity(set)->name, "old");
    tls_set_unref(set);
    authority_free(ca);
}

/* Kubernetes: DIR/tls.crt -> ..data/tls.crt, DIR/..data -> ..2026_1, a rename swaps the latter. */
static void kubernetes_swaps_a_link(void **)
{
    static const char *const files[] = {"tls.crt", "tls.key", "ca.crt"};
    struct authority *ca = authority_new("ca");
    char *at = testing_path(testing_directory(), "secret");
    SCOPED_MEM char *one = file_join(at, "..one"), *two = file_join(at, "..two");
    SCOPED_MEM char *data = file_join(at, "..data"), *aside = file_join(at, "..data_tmp");
    SCOPED(tls_keys) keys = NULL;
    authority_issue_to(ca, "sort", "rewarder", "one", one);
    authority_issue_to(ca, "sort", "rewarder", "two", two);
    assert_int_equal(symlink("..one", data), 0);
    for (size_t i = 0; i < 3; i++) {
        SCOPED_MEM char *link = file_join(at, files[i]);
        SCOPED_MEM char *to = mem_printf("..data/%s", files[i]);
        assert_int_equal(symlink(to, link), 0);
    }
    assert_ok(tls_keys_open(at, &keys));
    assert_int_equal(looked(keys, NULL), 1); // nothing has changed
    assert_false(tls_keys_renewed(keys));
    assert_int_equal(symlink("..two", aside), 0);
    assert_int_equal(rename(aside, data), 0);
    err_t why;
    assert_int_equal(looked(keys, &why), 2);
    assert_ok(why);
    assert_true(tls_keys_renewed(keys));
    assert_false(tls_keys_renewed(keys)); // once
    struct tls_set *set = tls_keys_now(keys, NULL);
    assert_string_equal(tls_set_identity(set)->name, "two");
    tls_set_unref(set);
    authority_free(ca);
}

/* One file after the other: the old set stays until the new one is whole, and nobody is alarmed in
 * between. A set that stays broken is told once. */
static void a_half_set_does_not_count(void **)
{
    struct authority *ca = authority_new("ca");
    char *at = testing_path(testing_directory(), "half");
    char *other = testing_path(testing_directory(), "other");
    SCOPED(tls_keys) keys = NULL;
    err_t why;
    authority_issue_to(ca, "sort", "learner", "one", at);
    authority_issue_to(ca, "sort", "learner", "two", other);
    assert_ok(tls_keys_open(at, &keys));
    copy(other, at, "tls.crt");
    assert_int_equal(looked(keys, &why), 1);
    assert_ok(why); // the copy may go on
    assert_int_equal(looked(keys, &why), 1);
    assert_err(ERR_INVALID, "half/tls.key' is not the key of the certificate", why);
    assert_int_equal(looked(keys, &why), 1);
    assert_ok(why); // told already
    copy(other, at, "tls.key");
    assert_int_equal(looked(keys, &why), 2);
    assert_ok(why);
    authority_free(ca);
}

static void write_over(const char *at, const char *file, const char *text)
{
    SCOPED_MEM char *path = file_join(at, file);
    assert_ok(file_write(path, text, strlen(text)));
}

static void what_is_no_set_is_named(void **)
{
    static const struct {
        const char *file, *text, *said;
        enum err_code code;
    } bad[] = {
        {"tls.crt", "", "tls.crt: it is empty", ERR_INVALID},
        {"tls.key", "garbage\n", "tls.key", ERR_INVALID},
        {"tls.crt", "garbage\n", "tls.crt", ERR_INVALID},
        {"ca.crt", "garbage\n", "ca.crt", ERR_INVALID},
        {"ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ca.crt",
         ERR_INVALID},
    };
    struct authority *ca = authority_new("ca");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char name[16];
        SCOPED(tls_keys) keys = NULL;
        snprintf(name, sizeof name, "bad%zu", i);
        char *at = testing_path(testing_directory(), name);
        authority_issue_to(ca, "sort", "learner", "one", at);
        write_over(at, bad[i].file, bad[i].text);
        assert_err(bad[i].code, bad[i].said, tls_keys_open(at, &keys));
    }
    SCOPED(tls_keys) keys = NULL;
    char *none = testing_path(testing_directory(), "none");
    assert_err(ERR_NOT_FOUND, "none/tls.crt", tls_keys_open(none, &keys));
    authority_free(ca);
}

static void certificates_need_one_identity_and_their_time(void **)
{
    static const char good[] = "spiffe://testing/run/sort/learner/one";
    static const struct {
        struct certificate certificate;
        const char *said;
        enum err_code code;
    } bad[] = {
        {{.uri = NULL}, "has 0 URIs", ERR_INVALID},
        {{.dns = "learner"}, "has 0 URIs", ERR_INVALID},
        {{.uri = good, .second_uri = "spiffe://testing/run/sort/admin/one"},
         "has 2 URIs",
         ERR_INVALID},
        {{.uri = "spiffe://testing/run/sort/owner/one"}, "is no identity", ERR_INVALID},
        {{.uri = good, .from_s = -7200, .until_s = -3600},
         "the certificate expired on",
         ERR_DENIED},
        {{.uri = good, .from_s = 3600, .until_s = 7200}, "is not valid before", ERR_DENIED},
    };
    struct authority *ca = authority_new("ca");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char name[16];
        SCOPED(tls_keys) keys = NULL;
        snprintf(name, sizeof name, "cert%zu", i);
        char *at = testing_path(testing_directory(), name);
        authority_issue(ca, &bad[i].certificate, at);
        assert_err(bad[i].code, bad[i].said, tls_keys_open(at, &keys));
    }
    authority_free(ca);
}

#define CLOCKED(test) cmocka_unit_test_setup_teardown(test, start_clock, stop_clock)
TESTS(CLOCKED(says_who_it_is), CLOCKED(a_set_is_held), CLOCKED(kubernetes_swaps_a_link),
      CLOCKED(a_half_set_does_not_count), CLOCKED(what_is_no_set_is_named),
      CLOCKED(certificates_need_one_identity_and_their_time))
