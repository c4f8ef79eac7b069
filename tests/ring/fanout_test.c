/* Generators that pass weights on to others: a tree of real processes whose parts are killed and
 * stopped, and many that come at once. All come to the head, and every token's log-probability is
 * to the bit that of the learner's weights. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 60000, MOST = 8, ROUNDS_AFTER = 8 };

struct tree {
    struct ring ring;
    struct daemons daemons;
    char settings[256];
    struct extra extra[MOST];
    int extras;
    bool gone[MOST];
};

static void tree_open(struct tree *tree, int fanout)
{
    *tree = (struct tree){.ring = ring_prepare(&(struct ring_options){
                              .rounds = 1000000, .groups = 8, .lag = 2, .straggler = "drop"})};
    snprintf(tree->settings, sizeof tree->settings, "publish.fanout=%d publish.relay_ms=2000",
             fanout);
    tree->daemons = daemons_start(&tree->ring, tree->settings);
}

static void tree_grow(struct tree *tree)
{
    char name[16];
    snprintf(name, sizeof name, "g%d", tree->extras);
    tree->extra[tree->extras++] = daemons_extra(&tree->daemons, name, "");
}

static void show(const struct tree *tree, const char *what)
{
    for (int i = -1; i < tree->extras; i++) {
        SCOPED_MEM char *path = i < 0 ? mem_printf("%s/learner.log", tree->ring.run)
                                      : mem_printf("%s/g%d.log", tree->ring.run, i);
        SCOPED_MEM char *text = file_text(path);
        const size_t len = strlen(text);
        print_error("%s:\n%s\n", path, text + (len > 1500 ? len - 1500 : 0));
    }
    fail_msg("%s", what);
}

/* Everyone that lives applies a version made from now on. */
static void wait_head(const struct tree *tree)
{
    const int head = ring_read(&tree->ring).rounds;
    for (int i = -1; i < tree->extras; i++) {
        const char *http = i < 0 ? tree->daemons.metrics[GENERATOR] : tree->extra[i].metrics;
        const int64_t until = clock_ms() + WAIT_MS;
        while ((i < 0 || !tree->gone[i]) &&
               daemons_metric_at(http, "rlhfd_weights_version") < head) {
            if (clock_ms() > until)
                show(tree, "one does not come to the head");
            clock_sleep_ms(20);
        }
    }
}

static int direct(const struct tree *tree)
{
    return (int)daemons_metric(&tree->daemons, LEARNER, "rlhfd_weights_direct");
}

/* -1: of the first generator, which is no extra. */
static int children(const struct tree *tree, int i)
{
    return (int)daemons_metric_at(i < 0 ? tree->daemons.metrics[GENERATOR] : tree->extra[i].metrics,
                                  "rlhfd_relay_generators");
}

/* Everyone that lives is served by someone. A stopped one may still be counted. */
static bool all_are_served(const struct tree *tree)
{
    int living = 1, served = direct(tree) + children(tree, -1);
    for (int i = 0; i < tree->extras; i++)
        if (!tree->gone[i]) {
            living++;
            served += children(tree, i);
        }
    return served >= living;
}

/* What the learner and the relays say of their streams is as old as the last beat: it is waited
 * for. */
static void wait_direct(const struct tree *tree, int least, int most)
{
    for (const int64_t until = clock_ms() + WAIT_MS;
         direct(tree) < least || direct(tree) > most || !all_are_served(tree); clock_sleep_ms(50))
        if (clock_ms() > until)
            show(tree, "the learner serves too few or too many itself");
}

/* So many that serve exactly one. */
static int links(const struct tree *tree)
{
    int count = 0;
    for (int i = -1; i < tree->extras; i++)
        count += children(tree, i) == 1;
    return count;
}

/* Which of them serves others; -1: none. */
static int a_relay(const struct tree *tree)
{
    for (const int64_t until = clock_ms() + WAIT_MS; clock_ms() < until; clock_sleep_ms(50))
        for (int i = 0; i < tree->extras; i++)
            if (!tree->gone[i] && children(tree, i) > 0)
                return i;
    return -1;
}

static void tree_close(struct tree *tree, const char *name)
{
    const double placed = daemons_metric(&tree->daemons, LEARNER, "rlhfd_weights_sent_on_total");
    for (int i = 0; i < tree->extras; i++) {
        process_kill(&tree->extra[i].process, SIGKILL);
        process_wait(&tree->extra[i].process, WAIT_MS);
    }
    process_kill(&tree->daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&tree->daemons, WAIT_MS), 0);
    const struct ring_result result = ring_read(&tree->ring);
    assert_true(result.logp_compared > 0);
    assert_int_equal((int)result.logp_differing, 0);
    ring_audit(&tree->ring);
    print_message("%s: %d rounds, %.0f generators sent on\n", name, result.rounds, placed);
}

/* With a fanout of 1 a chain; each has the one before as its only source. */
static void a_chain_passes_versions_on(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, 1);
    for (int i = 0; i < 3; i++)
        tree_grow(&tree);
    ring_wait_rounds(&tree.ring, ring_read(&tree.ring).rounds + ROUNDS_AFTER, WAIT_MS);
    wait_head(&tree);
    wait_direct(&tree, 1, 1);
    for (const int64_t until = clock_ms() + WAIT_MS; links(&tree) != 3; clock_sleep_ms(50))
        if (clock_ms() > until)
            show(&tree, "they form no chain");
    tree_close(&tree, "chain of 4");
}

static void lose_a_relay(int signal_number, int fanout)
{
    struct tree tree;
    tree_open(&tree, fanout);
    for (int i = 0; i < 5; i++)
        tree_grow(&tree);
    ring_wait_rounds(&tree.ring, ring_read(&tree.ring).rounds + ROUNDS_AFTER, WAIT_MS);
    wait_head(&tree);
    wait_direct(&tree, 1, fanout);
    const int victim = a_relay(&tree);
    assert_true(victim >= 0);
    process_kill(&tree.extra[victim].process, signal_number);
    tree.gone[victim] = true;
    const int64_t lost_ms = clock_ms();
    for (int i = 0; i < 3; i++) {
        ring_wait_rounds(&tree.ring, ring_read(&tree.ring).rounds + ROUNDS_AFTER, WAIT_MS);
        wait_head(&tree);
    }
    print_message("fanout %d, relay %s: all others at the head %lld ms later\n", fanout,
                  signal_number == SIGKILL ? "killed" : "stopped",
                  (long long)(clock_ms() - lost_ms));
    wait_direct(&tree, 1, fanout + 1); // a stopped one is still counted
    tree_close(&tree, "a relay lost");
}

static void the_children_of_a_killed_relay_find_another(void **state)
{
    (void)state;
    lose_a_relay(SIGKILL, 1);
    lose_a_relay(SIGKILL, 2);
}

static void the_children_of_a_stopped_relay_find_another(void **state)
{
    (void)state;
    lose_a_relay(SIGSTOP, 1);
    lose_a_relay(SIGSTOP, 2);
}

static void a_killed_learner_finds_the_tree_again(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, 1);
    for (int i = 0; i < 3; i++)
        tree_grow(&tree);
    wait_head(&tree);
    daemons_kill(&tree.daemons, LEARNER);
    daemons_start_one(&tree.daemons, LEARNER, "");
    daemons_announced(&tree.daemons, LEARNER);
    ring_wait_rounds(&tree.ring, ring_read(&tree.ring).rounds + ROUNDS_AFTER, WAIT_MS);
    wait_head(&tree);
    tree_close(&tree, "learner killed");
}

/* Seven that come at once: the learner sends each version twice at most, and its rounds go on. */
static void many_that_come_at_once_are_spread(void **state)
{
    struct tree tree;
    (void)state;
    tree_open(&tree, 2);
    ring_wait_rounds(&tree.ring, ROUNDS_AFTER, WAIT_MS);
    const int before = ring_read(&tree.ring).rounds;
    for (int i = 0; i < 7; i++)
        tree_grow(&tree);
    wait_head(&tree);
    ring_wait_rounds(&tree.ring, before + 2 * ROUNDS_AFTER, WAIT_MS);
    wait_direct(&tree, 2, 2);
    const double sent =
        daemons_metric(&tree.daemons, LEARNER, "rlhfd_weights_sent_total{kind=\"full\"}") +
        daemons_metric(&tree.daemons, LEARNER, "rlhfd_weights_sent_total{kind=\"changes\"}");
    const int versions = ring_read(&tree.ring).rounds + 2;
    print_message("%.0f versions sent by the learner, of %d made\n", sent, versions);
    assert_true(sent <= 2 * versions);
    tree_close(&tree, "seven at once");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_passes_versions_on),
        cmocka_unit_test(the_children_of_a_killed_relay_find_another),
        cmocka_unit_test(the_children_of_a_stopped_relay_find_another),
        cmocka_unit_test(many_that_come_at_once_are_spread),
        cmocka_unit_test(a_killed_learner_finds_the_tree_again),
    };
    if (!TESTING_FORKS)
        return 77;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
