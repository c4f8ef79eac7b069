/* A thing that is taken away is used no more. */
#include "svc/claim.h"
#include "testing/testing.h"
#include <pthread.h>

struct shared {
    struct claim claim;
    int *thing;
};

static void *use(void *arg)
{
    struct shared *shared = arg;
    uintptr_t uses = 0;
    while (claim_enter(&shared->claim)) {
        *shared->thing += 1;
        claim_leave(&shared->claim);
        uses++;
    }
    return (void *)uses;
}

/* The thing goes at once where no use was under way, and a use after that would write to it. */
static void what_is_taken_away_is_used_no_more(void **)
{
    for (int round = 0; round < 200; round++) {
        pthread_t thread;
        void *uses = NULL;
        int thing = 0;
        struct shared shared = {.thing = &thing};
        assert_int_equal(pthread_create(&thread, NULL, use, &shared), 0);
        const bool inside = claim_close(&shared.claim);
        const int seen = inside ? -1 : thing;
        pthread_join(thread, &uses);
        assert_int_equal(thing, (uintptr_t)uses);
        assert_true(inside || seen == thing);
        assert_false(claim_enter(&shared.claim));
        claim_open(&shared.claim);
        assert_true(claim_enter(&shared.claim));
        assert_true(claim_close(&shared.claim));
    }
}

TESTS(cmocka_unit_test(what_is_taken_away_is_used_no_more))
