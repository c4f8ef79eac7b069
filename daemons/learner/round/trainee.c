#include "learner/round/trainee.h"
#include "base/mem.h"
#include <string.h>

bool trainee_name_is(const char *name)
{
    const size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz_");
    return len && len < TRAINEE_NAME_MAX && !name[len];
}

static void trainee_done(struct trainee *trainee)
{
    optimizer_free(STEAL(trainee->optimizer));
    gradient_free(STEAL(trainee->gradient));
    model_free(STEAL(trainee->model));
    mem_free(STEAL(trainee->trains));
}

static err_t add(struct trainees *trainees, const char *name, struct model *model,
                 const struct optimizer_config *config, const char *directory, bool follows)
{
    SCOPED(model) owned = model;
    bool good = trainees->count < TRAINEES_MAX && trainee_name_is(name);
    for (size_t i = 0; good && i < trainees->count; i++)
        good = strcmp(trainees->at[i].name, name) != 0;
    if (!good)
        return err_new(
            ERR_INVALID,
            "trainee '%.40s': allowed are %d different names of a to z and _, of at most %d bytes",
            name, TRAINEES_MAX, TRAINEE_NAME_MAX - 1);
    SCOPED(gradient) gradient = NULL;
    SCOPED(optimizer) optimizer = NULL;
    TRY(optimizer_new(model_trained(model), config, directory, &optimizer));
    if (!follows)
        TRY(gradient_new(model, &gradient));
    struct trainee *trainee = &trainees->at[trainees->count++];
    *trainee = (struct trainee){
        .model = STEAL(owned), .gradient = STEAL(gradient), .optimizer = STEAL(optimizer)};
    snprintf(trainee->name, sizeof trainee->name, "%s", name);
    return OK;
}

err_t trainees_add(struct trainees *trainees, const char *name, struct model *model,
                   const struct optimizer_config *config, const char *directory)
{
    return add(trainees, name, model, config, directory, false);
}

err_t trainees_add_follower(struct trainees *trainees, const char *name, struct model *model,
                            const struct optimizer_config *config, const char *directory)
{
    return add(trainees, name, model, config, directory, true);
}

void trainees_done(struct trainees *trainees)
{
    model_free(STEAL(trainees->frozen));
    for (size_t i = 0; i < trainees->count; i++)
        trainee_done(&trainees->at[i]);
    trainees->count = 0;
}

struct trainee *trainees_find(struct trainees *trainees, const char *name)
{
    for (size_t i = 0; i < trainees->count; i++)
        if (strcmp(trainees->at[i].name, name) == 0)
            return &trainees->at[i];
    return NULL;
}

void trainee_freeze(struct trainee *trainee, int tensor)
{
    const size_t tensors = (size_t)model_trained(trainee->model)->params->layout->count;
    if (!trainee->trains) {
        trainee->trains = mem_array(tensors, sizeof *trainee->trains);
        memset(trainee->trains, true, tensors);
        optimizer_select(trainee->optimizer, trainee->trains);
    }
    trainee->trains[tensor] = false;
}

struct trainee_digests trainees_digests(const struct trainees *trainees)
{
    struct trainee_digests list = {.count = (uint32_t)trainees->count};
    for (size_t i = 0; i < trainees->count; i++) {
        memcpy(list.at[i].name, trainees->at[i].name, sizeof list.at[i].name);
        list.at[i].weights = optimizer_digest(trainees->at[i].optimizer);
    }
    return list;
}

err_t trainees_verify(const struct trainees *trainees)
{
    for (size_t i = 0; i < trainees->count; i++)
        TRY(err_wrap(optimizer_verify(trainees->at[i].optimizer), "%s", trainees->at[i].name));
    return OK;
}

/* ---- what is recorded of them */

const struct digest *trainee_digests_find(const struct trainee_digests *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->at[i].name, name) == 0)
            return &list->at[i].weights;
    return NULL;
}

/* Of a's names. */
static const char *differs_from(const struct trainee_digests *a, const struct trainee_digests *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const struct digest *there = trainee_digests_find(b, a->at[i].name);
        if (!there || !digest_equal(there, &a->at[i].weights))
            return a->at[i].name;
    }
    return NULL;
}

const char *trainee_digests_differ(const struct trainee_digests *a, const struct trainee_digests *b)
{
    const char *name = differs_from(a, b);
    return name ? name : differs_from(b, a);
}

err_t trainees_match(const char *const *names, size_t count, const struct trainee_digests *recorded,
                     const char *who)
{
    for (size_t i = 0; i < count; i++)
        if (!trainee_digests_find(recorded, names[i]))
            return err_new(ERR_PRECONDITION,
                           "%s has no trainee '%s', which this recipe and build train: choose "
                           "another --run directory",
                           who, names[i]);
    for (uint32_t i = 0; i < recorded->count; i++) {
        bool known = false;
        for (size_t j = 0; j < count; j++)
            known = known || strcmp(names[j], recorded->at[i].name) == 0;
        if (!known)
            return err_new(ERR_PRECONDITION,
                           "%s has the trainee '%s', which this recipe and build do not train: go "
                           "on with those that made it, or choose another --run directory",
                           who, recorded->at[i].name);
    }
    return OK;
}
