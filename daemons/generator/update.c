#include "generator/update.h"
#include "base/log.h"
#include "base/mem.h"
#include "generator/relaying.h"
#include "svc/metrics.h"
#include "weights/codec/touched.h"
#include "weights/stream/devicelists.h"
#include "weights/subscriber.h"

struct update {
    struct update_options options;
    struct subscriber *subscriber;
    bool wanted;      // decode asked, and poison had taken the version away
    uint32_t lineage; // lineage of the version that decode was given last
};

static struct metric by_nccl =
    METRIC_COUNTER("rlhfd_weights_by_nccl_total", "versions that NCCL brought");
static struct metric by_all = METRIC_COUNTER("rlhfd_weights_received_total", "versions that came");
static struct metric by_device = METRIC_COUNTER("rlhfd_weights_by_nccl_device_total",
                                                "versions that NCCL brought to the device itself");
static struct metric *const rows[] = {&by_nccl, &by_all, &by_device};

/* The values that the model was loaded with. A version that has the same need not come. */
static err_t loaded_values(void *arg, uint16_t *ret)
{
    const struct model *model = arg;
    return model_copy(model, 0, model->params->layout->elements, ret);
}

static void show(const struct update *update)
{
    if (update->options.track == TRACK_EVALUATION)
        return; // the rows tell of training's weights
    const struct subscriber_stats stats = subscriber_stats(update->subscriber);
    metric_total(&by_nccl, (double)stats.by_nccl);
    metric_total(&by_all, (double)stats.versions);
    metric_total(&by_device, (double)stats.on_device);
}

/* Lists that lie in the device's memory already. */
static void give_lists(struct update *update, struct new_weights *ret)
{
    const struct devicelist *list;
    const int lists = subscriber_lists(update->subscriber, &list);
    for (ret->lists = 0; ret->lists < lists; ret->lists++)
        ret->list[ret->lists] = (struct device_list){list[ret->lists].count, list[ret->lists].index,
                                                     list[ret->lists].value};
}
_Static_assert((int)DEVICE_LISTS_MAX == (int)DEVICELISTS_MAX, "all of them are given");

static void give(struct update *update)
{
    struct manifest manifest;
    const uint16_t *values;
    update->wanted = !subscriber_take(update->subscriber, &manifest, &values);
    if (update->wanted)
        return;
    update->lineage = manifest.lineage;
    const struct touched *touched = subscriber_touched(update->subscriber);
    struct track_weights weights = {
        .values = {.flat = values, .changed = touched->tensor, .marks = touched_marks(touched)},
        .lineage = manifest.lineage,
        .version = manifest.version};
    give_lists(update, &weights.values);
    decode_weights(update->options.decode, update->options.track, &weights);
}

static void on_staged(struct subscriber *subscriber, const struct manifest *manifest, void *user)
{
    (void)subscriber;
    (void)manifest;
    struct update *update = user;
    if (update->wanted)
        give(update);
    else
        decode_offer(update->options.decode, update->options.track); // newer ones replace it there
}

/* Weights from here may be wrong. Nothing is decoded until all values have come again. */
static void on_poisoned(struct subscriber *subscriber, void *user)
{
    (void)subscriber;
    struct update *update = user;
    log_limited(LOG_WARNING, 1, "weights are not what they should be",
                "action=\"ask for all values\"");
    decode_hold(update->options.decode);
    update->options.poisoned(update->options.arg);
}

static void on_down(struct subscriber *subscriber, err_t why, void *user)
{
    (void)subscriber;
    struct update *update = user;
    update->options.down(update->options.arg, why);
}

static void on_up(struct subscriber *subscriber, void *user)
{
    (void)subscriber;
    struct update *update = user;
    update->options.up(update->options.arg);
}

static void on_stuck(struct subscriber *subscriber, void *user)
{
    (void)subscriber;
    struct update *update = user;
    update->options.stuck(update->options.arg);
}

static void on_note(struct subscriber *subscriber, const char *text, void *user)
{
    (void)subscriber;
    (void)user;
    log_info("weights", "by=nccl what=\"%s\"", text);
}

static void on_forward(struct subscriber *subscriber, const struct manifest *manifest,
                       const uint16_t *values, struct delta *delta, void *user)
{
    (void)subscriber;
    const struct update *update = user;
    relaying_forward(update->options.relay, manifest, values, delta);
}

static void on_beat(struct subscriber *subscriber, uint64_t beat, void *user)
{
    (void)subscriber;
    const struct update *update = user;
    relaying_beat(update->options.relay, beat);
}

static struct subscriber_handlers handlers_of(const struct update_options *options)
{
    struct subscriber_handlers handlers = {.staged = on_staged, .down = on_down};
    if (options->track == TRACK_EVALUATION)
        return handlers;
    handlers.up = on_up;
    handlers.poisoned = on_poisoned;
    handlers.stuck = on_stuck;
    handlers.note = on_note;
    if (options->relay) {
        handlers.forward = on_forward;
        handlers.beat = on_beat;
    }
    return handlers;
}

err_t update_open(const struct update_options *options, struct update **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(update) update = mem_new(sizeof *update);
    update->options = *options;
    update->options.carriers = NULL; // borrowed until now, as serves is
    update->options.serves = NULL;
    const struct model *model = model_trained(decode_model(options->decode, options->track));
    struct digest digest;
    TRY(model_digest(model, &digest));
    struct subscriber_options subscriber = {.target = options->learner,
                                            .security = options->security,
                                            .run = options->run,
                                            .generator = options->generator,
                                            .incarnation = options->incarnation,
                                            .loop = options->loop,
                                            .layout = model->params->layout,
                                            .digest = &digest,
                                            .values = loaded_values,
                                            .marks = model->be->apart,
                                            .arg = (void *)model,
                                            .evaluated = options->track == TRACK_EVALUATION,
                                            .serves = options->serves,
                                            .silence_ms = options->silence_ms,
                                            .carriers = options->carriers};
    if (options->track == TRACK_TRAINING)
        subscriber.device = decode_lent(options->decode, &subscriber.device_bytes);
    const struct subscriber_handlers handlers = handlers_of(options);
    TRY(subscriber_open(options->rpc, &subscriber, &handlers, update, &update->subscriber));
    *ret = STEAL(update);
    return OK;
}

void update_wanted(struct update *update)
{
    give(update);
}

uint32_t update_applied(struct update *update)
{
    show(update);
    uint32_t lineage = update->lineage; // the next may be given before this returns
    subscriber_applied(update->subscriber);
    return lineage;
}

void update_free(struct update *update)
{
    if (!update)
        return;
    subscriber_free(update->subscriber);
    mem_free(update);
}
