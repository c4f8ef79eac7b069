/* Identities as they come from certificates: what is one, and all that is none. */
#include "testing/testing.h"
#include "tls/spiffe.h"
#include <stdio.h>
#include <string.h>

static void reads_and_prints(void **)
{
    static const struct {
        const char *text;
        struct identity who;
    } good[] = {
        {"spiffe://rlhfd/run/sort/learner/learner", {"rlhfd", "sort", IDENTITY_LEARNER, "learner"}},
        {"spiffe://a.b-c_d/run/Run.1/generator/g-0",
         {"a.b-c_d", "Run.1", IDENTITY_GENERATOR, "g-0"}},
        {"spiffe://x/run/1/rewarder/R", {"x", "1", IDENTITY_REWARDER, "R"}},
        {"spiffe://x/run/r/viewer/anna", {"x", "r", IDENTITY_VIEWER, "anna"}},
        {"spiffe://x/run/r/admin/o.o", {"x", "r", IDENTITY_ADMIN, "o.o"}},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct identity who;
        char text[IDENTITY_TEXT];
        assert_ok(identity_parse(good[i].text, strlen(good[i].text), &who));
        assert_string_equal(who.domain, good[i].who.domain);
        assert_string_equal(who.run, good[i].who.run);
        assert_int_equal(who.role, good[i].who.role);
        assert_string_equal(who.name, good[i].who.name);
        identity_print(&who, text);
        assert_string_equal(text, good[i].text);
    }
}

static void all_else_is_none(void **)
{
    static const char *const bad[] = {
        "",
        "spiffe://",
        "spiffe://d/run/r/learner",
        "spiffe://d/run/r/learner/",
        "spiffe://d/run/r/learner/n/",
        "spiffe://d/run/r/learner/n/more",
        "spiffe://d/run//learner/n",
        "spiffe:///run/r/learner/n",
        "spiffe://D/run/r/learner/n",
        "spiffe://d:80/run/r/learner/n",
        "spiffe://u@d/run/r/learner/n",
        "spiffe://d/ruN/r/learner/n",
        "spiffe://d/runs/r/learner/n",
        "spiffe://d/run/r/Learner/n",
        "spiffe://d/run/r/owner/n",
        "spiffe://d/run/../learner/n",
        "spiffe://d/run/./learner/n",
        "spiffe://d/run/-r/learner/n",
        "spiffe://d/run/r/learner/n?x",
        "spiffe://d/run/r/learner/n#x",
        "spiffe://d/run/r/learner/n%2e",
        "spiffe://d/run/r/learner/n n",
        "spiffe://d/run/r/learner/\xc3\xa4",
        "spiffe://d/run/r/learner/n\n",
        "Spiffe://d/run/r/learner/n",
        "https://d/run/r/learner/n",
        " spiffe://d/run/r/learner/n",
        "spiffe:/d/run/r/learner/n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct identity who = {.role = IDENTITY_VIEWER};
        assert_err(ERR_INVALID, "is no identity", identity_parse(bad[i], strlen(bad[i]), &who));
        assert_int_equal(who.role, IDENTITY_VIEWER); // untouched
    }
}

/* A byte 0 would end the text for everyone else. */
static void bytes_zero_hide_nothing(void **)
{
    static const char text[] = "spiffe://d/run/r/learner/n\0x";
    struct identity who;
    assert_err(ERR_INVALID, "n?x", identity_parse(text, sizeof text - 1, &who));
    for (size_t at = 0; at < strlen(text); at++) {
        char broken[sizeof text];
        memcpy(broken, text, sizeof text);
        broken[at] = '\0';
        assert_err(ERR_INVALID, "is no identity", identity_parse(broken, strlen(text), &who));
    }
}

static void parts_have_a_longest_length(void **)
{
    static const struct {
        const char *before, *after;
        int most;
    } parts[] = {{"spiffe://", "/run/r/admin/n", IDENTITY_DOMAIN},
                 {"spiffe://d/run/", "/admin/n", IDENTITY_RUN},
                 {"spiffe://d/run/r/admin/", "", IDENTITY_NAME}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (int more = 0; more < 2; more++) {
            char filler[200] = "", text[400];
            struct identity who;
            memset(filler, 'a', (size_t)(parts[i].most + more));
            snprintf(text, sizeof text, "%s%s%s", parts[i].before, filler, parts[i].after);
            if (more)
                assert_err(ERR_INVALID, "is no identity", identity_parse(text, strlen(text), &who));
            else
                assert_ok(identity_parse(text, strlen(text), &who));
        }
    char longest[IDENTITY_TEXT * 2];
    struct identity who;
    memset(longest, 'a', sizeof longest);
    assert_err(ERR_INVALID, "...'", identity_parse(longest, sizeof longest, &who));
}

static void members_belong_to_domain_and_run(void **)
{
    const struct identity ours = {.domain = "d", .run = "r"}, other = {.domain = "e", .run = "s"};
    assert_ok(identity_belongs(&ours, "it is", &ours, "r"));
    assert_ok(identity_belongs(&ours, "it is", &ours, NULL));
    assert_err(ERR_DENIED, "it is of domain 'e'; this is domain 'd'",
               identity_belongs(&other, "it is", &ours, "s"));
    assert_err(ERR_DENIED, "it is of run 'r'; this is run 's'",
               identity_belongs(&ours, "it is", &ours, "s"));
}

/* Its length is what the three longest parts and a role make. */
static void the_longest_fits_its_text(void **)
{
    struct identity who = {.role = IDENTITY_GENERATOR}, again;
    char text[IDENTITY_TEXT];
    memset(who.domain, 'd', IDENTITY_DOMAIN);
    memset(who.run, 'r', IDENTITY_RUN);
    memset(who.name, 'n', IDENTITY_NAME);
    identity_print(&who, text);
    assert_ok(identity_parse(text, strlen(text), &again));
    assert_string_equal(again.name, who.name);
}

static void sets_of_roles_have_names(void **)
{
    char text[64];
    enum identity_role role;
    identity_roles_print(IDENTITY_DAEMONS, text, sizeof text);
    assert_string_equal(text, "generator, rewarder, learner");
    identity_roles_print(0, text, sizeof text);
    assert_string_equal(text, "");
    identity_roles_print(IDENTITY_DAEMONS, text, 12);
    assert_string_equal(text, "generator, ");
    assert_true(identity_role_parse("admin", &role));
    assert_int_equal(role, IDENTITY_ADMIN);
    assert_false(identity_role_parse("", &role));
    assert_false(identity_role_parse("admins", &role));
    assert_string_equal(identity_role_name(IDENTITY_ADMIN | IDENTITY_VIEWER), "?");
}

TESTS(cmocka_unit_test(reads_and_prints), cmocka_unit_test(all_else_is_none),
      cmocka_unit_test(bytes_zero_hide_nothing), cmocka_unit_test(parts_have_a_longest_length),
      cmocka_unit_test(members_belong_to_domain_and_run),
      cmocka_unit_test(the_longest_fits_its_text), cmocka_unit_test(sets_of_roles_have_names))
