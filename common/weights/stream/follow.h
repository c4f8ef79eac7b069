/* Where a subscriber's stream goes: to the learner, or to a generator that it was sent on to; back
 * when that one is lost.
 *
 *     struct follow *follow = follow_new(subscriber, "learner:7003", 10000);
 *     if (follow_hear(follow, message)) ...       -- it was about this
 *     follow_down(follow);                        -- the stream broke
 *
 * A stopped generator keeps its streams, and two that were sent on to each other have nothing new
 * to say: so the learner's signs of life are passed on by all, and who hears none, and no weights,
 * for silence_ms goes back. It says then who failed it, and nobody is sent there for a while. Every
 * call takes NULL. Owner: the loop's thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct follow;
struct rpc_message;
struct subscriber;
struct follow *follow_new(struct subscriber *subscriber, const char *home, int64_t silence_ms);
bool follow_hear(struct follow *follow, struct rpc_message *message);
bool follow_down(struct follow *follow);        // whether it was a generator's
char *follow_lost(const struct follow *follow); // borrowed; NULL: nobody
void follow_free(struct follow *follow);
