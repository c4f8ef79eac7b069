/* A generator that passes weights on: a learner's publisher, one relay and its children over real
 * gRPC, in one process. */
#include "generator/relaying.h"
#include "rpc/server.h"
#include "unit/weights/loopback_ring.h"

enum { RELAY, LOADED, BARE, LATE, LATEST };

struct chain {
    struct ring ring;
    struct rpc_server *server; // the relay's
    char learner[64], relay_target[64];
    struct digest digest; // of version 1, which the relay and a child have loaded
    int asked;            // for it
};
static struct relaying *relay; // the handler's: one at a time

static void pass_on(struct subscriber *, const struct manifest *manifest, const uint16_t *values,
                    struct delta *delta, void *)
{
    relaying_forward(relay, manifest, values, delta);
}

static err_t give_loaded(void *arg, uint16_t *ret)
{
    struct chain *chain = arg;
    chain->asked++;
    for (size_t i = 0; i < chain->ring.elements; i++)
        ret[i] = value_of(1, i);
    return OK;
}

static void begin(struct chain *chain, int i, bool loaded)
{
    struct generator *generator = &chain->ring.generator[i];
    const struct subscriber_options options = {
        .digest = loaded ? &chain->digest : NULL, .values = give_loaded, .arg = chain};
    generator->forward = i == RELAY ? pass_on : NULL;
    snprintf(chain->ring.target, sizeof chain->ring.target, "%s",
             i == RELAY ? chain->learner : chain->relay_target);
    subscribe(&chain->ring, i, &options);
    if (loaded)
        for (size_t k = 0; k < chain->ring.elements; k++)
            generator->values[k] = value_of(1, k);
}

static void chain_open(struct chain *chain)
{
    const struct recipe recipe = {.run.name = "sort-1",
                                  .publish = {.fanout = 8, .full_at_once = 1, .anchor_every = 2}};
    sparse = true;
    *chain = (struct chain){0};
    ring_init(&chain->ring, LARGE);
    snprintf(chain->learner, sizeof chain->learner, "%s", chain->ring.target);
    assert_ok(relaying_open(&recipe, chain->ring.layout, &relay));
    struct rpc_service services[] = {relaying_service(relay)};
    const struct rpc_server_options server = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    assert_ok(rpc_server_start(chain->ring.rpc, &server, &chain->server));
    snprintf(chain->relay_target, sizeof chain->relay_target, "127.0.0.1:%d",
             rpc_server_port(chain->server));
    SCOPED_MEM uint16_t *values = make_values(&chain->ring, 1);
    chain->digest = weights_digest(values, 0, chain->ring.elements);
}

/* As the daemon does. */
static void chain_close(struct chain *chain)
{
    rpc_server_free(chain->server);
    subscriber_free(STEAL(chain->ring.generator[RELAY].subscriber));
    relaying_free(relay);
    ring_done(&chain->ring);
}

static bool all_are_at_newest(struct ring *ring)
{
    const struct manifest *newest = publisher_newest(ring->publisher);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        const struct generator *generator = &ring->generator[i];
        if (generator->subscriber && (!generator->applied || generator->taken ||
                                      generator->manifest.lineage != newest->lineage ||
                                      generator->manifest.version != newest->version))
            return false;
    }
    return true;
}

static struct subscriber_stats stats_of(const struct ring *ring, int i)
{
    return subscriber_stats(ring->generator[i].subscriber);
}

static void settle(struct chain *chain, uint64_t version)
{
    until(&chain->ring, all_are_at_newest);
    for (int i = 0; i < SUBSCRIBERS; i++)
        if (chain->ring.generator[i].subscriber) {
            assert_model(&chain->ring.generator[i], version);
            assert_int_equal(stats_of(&chain->ring, i).mismatches, 0);
        }
}

/* What relay and child have loaded comes to neither; all values go from the relay to who has loaded
 * nothing. */
static void what_a_child_has_loaded_does_not_come(void **state)
{
    struct chain chain;
    (void)state;
    chain_open(&chain);
    begin(&chain, RELAY, true);
    begin(&chain, LOADED, true);
    publish(&chain.ring, 1);
    settle(&chain, 1);
    assert_int_equal(stats_of(&chain.ring, RELAY).same, 1);
    assert_int_equal(stats_of(&chain.ring, LOADED).same, 1);
    assert_int_equal(stats_of(&chain.ring, LOADED).bytes, 0);
    begin(&chain, BARE, false);
    settle(&chain, 1);
    assert_int_equal(stats_of(&chain.ring, BARE).full, 1);
    for (uint64_t version = 2; version <= 4; version++) {
        publish(&chain.ring, version);
        settle(&chain, version);
    }
    for (int i = RELAY; i <= BARE; i++)
        assert_int_equal(stats_of(&chain.ring, i).changes, 3);
    assert_int_equal(chain.asked, 2); // once each
    const struct publisher_stats sent = publisher_stats(chain.ring.publisher);
    assert_true(sent.full == 0 && sent.same == 1 && sent.deltas == 3);
    chain_close(&chain);
}

/* Children come, and wait for their turn, while the relay's own values are changed, and replaced by
 * others. */
static void values_are_the_relays_newest_whenever_a_child_comes(void **state)
{
    struct chain chain;
    (void)state;
    chain_open(&chain);
    begin(&chain, RELAY, false);
    publish(&chain.ring, 1);
    settle(&chain, 1);
    for (int i = LOADED; i <= LATEST; i++)
        begin(&chain, i, false);
    for (uint64_t version = 2; version <= 12; version++) { // of a new lineage: all values
        publish_broken(&chain.ring, 1 + (uint32_t)(version / 4), version, false);
        run_for(&chain.ring, (int)version);
    }
    settle(&chain, 12);
    subscriber_free(STEAL(chain.ring.generator[LATE].subscriber));
    free(STEAL(chain.ring.generator[LATE].values));
    chain.ring.generator[LATE] = (struct generator){0};
    begin(&chain, LATE, false);
    settle(&chain, 12);
    chain_close(&chain);
}

TESTS(cmocka_unit_test(what_a_child_has_loaded_does_not_come),
      cmocka_unit_test(values_are_the_relays_newest_whenever_a_child_comes))
