#include "generator/update.h"
#include "base/mem.h"
#include "weights/subscriber.h"
#include <assert.h>

struct update {
    struct update_options options;
    struct subscriber *subscriber;
};

static void on_staged(struct subscriber *subscriber, const struct manifest *manifest, void *user)
{
    (void)subscriber;
    (void)manifest;
    struct update *update = user;
    decode_offer(
        update->options.decode); // stays ready, and is replaced by newer ones, until it is wanted
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

err_t update_open(const struct update_options *options, struct update **ret)
{
    SCOPED(update) update = mem_new(sizeof *update);
    update->options = *options;
    const struct layout *layout = decode_layout(options->decode);
    struct subscriber_options subscriber = {.target = options->learner,
                                            .insecure = options->insecure,
                                            .run = options->run,
                                            .generator = options->generator,
                                            .incarnation = options->incarnation,
                                            .layout = layout_digest(layout),
                                            .elements = layout->elements};
    struct subscriber_handlers handlers = {.staged = on_staged, .down = on_down, .up = on_up};
    TRY(subscriber_open(options->rpc, &subscriber, &handlers, update, &update->subscriber));
    *ret = STEAL(update);
    return OK;
}

void update_wanted(struct update *update)
{
    struct manifest manifest;
    const uint16_t *values = subscriber_take(update->subscriber, &manifest);
    assert(values); // decode asks once for what was offered
    decode_weights(update->options.decode, values, manifest.version);
}

void update_applied(struct update *update)
{
    subscriber_applied(update->subscriber);
}

void update_free(struct update *update)
{
    if (!update)
        return;
    subscriber_free(update->subscriber);
    mem_free(update);
}
