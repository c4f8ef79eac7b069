/* Evaluation: rows of the evaluation data decoded by the weights of one pinned version, beside the
 * training's decoding.
 *
 *     TRY(evaluate_new(&options, &evaluate));          -- *ret NULL: eval.every is 0
 *     decode_options.evaluate = evaluate;              -- whose thread calls evaluate_turn
 *     TRY(evaluate_open(evaluate, decode, &stream));   -- weights come over a stream of their own
 *     -> options.ready(arg, lineage, version)          -- in force: rows may be leased
 *     evaluate_admit(evaluate, grant);                 -- options.finished(arg, group) follows
 *
 * It has a model, a tokenizer and a few slots of its own: training's weights come and go meanwhile,
 * and nothing it decodes depends on them. New weights drop what the older ones had not finished.
 * Sampling is that of `rlhfctl eval`, draw for draw. Owner: the loop's thread, where callbacks come
 * too; evaluate_turn and evaluate_busy: the compute thread. */
#pragma once
#include "generator/decode.h"
#include "rpc/rpc.h"

struct evaluate_options {
    struct loop *loop;
    const struct recipe *recipe;
    const char *generator;                            // its name, written into groups
    void (*finished)(void *arg, struct group *group); // takes the group
    /* Cannot be decoded; takes why */
    void (*unusable)(void *arg, const struct group *group, err_t why);
    void (*ready)(void *arg, uint32_t lineage, uint64_t version);
    void (*down)(void *arg, err_t why); // the stream of weights is lost, and tried again; takes why
    void *arg;
};

/* Loads model.path and its tokenizer, plans all memory. INVALID: eval.temperature. */
err_t evaluate_new(const struct evaluate_options *options, struct evaluate **ret);

struct evaluate_stream {
    struct rpc *rpc;
    uint64_t incarnation;
};
err_t evaluate_open(struct evaluate *evaluate, struct decode *decode,
                    const struct evaluate_stream *stream);
void evaluate_admit(struct evaluate *evaluate, struct lease_grant *grant); // takes it
uint32_t evaluate_slots(const struct evaluate *evaluate);                  // rows at once; 0: NULL

/* One step, if there is something to decode and it is its turn: always when training had nothing to
 * decode (training_s 0), else so that at most an eighth of the seconds that training's steps take
 * is spent here. */
err_t evaluate_turn(struct evaluate *evaluate, double training_s);
bool evaluate_busy(const struct evaluate *evaluate); // NULL: no
double evaluate_seconds(void); // spent here since the process began; any thread

/* After decode, whose thread uses it, and before rpc. */
void evaluate_free(struct evaluate *evaluate);
DEFINE_SCOPED(evaluate)
