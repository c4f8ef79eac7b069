/* Which process has a generator's name: nonces have no order, terms rise, and both outlive the
 * learner. */
#include "base/file.h"
#include "learner/store/terms.h"
#include "unit/learner/store_kit.h"
#include <stdio.h>

static struct store *open_store(const char *dir)
{
    struct store *store = NULL;
    const struct store_options options = kit_options(100);
    const struct store_rules rules = kit_rules(4, 1);
    assert_ok(store_open(dir, &options, &rules, 0, &store));
    return store;
}

static struct join join(struct store *store, const char *name, uint64_t nonce)
{
    struct join join = {0};
    assert_ok(store_join(store, name, nonce, 0, &join));
    return join;
}

static void assert_join(struct join join, enum join_how how, uint64_t term)
{
    assert_int_equal(join.how, how);
    assert_int_equal(join.term, term);
}

/* A clock that is set back, and nonces at both ends of their range: the process that came last has
 * the name. */
static void a_nonce_has_no_order(void **)
{
    const char *dir = testing_path(kit_directory(), "order");
    SCOPED(store) store = open_store(dir);
    assert_join(join(store, "g", 1700000000000), JOIN_NEW, 1);
    assert_join(join(store, "g", 1600000000000), JOIN_NEW, 2);
    assert_join(join(store, "g", UINT64_MAX), JOIN_NEW, 3);
    assert_join(join(store, "g", 1), JOIN_NEW, 4);
    assert_join(join(store, "g", 1), JOIN_AGAIN, 4);
    assert_join(join(store, "g", UINT64_MAX), JOIN_SUPERSEDED, 4);
    assert_join(join(store, "g", 1700000000000), JOIN_SUPERSEDED, 4);
    assert_join(join(store, "other", UINT64_MAX), JOIN_NEW, 5);
    assert_join(join(store, "g", 2), JOIN_NEW, 6);
}

static void nonces_and_names_are_checked(void **)
{
    const char *dir = testing_path(kit_directory(), "checked");
    SCOPED(store) store = open_store(dir);
    struct join ret;
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = 0;
    assert_err(ERR_INVALID, "its incarnation is 0", store_join(store, "g", 0, 0, &ret));
    assert_err(ERR_INVALID, "a generator's name of 256 bytes", store_join(store, name, 1, 0, &ret));
    assert_err(ERR_INVALID, "a generator's name of 0 bytes", store_join(store, "", 1, 0, &ret));
}

/* The learner restarts: the process that has the name keeps its leases, the one before it stays
 * out. */
static void a_restart_forgets_nobody(void **)
{
    const char *dir = testing_path(kit_directory(), "restart");
    struct store *store = open_store(dir);
    SCOPED_VALUE(grants) grants = {0};
    assert_join(join(store, "g", 70), JOIN_NEW, 1);
    assert_join(join(store, "g", 50), JOIN_NEW, 2);
    const struct store_holder holder = {"g", 2};
    assert_ok(store_lease(store, &holder, 0, 3, 0, &grants));
    assert_int_equal(grants.count, 3);
    store_free(store);
    store = open_store(dir);
    assert_join(join(store, "g", 70), JOIN_SUPERSEDED, 2);
    assert_join(join(store, "g", 50), JOIN_AGAIN, 2);
    assert_ok(store_holder_gone(store, &holder, 0));
    assert_int_equal(store_leased(store, &holder), 3);
    assert_join(join(store, "g", 60), JOIN_NEW, 3);
    assert_ok(store_holder_gone(store, &(struct store_holder){"g", 3}, 0));
    assert_int_equal(store_leased(store, &holder), 0);
    store_free(store);
}

/* The store is lost: whoever comes first under a name has it, and terms begin anew. */
static void a_store_made_again_welcomes_all(void **)
{
    const char *dir = testing_path(kit_directory(), "lost");
    struct store *store = open_store(dir);
    for (uint64_t nonce = 1; nonce < 10; nonce++)
        assert_join(join(store, "g", nonce), JOIN_NEW, nonce);
    store_free(store);
    assert_ok(file_remove_tree(dir));
    store = open_store(dir);
    assert_join(join(store, "g", 9), JOIN_NEW, 1);
    store_free(store);
}

/* Forged hellos without end, under one name and under many. */
static void memory_is_bounded(void **)
{
    enum { NONCES = 3 * TERMS_PAST, NAMES = TERMS_MAX + 50 };
    const char *dir = testing_path(kit_directory(), "bounded");
    struct store *store = open_store(dir);
    SCOPED_VALUE(grants) grants = {0};
    assert_join(join(store, "holds", 7), JOIN_NEW, 1);
    const struct store_holder holder = {"holds", 1};
    assert_ok(store_lease(store, &holder, 0, 1, 0, &grants));
    for (uint64_t i = 1; i <= NONCES; i++)
        assert_join(join(store, "g", i), JOIN_NEW, 1 + i);
    for (uint64_t i = NONCES - TERMS_PAST; i < NONCES; i++)
        assert_join(join(store, "g", i), JOIN_SUPERSEDED, 1 + NONCES);
    for (uint64_t i = 0; i < NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
        assert_join(join(store, name, 5), JOIN_NEW, 2 + NONCES + i);
    }
    for (int reopened = 0; reopened < 2; reopened++) {
        assert_join(join(store, "holds", 7), JOIN_AGAIN, 1); // its lease keeps the name
        assert_join(join(store, "n4145", 5), JOIN_AGAIN, 2 + NONCES + 4145);
        store_free(store);
        store = open_store(dir);
    }
    assert_join(join(store, "n0", 5), JOIN_NEW,
                2 + NONCES + NAMES); // was forgotten; its term is not an old one
    store_free(store);
}

TESTS(cmocka_unit_test(a_nonce_has_no_order), cmocka_unit_test(nonces_and_names_are_checked),
      cmocka_unit_test(a_restart_forgets_nobody), cmocka_unit_test(a_store_made_again_welcomes_all),
      cmocka_unit_test(memory_is_bounded))
