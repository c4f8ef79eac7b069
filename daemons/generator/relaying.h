/* Serves weights to other generators (publish.fanout): the versions that update has staged, by the
 * learner's method.
 *
 *     TRY(relaying_open(recipe, decode_layout(decode), &relay));        -- NULL where publish.fanout is 0
 *     services[n++] = relaying_service(relay);
 *     relaying_forward(relay, manifest, values, delta);   relaying_beat(relay, beat);       -- update's
 *
 * Changes are passed on as they came. All values are copied only for a subscriber that needs them.
 * Owner: the loop's thread. The server is freed first, then update, then this. */
#pragma once
#include "rpc/server.h"
#include "svc/recipe/recipe.h"
#include "tensor/layout.h"
#include "weights/codec/delta.h"
#include "weights/codec/manifest.h"

struct relaying;
err_t relaying_open(const struct recipe *recipe, const struct layout *layout,
                    struct relaying **ret);
struct rpc_service relaying_service(struct relaying *relay);

/* Borrows values until the next call. Takes delta, the changes from the version of the call before,
 * or NULL. */
void relaying_forward(struct relaying *relay, const struct manifest *manifest,
                      const uint16_t *values, struct delta *delta);
void relaying_beat(struct relaying *relay, uint64_t beat);

/* The address at which others reach it, made from the recipe and the address in use. NULL: there is
 * none. The caller owns it. */
char *relaying_address(const struct recipe *recipe, const char *listen);
void relaying_free(struct relaying *relay);
