/* Certificates and the authority itself are replaced under a ring that trains: nothing is started
 * again, no round is lost, and what was replaced is refused afterwards.
 *
 * RLHFD_ROTATION_S=120: for so many seconds, with new certificates every 10 s. */
#include "testing/asker.h"
#include "testing/guarded.h"
#include <stdlib.h>

/* SEEN_MS: until every process has looked at new files, and its doors at their connections. LIFE:
 * of certificates, in turns and seconds. */
enum {
    SHORT_S = 6,
    SHORT_EVERY_S = 3,
    LONG_EVERY_S = 10,
    SEEN_MS = 2000,
    LIFE_TURNS = 2,
    LIFE_S = 10
};

struct rotation {
    struct guarded g;
    const struct authority *signs, *old; // old: trusted beside it; NULL: none
    int64_t every_s;
    int generations;
};

/* New keys of all daemons, which are seen when this returns. */
static void renew(struct rotation *r, int64_t life_s)
{
    for (int kind = 0; kind < DAEMON_KINDS; kind++) {
        SCOPED_MEM char *uri = mem_printf("spiffe://testing/run/test/%s/%s", guarded_daemons[kind],
                                          guarded_daemons[kind]);
        SCOPED_MEM char *directory = file_join(r->g.keys, guarded_daemons[kind]);
        authority_issue(
            r->signs,
            &(struct certificate){
                .uri = uri, .from_s = -60, .until_s = life_s, .roots = {r->signs, r->old}},
            directory);
    }
    r->generations++;
    clock_sleep_ms(SEEN_MS);
    guarded_goes_on(&r->g);
    assert_int_equal(ring_read(&r->g.ring).rollbacks, 0);
}

/* Connections outlive the certificates with which they were made, which ends them. */
static void turns(struct rotation *r, int64_t seconds)
{
    for (const int64_t until = clock_ms() + seconds * 1000; clock_ms() < until;) {
        const int64_t next = clock_ms() + r->every_s * 1000;
        renew(r, LIFE_TURNS * r->every_s + LIFE_S);
        if (next > clock_ms())
            clock_sleep_ms((int)(next - clock_ms()));
    }
    const char *const line[] = {"\"connection closed\"", "its certificate has expired", NULL};
    guarded_log_wait(&r->g, "learner", line);
    guarded_log_wait(&r->g, "rewarder", line);
}

/* All trust both roots; the new one signs; the old one is trusted no more, which ends connections
 * made by it. The last certificates are short-lived. */
static void roll_over(struct rotation *r, const struct authority *to)
{
    const struct authority *from = r->signs;
    r->old = to;
    renew(r, 3600);
    r->signs = to;
    r->old = from;
    renew(r, 3600);
    r->old = NULL;
    renew(r, LIFE_TURNS * r->every_s + LIFE_S);
}

/* Keys of before, whose owner trusts both roots. */
static void issue_old(const struct rotation *r, const char *directory)
{
    authority_issue(r->g.ca,
                    &(struct certificate){.uri = "spiffe://testing/run/test/viewer/anna",
                                          .roots = {r->g.ca, r->g.other}},
                    directory);
}

/* How every daemon answers who has the keys in a directory. */
static void answers(const struct rotation *r, const char *keys, enum err_code code,
                    const char *part)
{
    struct asker asker = asker_new(keys, GUARDED_RUN);
    for (int kind = 0; kind < DAEMON_KINDS; kind++) {
        asker_connect(&asker, r->g.daemons.address[kind]);
        if (asker_call(&asker, "/grpc.health.v1.Health/Check", "", 0) != code ||
            !strstr(asker.text, part))
            fail_msg("wanted %d '%s', got %d '%s'", code, part, asker.code, asker.text);
    }
    asker_done(&asker);
}

static void keys_are_replaced_under_load(void **)
{
    const char *text = getenv("RLHFD_ROTATION_S");
    const int64_t seconds = text ? strtoll(text, NULL, 10) : SHORT_S;
    struct rotation r = {.every_s = text ? LONG_EVERY_S : SHORT_EVERY_S};
    guarded_start(&r.g, &(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1}, "");
    r.signs = r.g.ca;
    const char *old = testing_path(r.g.keys, "anna");
    issue_old(&r, old);
    const int before[] = {r.g.daemons.process[LEARNER].pid, r.g.daemons.process[REWARDER].pid,
                          r.g.daemons.process[GENERATOR].pid};
    ring_wait_rounds(&r.g.ring, 2, GUARDED_MS);
    answers(&r, old, ERR_NONE, "");
    roll_over(&r, r.g.other);
    answers(&r, old, ERR_DENIED,
            "the certificate is of a CA that is not in ca.crt (issuer /CN=first)");
    turns(&r, seconds / (text ? 2 : 1));
    if (text) {
        roll_over(&r, r.g.ca);
        turns(&r, seconds / 2);
    }
    print_message("%d sets of keys, %d rounds\n", r.generations, ring_read(&r.g.ring).rounds);
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        assert_int_equal(before[kind], r.g.daemons.process[kind].pid);
    guarded_end(&r.g);
}

TESTS(cmocka_unit_test(keys_are_replaced_under_load))
