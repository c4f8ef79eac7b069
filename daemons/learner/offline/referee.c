#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/offline/inner.h"
#include "svc/recipe/recipe_lora.h"
#include "svc/recipe/recipe_stage.h"
#include <errno.h>
#include <inttypes.h>

static char *reference_path(const struct offline *o, uint64_t chunk)
{
    SCOPED_MEM char *name = mem_printf("references/c%" PRIu64, chunk);
    return file_join(o->recipe.directory, name);
}

/* The policy as it stands, as a directory that can be opened: written aside and renamed. */
static err_t keep_policy(const struct offline *o, uint64_t chunk)
{
    SCOPED_MEM char *path = reference_path(o, chunk);
    SCOPED_MEM char *aside = file_join(o->recipe.directory, "references/writing");
    const struct checkpoint_tokenizer files = {o->start.origin, o->start.tokenizer};
    TRY(file_remove_tree(aside));
    TRY(model_save(model_trained(o->start.trainees.at[0].model), aside));
    TRY(checkpoint_copy_tokenizer(&files, aside));
    TRY(file_sync_directory(aside));
    TRY(file_remove_tree(path));
    if (env()->rename(aside, path))
        return err_errno(errno, "cannot rename '%s'", aside);
    return file_sync_parent(path);
}

/* A chunk is a training of its own: its moments, schedule and controllers begin anew. */
static err_t begin_anew(struct offline *o, const struct chunk *chunk)
{
    TRY(keep_policy(o, chunk->number));
    for (size_t i = 0; i < o->start.trainees.count; i++)
        TRY(optimizer_restart(o->start.trainees.at[i].optimizer));
    return OK;
}

/* Of the first chunk the learner may have the reference itself: then the round fills the column
 * (round/referring.h). */
static err_t open_frozen(struct offline *o, const struct chunk *chunk)
{
    static char own[] = "frozen";
    const char *given = o->recipe.rewarder.reference_path;
    frozen_free(STEAL(o->frozen));
    if (!o->refers || (!chunk->number && recipe_refers_itself(&o->recipe)))
        return OK;
    SCOPED_MEM char *path = chunk->number ? reference_path(o, chunk->number)
                                          : mem_string(*given ? given : o->recipe.model.path);
    if (chunk->number)
        o->recipe.rewarder.reference.kind = own;
    return err_wrap(frozen_open(&o->recipe, o->start.be, path, &o->frozen), "reference");
}

static err_t fill(struct offline *o, struct group *group, bool *referred)
{
    if (!o->frozen || *referred)
        return OK;
    *referred = true;
    return frozen_fill(o->frozen, group);
}

/* All that the chunk will need, so that the model can go. */
static err_t fill_all(struct offline *o, const struct chunk *chunk)
{
    uint64_t end = chunk->first;
    for (size_t f = 0; f < chunk->plan.files; f++)
        end += chunk->plan.part[f].rows;
    for (uint64_t i = chunk->first; i < end; i++)
        TRY(fill(o, o->rows.group[i], &o->referred[i]));
    TRY(referee_fill_held_out(o));
    if (!o->asks)
        frozen_free(STEAL(o->frozen));
    return OK;
}

/* Controllers and running values stand where the checkpoint has them, or at a chunk's beginning. */
static void go_on(struct offline *o, const struct chunk *chunk)
{
    static const struct running none;
    const struct checkpoint_info *at = &o->start.at;
    const bool within = at->round > chunk->first_round;
    updates_set_running(o->updates, within ? &at->running : &none);
    if (within && o->recipe.learner.kl.target > 0)
        updates_set_kl_coef(o->updates, at->kl_coef);
}

err_t referee_enter(struct offline *o, const struct chunk *chunk)
{
    if (chunk->number && o->start.at.round == chunk->first_round)
        TRY(begin_anew(o, chunk));
    o->chunk = chunk;
    TRY(open_frozen(o, chunk));
    for (uint64_t i = 0; i < o->rows.count; i++)
        o->referred[i] = false;
    for (uint64_t i = 0; i < o->held_out.count; i++)
        o->held_referred[i] = false;
    TRY(updates_configure(o->updates, &o->recipe));
    o->referee = (struct referee){frozen_logp, o->frozen};
    updates_set_referee(o->updates, o->frozen ? &o->referee : NULL);
    go_on(o, chunk);
    if (!o->recipe.train.precompute_ref_log_probs || !o->frozen)
        return OK;
    TRY(fill_all(o, chunk));
    updates_set_referee(o->updates, o->frozen ? &o->referee : NULL);
    return OK;
}

err_t referee_fill(struct offline *o, const uint64_t *row, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(fill(o, o->rows.group[row[i]], &o->referred[row[i]]));
    return OK;
}

err_t referee_fill_held_out(struct offline *o)
{
    for (uint64_t i = 0; i < o->held_out.count; i++)
        TRY(fill(o, o->held_out.group[i], &o->held_referred[i]));
    return OK;
}

err_t referee_tidy(const struct offline *o)
{
    SCOPED_VALUE(checkpoint_list) list = {0};
    struct checkpoint_info oldest;
    TRY(checkpoint_list(o->recipe.directory, &list));
    if (!list.count)
        return OK;
    SCOPED_MEM char *path = checkpoint_path(o->recipe.directory, list.version[list.count - 1]);
    err_t failed = checkpoint_manifest(path, &oldest);
    const bool damaged = err_failed(failed);
    err_free(failed);
    if (damaged || oldest.round >= o->chunks.rounds)
        return OK;
    const uint64_t needed = chunks_find(&o->chunks, oldest.round)->number;
    for (uint64_t c = 1; c < needed; c++) {
        SCOPED_MEM char *old = reference_path(o, c);
        TRY(file_remove_tree(old));
    }
    return OK;
}
