/* The compute thread: leased prompts in, finished groups out, every token stamped with its
 * log-probability and version.
 *
 *     TRY(decode_start(&options, &decode));
 *     decode_offer(decode);                     -- options.wanted(arg) follows when it is time for them:
 *     decode_weights(decode, values, changed, 1);   -- nothing is decoded before the first weights
 *     decode_admit(decode, grant);              -- options.finished(arg, group) follows on the loop's thread
 *
 * Every call: the loop's thread. Callbacks come on the loop's thread too. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/text/tokenizer.h"
#include "svc/loop.h"
#include "svc/recipe/recipe.h"
#include "tensor/layout.h"
#include "tensor/tensor.h"
#include "wire/lease.h"
#include "wire/rollout.h"

struct decode;
struct evaluate;
struct decode_options {
    struct loop *loop;
    const struct recipe *recipe;
    const char *generator;                            // its name, written into groups
    void (*finished)(void *arg, struct group *group); // takes the group
    /* The prompt of a lease cannot be decoded: its row has no such column, it is too long, ...
     * takes why. */
    void (*unusable)(void *arg, const struct digest *id, err_t why);
    void (*wanted)(void *arg); // now the newest weights can be taken: decode_weights, once
    void (*applied)(void *arg, uint64_t version); // weights are in force
    void (*paused)(void *arg, bool paused);       // decode_pause has come into force
    void (*failed)(void *arg, err_t why);         // the engine cannot go on; takes why
    struct evaluate *evaluate;                    // takes turns on this thread; NULL: none
    void *arg;
};

/* Loads model.path and its tokenizer, plans all memory, starts the thread. Errors name what does
 * not fit together. */
err_t decode_start(const struct decode_options *options, struct decode **ret);

/* The model, as it was loaded until the first decode_weights with values; borrowed. Any thread, to
 * read its layout, and until then its weights. */
const struct model *decode_model(const struct decode *decode);

/* How many groups fit into the slots at once. */
uint32_t decode_groups(const struct decode *decode);

/* Takes it: row and struct, from mem_* */
void decode_admit(struct decode *decode, struct lease_grant *grant);
void decode_cancel(struct decode *decode, const struct digest *id); // unknown ids are ignored

/* Stands still between two steps, or goes on from there: to the same bits, for the engine keeps all
 * it has. Evaluations, too. */
void decode_pause(struct decode *decode, bool paused);

/* Newer weights lie ready; again for each that replaces them there. They are asked for by
 * options.wanted, at once or, as generator.in_flight has it, later: whoever answers then gives the
 * newest. */
void decode_offer(struct decode *decode);

/* What was wanted: the layout's elements, and a flag for each tensor that changed, borrowed until
 * options.applied(version). Put in force between two steps. values NULL: those in force are the
 * version's. */
void decode_weights(struct decode *decode, const bf16 *values, const bool *changed,
                    uint64_t version);

/* The weights in force are not to be trusted: nothing is decoded until the next come. */
void decode_hold(struct decode *decode);

/* fn(decode, arg) on the compute thread, between two steps; there decode_fail ends the decoding,
 * taking why. */
void decode_run(struct decode *decode, void (*fn)(void *decode, void *arg), void *arg);
void decode_fail(struct decode *decode, err_t why);

/* Ends the thread. What it has told the loop is still to be run (loop_run_posted), then
 * decode_free. */
void decode_stop(struct decode *decode);
void decode_free(struct decode *decode);
DEFINE_SCOPED(decode)
