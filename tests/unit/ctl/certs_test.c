/* rlhfctl certs: what it writes, held against the openssl command, and its errors. */
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/words/command.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPENSSL_MS = 60000, WORDS = 32 };

static const char *directory; // of this test

static err_t call(err_t (*run)(int argc, char **argv), const char *first, ...)
{
    char *words[WORDS] = {(char *)"rlhfctl certs"};
    int count = 1;
    va_list more;
    va_start(more, first);
    for (const char *word = first; word && count < WORDS - 1; word = va_arg(more, const char *))
        words[count++] = (char *)word;
    va_end(more);
    return run(count, words);
}
#define INIT(...)  call(command_certs_init, directory, ##__VA_ARGS__, NULL)
#define ISSUE(...) call(command_certs_issue, directory, ##__VA_ARGS__, NULL)
#define SHOW(...)  call(command_certs_show, __VA_ARGS__, NULL)

static int new_directory(void **state)
{
    (void)state;
    directory = testing_path(testing_directory(), "certs");
    return 0;
}

static char *at(const char *name)
{
    return testing_path(directory, name);
}

static bool verifies(const char *roots, const char *purpose, const char *certificate)
{
    SCOPED_MEM char *output = NULL;
    const int status =
        process_run(&output, OPENSSL_MS, "/usr/bin/openssl", "verify", "-x509_strict", "-purpose",
                    purpose, "-CAfile", at(roots), at(certificate), NULL);
    assert_true(status == 0 || strstr(output, "verification failed"));
    return status == 0;
}

static char *text_of(const char *certificate)
{
    char *output = NULL;
    assert_int_equal(process_run(&output, OPENSSL_MS, "/usr/bin/openssl", "x509", "-in",
                                 at(certificate), "-noout", "-text", NULL),
                     0);
    return output;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static int mode_of(const char *name)
{
    struct stat found;
    assert_int_equal(stat(at(name), &found), 0);
    return (int)found.st_mode & 0777;
}

static void openssl_takes_what_is_made(void **state)
{
    (void)state;
    assert_ok(INIT("--domain", "example.org"));
    assert_ok(ISSUE("--role", "learner", "--run", "sort", "--name", "learner", "--host",
                    "learner-0.rlhfd.svc", "--host", "10.0.0.7"));
    assert_ok(ISSUE("--role", "admin", "--run", "sort", "--name", "anna"));
    assert_int_equal(mode_of("ca/ca.key"), 0600);
    assert_int_equal(mode_of("learner/tls.key"), 0600);
    assert_int_equal(mode_of("ca"), 0700);
    assert_true(verifies("learner/ca.crt", "sslserver", "learner/tls.crt"));
    assert_true(verifies("learner/ca.crt", "sslclient", "learner/tls.crt"));
    assert_true(verifies("ca/ca.crt", "sslclient", "anna/tls.crt"));
    SCOPED_MEM char *learner = text_of("learner/tls.crt"), *anna = text_of("anna/tls.crt"),
                    *ca = text_of("ca/ca.crt");
    has(learner, "URI:spiffe://example.org/run/sort/learner/learner, DNS:localhost, "
                 "IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:learner-0.rlhfd.svc, "
                 "IP Address:10.0.0.7\n");
    has(learner, "TLS Web Server Authentication, TLS Web Client Authentication");
    has(learner, "CA:FALSE");
    has(learner, "NIST CURVE: P-256");
    has(anna, "URI:spiffe://example.org/run/sort/admin/anna\n");
    has(ca, "CA:TRUE, pathlen:0");
    has(ca, "URI:spiffe://example.org\n");
    assert_ok(SHOW(directory));
    assert_ok(SHOW(at("learner"), "-o", "json"));
    assert_ok(SHOW(at("anna/tls.crt")));
    /* A key is the certificate's own, and each one's another. */
    SCOPED_MEM char *first = file_text(at("learner/tls.key")),
                    *second = file_text(at("anna/tls.key"));
    assert_string_not_equal(first, second);
}

static void a_new_ca_takes_over_step_by_step(void **state)
{
    (void)state;
    assert_ok(INIT());
    assert_err(ERR_EXISTS, "--add", INIT());
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "early"));
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "late"));
    assert_ok(file_copy(at("ca/ca.crt"), at("old.crt")));
    assert_ok(INIT("--add"));
    assert_true(verifies("early/ca.crt", "sslclient", "early/tls.crt")); // the old one still counts
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "early"));
    assert_true(verifies("late/ca.crt", "sslclient", "early/tls.crt")); // and so does the new one
    assert_false(verifies("old.crt", "sslclient", "early/tls.crt"));
    assert_err(ERR_DENIED, "late/tls.crt' is not of the newest CA", INIT("--retire"));
    assert_true(verifies("late/ca.crt", "sslclient", "late/tls.crt"));
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "late"));
    assert_ok(file_copy(at("late/tls.crt"), at("kept.crt")));
    assert_ok(INIT("--retire"));
    assert_true(verifies("early/ca.crt", "sslclient", "kept.crt"));
    assert_false(verifies("early/ca.crt", "sslclient", "old.crt"));
    assert_ok(SHOW(directory));
}

static void what_cannot_be_used_is_shown(void **state)
{
    (void)state;
    assert_err(ERR_NOT_FOUND, "certs init",
               ISSUE("--role", "viewer", "--run", "r", "--name", "early"));
    assert_ok(INIT());
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "over", "--not-before",
                    "2020-01-01T00:00:00Z", "--days", "1"));
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "good", "--minutes", "5"));
    assert_err(ERR_DATA_LOSS, "1 of 3 certificates cannot be used", SHOW(directory));
    assert_err(ERR_DATA_LOSS, "1 of 1", SHOW(at("over")));
    assert_false(verifies("ca/ca.crt", "sslclient", "over/tls.crt"));
    assert_ok(SHOW(at("good")));
    assert_ok(file_copy(at("over/tls.key"), at("good/tls.key")));
    assert_err(ERR_DATA_LOSS, "1 of 1", SHOW(at("good"))); // another's key
    assert_ok(ISSUE("--role", "viewer", "--run", "r", "--name", "good"));
    assert_ok(SHOW(at("good")));
    assert_int_equal(chmod(at("good/tls.key"), 0644), 0);
    assert_err(ERR_DATA_LOSS, "1 of 1", SHOW(at("good")));
    assert_ok(file_write(at("good/tls.crt"), "x", 1));
    assert_err(ERR_DATA_LOSS, "2 of 3", SHOW(directory));
    assert_err(ERR_NOT_FOUND, "/nowhere", SHOW("/nowhere"));
}

static void what_is_asked_for_is_checked(void **state)
{
    (void)state;
    assert_err(ERR_INVALID, "--domain 'A/b'", INIT("--domain", "A/b"));
    assert_err(ERR_INVALID, "--domain '.org'", INIT("--domain", ".org")); // no daemon would take it
    assert_err(ERR_INVALID, "one of them", INIT("--add", "--retire"));
    assert_err(ERR_NOT_FOUND, "certs init", INIT("--add"));
    assert_err(ERR_INVALID, "--days", INIT("--days", "0"));
    assert_ok(INIT("--days", "30"));
    assert_err(ERR_INVALID, "did you mean 'learner'?",
               ISSUE("--role", "lerner", "--run", "r", "--name", "n"));
    static const char *const bad[] = {"", "ca", "..", "-n", "a/b", "a b", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_err(ERR_INVALID, "--name",
                   ISSUE("--role", "viewer", "--run", "r", "--name", bad[i]));
        if (strcmp(bad[i], "ca") != 0)
            assert_err(ERR_INVALID, "--run",
                       ISSUE("--role", "viewer", "--run", bad[i], "--name", "n"));
    }
    assert_err(ERR_INVALID, "--host 'a,URI:x'",
               ISSUE("--role", "learner", "--run", "r", "--name", "n", "--host", "a,URI:x"));
    assert_err(
        ERR_INVALID, "one of them",
        ISSUE("--role", "viewer", "--run", "r", "--name", "n", "--days", "1", "--minutes", "1"));
    assert_err(ERR_INVALID, "--not-before",
               ISSUE("--role", "viewer", "--run", "r", "--name", "n", "--not-before", "yesterday"));
    assert_err(ERR_INVALID, "longer than the CA",
               ISSUE("--role", "viewer", "--run", "r", "--name", "n", "--days", "31"));
    assert_err(ERR_INVALID, "--role, --run and --name", ISSUE("--role", "viewer"));
    assert_err(ERR_INVALID, "--recipe names all", ISSUE("--recipe", "r.yaml", "--role", "viewer"));
    assert_false(file_exists(at("n")));
}

static void a_recipe_names_all(void **state)
{
    (void)state;
    static const char recipe[] = "run: {name: sort}\n"
                                 "generator: {count: 2, learner: 'learner-0.svc:7003'}\n"
                                 "rewarder: {count: 2}\n";
    char *path = testing_path(testing_directory(), "recipe.yaml");
    assert_ok(file_write(path, recipe, strlen(recipe)));
    assert_ok(INIT("--days", "400"));
    assert_err(ERR_INVALID, "--recipe is missing",
               ISSUE("--role", "viewer", "--run", "r", "--name", "n", "--set", "run.name=x"));
    assert_err(ERR_INVALID, "generator.name 'ca'",
               ISSUE("--recipe", path, "--set", "generator.name=ca"));
    assert_ok(ISSUE("--recipe", path, "--set", "generator.count=3", "--set", "generator.name=g"));
    static const struct {
        const char *file, *identity;
    } all[] = {{"learner/tls.crt", "spiffe://rlhfd/run/sort/learner/learner"},
               {"rewarder/tls.crt", "spiffe://rlhfd/run/sort/rewarder/rewarder"},
               {"rewarder-2/tls.crt", "spiffe://rlhfd/run/sort/rewarder/rewarder-2"},
               {"generator-1/tls.crt", "spiffe://rlhfd/run/sort/generator/generator-1"},
               {"generator-2/tls.crt", "spiffe://rlhfd/run/sort/generator/generator-2"},
               {"generator-3/tls.crt", "spiffe://rlhfd/run/sort/generator/generator-3"},
               {"g/tls.crt", "spiffe://rlhfd/run/sort/generator/g"},
               {"admin/tls.crt", "spiffe://rlhfd/run/sort/admin/admin"},
               {"viewer/tls.crt", "spiffe://rlhfd/run/sort/viewer/viewer"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        SCOPED_MEM char *text = text_of(all[i].file);
        has(text, all[i].identity);
        assert_true(verifies("learner/ca.crt", "sslclient", all[i].file));
    }
    SCOPED_MEM char *learner = text_of("learner/tls.crt");
    has(learner, "DNS:learner-0.svc");
    assert_ok(SHOW(directory, "-o", "json"));
}

#define TEST(name) cmocka_unit_test_setup(name, new_directory)
TESTS(TEST(openssl_takes_what_is_made), TEST(a_new_ca_takes_over_step_by_step),
      TEST(what_cannot_be_used_is_shown), TEST(what_is_asked_for_is_checked),
      TEST(a_recipe_names_all))
