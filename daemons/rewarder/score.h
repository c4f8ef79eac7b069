/* Rewards.Score: groups in from generators, through the pipeline's stages, to the relay.
 *
 *     TRY(score_new(&options, &score));
 *     services[n++] = score_service(score);
 *
 * A stage gives a group up where its row lacks a column, or the reference a token. Such a group
 * goes on with the reason in place of scores, and the learner records it as rejected. When relay or
 * pipeline are full the streams are not read. Owner: the loop's thread. */
#pragma once
#include "rewarder/relay.h"
#include "rpc/server.h"
#include "svc/recipe/recipe.h"

struct score;
struct score_options {
    struct loop *loop;
    const struct recipe *recipe;
    struct relay *relay;
};
err_t score_new(const struct score_options *options, struct score **ret);
struct rpc_service score_service(struct score *score);

/* The forward id of the reference's numerics, the caller's. NULL: there is no reference. */
char *score_forward_id(const struct score *score);
void score_room(struct score *score); // the relay has room again

/* A group that was scored before, of no generator's stream. Takes group. */
void score_again(struct score *score, struct group *group);
struct rewarder_facts;
void score_facts(const struct score *score, struct rewarder_facts *facts); // all but the learner's

/* After the server; before the relay and the loop. */
void score_free(struct score *score);
DEFINE_SCOPED(score)
