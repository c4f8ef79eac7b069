#include "model/device_memory.h"
#include "model/backward.h"
#include "model/engine/decoder.h"
#include "model/forward.h"
#include "model/likelihood.h"
#include "model/odds.h"
#include "model/pack.h"
#include "model/scores.h"
#include "model/states.h"
#include <math.h>

/* The module's own; each has its reason in staging.h, steps.h, weight.c, reader.c, gemm.h. */
enum {
    RING = 4 << 20,       // of a stream that takes the host's arrays
    STEP = 1 << 20,       // the host's arrays in a step of decoding
    READ = 4 << 20,       // unpacked rows on their way to the host
    PUT = 8 << 20,        // rows before they are packed
    PACKED_ROWS = 8,      // a packed matrix is padded to these
    PACKED_COLUMNS = 64,  //
    ALIGNED = 256,        // and begins at a multiple of this
    CHANGES_SHARE = 16,   // one value in so many has room (model/refresh.c)
    CHANGES_LEAST = 4096, // and so many more
    CHANGE = 6,           // an index and a value
};

static double up_to(double x, double multiple)
{
    return ceil(x / multiple) * multiple;
}

double device_memory_sum(const struct device_memory *m)
{
    return m->weights + m->states + m->gradients + m->activations + m->kv + m->changes + m->scratch;
}

double device_memory_asked(const struct device_memory *m)
{
    return device_memory_sum(m) - RING;
}

/* ---- parts of a model */

static double elements(const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    return (double)params->layout->elements;
}

/* rows: in the flat array, too, as what learns has them. */
static double weights(const struct model_config *config, bool rows)
{
    SCOPED(params) params = params_new(config);
    const struct rope rope = config_rope(config);
    double bytes = config->parts & PART_TRUNK ? 4.0 * config->max_positions * rope.R : 0;
    for (int i = 0; i < params->layout->count; i++) {
        const struct layout_tensor *t = &params->layout->tensor[i];
        const bool packs = model_packs(config, params, i);
        if (packs)
            bytes +=
                up_to(2 * up_to(t->rows, PACKED_ROWS) * up_to(t->cols, PACKED_COLUMNS), ALIGNED);
        if (rows || !packs)
            bytes += 2 * up_to((double)t->count, LAYOUT_ALIGN);
    }
    return bytes;
}

/* Scratch of rows on their way into a packed form: of the largest matrix. */
static double put_scratch(const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    double bytes = 0;
    for (int i = 0; i < params->layout->count; i++)
        if (model_packs(config, params, i))
            bytes = fmax(bytes, 2.0 * (double)params->layout->tensor[i].count);
    return fmin(bytes, PUT);
}

/* A list of new values: of one in sixteen, and a count for each tensor. */
static double list_bytes(const struct model_config *config)
{
    SCOPED(params) params = params_new(config);
    const struct layout *layout = params->layout;
    const double room = floor((double)layout->elements / CHANGES_SHARE) + CHANGES_LEAST;
    return CHANGE * room + 4.0 * layout->count;
}

static int width_of_logits(const struct model_config *c)
{
    return c->parts & PART_VOCABULARY ? c->V : 1;
}

/* Scratch that grows a few times only. */
static double power_of_two(double bytes)
{
    return bytes > 0 ? exp2(ceil(log2(bytes))) : 0;
}

/* Scratch of a forward: x as bf16, of the head in three pieces; own pages of attention. */
static double forward_scratch(const struct model_config *c, double rows, double head_rows)
{
    const double widest = fmax(fmax(c->C, c->F), (double)c->H * c->D);
    const double x = 2 * up_to(rows, PACKED_ROWS) * up_to(widest, PACKED_COLUMNS);
    const double head = 6 * up_to(head_rows, PACKED_ROWS) * up_to(c->C, PACKED_COLUMNS);
    const double pages = 4.0 * up_to(rows, KV_PAGE) * c->K * c->D;
    return fmax(fmax(x, head), power_of_two(pages));
}

static int context(const struct recipe *r, const struct model_config *c)
{
    return config_context(c, r->data.max_prompt_tokens, r->generator.max_tokens);
}

/* Rows that learners and references compute at once. */
static int rows_at_once(const struct recipe *r, const struct model_config *c, int unit)
{
    return pack_rows((int)r->learner.micro_tokens, context(r, c) * unit);
}

/* ---- generators */

void device_memory_of_decoder(const struct device_shapes *shapes,
                              const struct engine_config *engine, struct device_memory *ret)
{
    const struct model_config *c = shapes->policy, *adapter = shapes->adapter;
    const double slots = engine->slots, page = 4.0 * KV_PAGE * c->L * c->K * c->D;
    const int head_rows = engine->slots < DECODER_HEAD_ROWS ? engine->slots : DECODER_HEAD_ROWS;
    const double pages = slots * ceil((double)engine->max_context / KV_PAGE),
                 asked = floor((double)engine->kv_bytes / page);
    *ret = (struct device_memory){
        .weights = weights(c, false) + (adapter ? weights(adapter, false) : 0),
        .activations = (double)forward_plan(c, adapter ? adapter->lora.r : 0, engine->step_rows,
                                            head_rows, FORWARD_NOTHING),
        .changes = list_bytes(adapter ? adapter : c) + RING,
        .kv = page * (engine->kv_bytes ? fmin(asked, pages) : pages),
        .scratch = fmax(put_scratch(c), forward_scratch(c, engine->step_rows, head_rows)) + RING +
                   STEP + READ};
}

static void add_track(const struct device_shapes *shapes, const struct engine_config *engine,
                      struct device_memory *m)
{
    struct device_memory d;
    device_memory_of_decoder(shapes, engine, &d);
    m->weights += d.weights;
    m->activations += d.activations;
    m->kv += d.kv;
    m->scratch += d.scratch;
    m->changes += d.changes;
}

void device_memory_of_generator(const struct recipe *r, const struct device_shapes *shapes,
                                struct device_memory *ret)
{
    const struct recipe_generator *g = &r->generator;
    struct device_memory m = {0};
    struct engine_config engine = {.slots = (int)g->slots,
                                   .max_context = context(r, shapes->policy),
                                   .step_rows =
                                       (int)(g->step_rows > g->slots ? g->step_rows : g->slots),
                                   .kv_bytes = (size_t)g->kv_bytes};
    add_track(shapes, &engine, &m);
    if (r->publish.transport != RECIPE_GRPC) // a list that NCCL brings
        m.changes += list_bytes(shapes->adapter ? shapes->adapter : shapes->policy);
    if (r->eval.every) {
        engine.slots = engine.slots < EVALUATION_SLOTS ? engine.slots : EVALUATION_SLOTS;
        engine.step_rows = EVALUATION_STEP_ROWS;
        engine.kv_bytes = 0;
        add_track(shapes, &engine, &m);
    }
    *ret = m;
}

/* ---- learners */

/* Scratch of a backward: dY and x as bf16, in chunks of a sequence's rows; queries, keys, values,
 * slopes and two numbers a row and head of attention. */
static double backward_scratch(const struct model_config *c, double rows)
{
    const double widest = fmax(c->F, (double)c->H * c->D), heads = c->H + c->K;
    const double body = 2 * rows * (up_to(widest, PACKED_COLUMNS) + up_to(c->C, PACKED_COLUMNS));
    const double head = 2.0 * TRAINED_HEAD_ROWS *
                        (up_to(width_of_logits(c), PACKED_COLUMNS) + up_to(c->C, PACKED_COLUMNS));
    const double attention = rows * (4 * heads * c->D + 8.0 * c->H);
    return fmax(fmax(body, head), power_of_two(attention));
}

static void add_trainee(const struct recipe *r, const struct model_config *c,
                        const struct model_config *adapter, int unit, enum recipe_states states,
                        struct device_memory *m)
{
    const struct model_config *trained = adapter ? adapter : c;
    const double count = elements(trained);
    const int rows = rows_at_once(r, c, unit);
    const struct states_bytes s = states_bytes((size_t)count, (enum states_place)states);
    m->weights += weights(c, true) + (adapter ? weights(adapter, true) : 0);
    m->states += (double)s.device;
    m->host += (double)s.host;
    m->paged += 2 * (double)s.host;
    m->gradients += 4 * count + (adapter   ? 4.0 * fmax(c->C, c->D)
                                 : c->tied ? 4.0 * c->V * c->C
                                           : 0);
    m->activations +=
        (double)forward_plan(c, adapter ? adapter->lora.r : 0, rows, TRAINED_HEAD_ROWS,
                             r->learner.gradient_checkpointing ? FORWARD_INPUTS : FORWARD_ALL);
    m->scratch = fmax(m->scratch,
                      fmax(forward_scratch(c, rows, TRAINED_HEAD_ROWS), backward_scratch(c, rows)));
}

void device_memory_of_learner(const struct recipe *r, const struct device_shapes *shapes,
                              struct device_memory *ret)
{
    struct device_memory m = {0};
    add_trainee(r, shapes->policy, shapes->adapter, shapes->unit, r->learner.optimizer.states, &m);
    if (shapes->critic) {
        struct model_config critic = *shapes->critic;
        critic.parts = PARTS_CRITIC;
        critic.tied = false;
        add_trainee(r, &critic, NULL, shapes->unit, r->learner.critic.optimizer.states, &m);
    }
    const struct model_config *published = shapes->adapter ? shapes->adapter : shapes->policy;
    if (r->publish.delta) // two lists, and marks of what changed
        m.changes = 2 * list_bytes(published) + elements(published) / 8;
    m.scratch += RING;
    *ret = m;
}

void device_memory_of_rewarder(const struct recipe *r, const struct device_shapes *shapes,
                               struct device_memory *ret)
{
    struct device_memory m = {0};
    const struct model_config *c = shapes->reference;
    if (c) {
        const int rows = rows_at_once(r, c, 1);
        m.weights = weights(c, false);
        m.activations = (double)forward_plan(c, 0, rows, LIKELIHOOD_HEAD_ROWS, FORWARD_NOTHING);
        m.scratch = fmax(put_scratch(c), forward_scratch(c, rows, LIKELIHOOD_HEAD_ROWS)) + RING;
    }
    *ret = m;
}

void device_memory_of_scores(const struct recipe *r, const struct model_config *c,
                             struct device_memory *ret)
{
    const int rows = pack_rows(SCORES_GROUP_TOKENS, context(r, c));
    *ret = (struct device_memory){
        .weights = weights(c, false),
        .activations = (double)forward_plan(c, 0, rows, PACK_SHARING, FORWARD_NOTHING),
        .scratch = fmax(put_scratch(c), forward_scratch(c, rows, PACK_SHARING)) + RING};
}

void device_memory_of_odds(const struct model_config *c, int64_t tokens, struct device_memory *ret)
{
    const int rows = pack_rows(SCORES_GROUP_TOKENS, odds_longest(c, tokens) + 1);
    *ret = (struct device_memory){
        .weights = weights(c, false),
        .activations = (double)forward_plan(c, 0, rows, ODDS_HEAD_ROWS, FORWARD_NOTHING),
        .scratch = fmax(put_scratch(c), forward_scratch(c, rows, ODDS_HEAD_ROWS)) + RING};
}

err_t device_memory_fits(struct backend *be, const struct device_memory *m, const char *who,
                         const char *advice)
{
    size_t available = 0;
    const double asked = device_memory_asked(m);
    if (!be->apart)
        return OK;
    const size_t all = be->ops->capacity(be, &available);
    if (asked <= (double)available)
        return OK;
    return err_new(ERR_EXHAUSTED,
                   "%s needs %.4g GB of the device's memory, and %.4g of its %.4g are free%s%s",
                   who, asked / 1e9, (double)available / 1e9, (double)all / 1e9, advice ? ": " : "",
                   advice ? advice : "");
}
