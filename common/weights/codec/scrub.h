/* Sums up all values again, a slice at a time between the loop's other work, while they are used
 * and even changed. So the digest that was followed change by change is checked against memory
 * itself.
 *
 *     SCOPED(scrub) scrub = scrub_new(loop, elements, done, arg);
 *     scrub_start(scrub, values);
 *     scrub_follow(scrub, staging);  staging_apply(staging, values, NULL);
 *     -> done(arg, sum): weights_digest of the values as they are now
 *
 * Owner: the loop's thread. */
#pragma once
#include "base/hash.h"
#include "base/scoped.h"
#include "svc/loop.h"
#include "weights/codec/staging.h"
#include <stddef.h>
#include <stdint.h>

struct scrub;
struct scrub *scrub_new(struct loop *loop, size_t elements,
                        void (*done)(void *arg, const struct digest *sum), void *arg);

/* From the beginning; values are borrowed until done, or stop. While it runs: goes on. */
void scrub_start(struct scrub *scrub, const uint16_t *values);
void scrub_follow(struct scrub *scrub, const struct staging *staging); // call before staging_apply
void scrub_stop(struct scrub *scrub);
void scrub_free(struct scrub *scrub);
DEFINE_SCOPED(scrub)
