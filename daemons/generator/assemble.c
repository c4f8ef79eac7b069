#include "generator/assemble.h"
#include "base/mem.h"
#include "model/numerics.h"
#include <string.h>

/* Of a completion's tokens; sampled NULL: as logp. */
struct stamp {
    float *logp, *sampled;
};

err_t assembly_stops(const struct recipe *recipe, const struct model_config *config,
                     const struct tokenizer *tokenizer, struct stops **ret)
{
    const struct stop_names names = {.text = recipe->generator.stop.at,
                                     .texts = recipe->generator.stop.count,
                                     .token = recipe->generator.stop_tokens.at,
                                     .tokens = recipe->generator.stop_tokens.count};
    return err_wrap(stops_new(tokenizer, config, &names, ret), "%s: generator.stop_tokens",
                    recipe->file);
}

struct assembly *assembly_new(struct lease_grant *grant, const char *run, const char *generator,
                              const struct model *model, uint32_t completions, float temperature)
{
    struct assembly *a = mem_new(sizeof *a);
    struct group *g = a->group = mem_new(sizeof *g);
    *g = (struct group){.id = grant->id,
                        .run = mem_string(run),
                        .lineage = grant->lineage,
                        .slot = grant->slot,
                        .attempt = grant->attempt,
                        .prompt = grant->prompt,
                        .epoch = grant->epoch,
                        .start_round = grant->start_round,
                        .row = grant->row,
                        .temperature = temperature,
                        .completions = completions,
                        .generator = mem_string(generator),
                        .forward = model_forward_id(model),
                        .evaluation = grant->evaluation};
    g->completion = mem_array(completions, sizeof *g->completion);
    a->stamp = mem_array(completions, sizeof *a->stamp);
    a->missing = completions;
    mem_free(grant); // its row is the group's now
    return a;
}

void assembly_set_prompt(struct assembly *a, const int32_t *ids, int count)
{
    a->group->prompt_tokens = (uint32_t)count;
    a->group->prompt_token = mem_copy(ids, (size_t)count * sizeof *ids);
}

err_t assembly_add(struct assembly *a, const struct engine_completion *c, const struct stops *stops)
{
    struct completion *to = &a->group->completion[c->completion];
    SCOPED_VALUE(bytes) text = {0};
    TRY(stops_text(stops, c, &text));
    size_t n = (size_t)c->tokens;
    *to = (struct completion){.tokens = (uint32_t)n,
                              .token = mem_copy(c->token, n * sizeof *c->token),
                              .spans = (uint32_t)c->spans,
                              .finish = (enum finish)c->finish,
                              .text_len = (uint32_t)text.len};
    to->text = mem_array(text.len + 1, 1);
    if (text.len)
        memcpy(to->text, text.data, text.len);
    to->span = mem_array((size_t)c->spans, sizeof *to->span);
    for (int i = 0; i < c->spans; i++)
        to->span[i] = (struct span){c->span[i].first_token, c->span[i].version};
    completion_one_turn(to);
    a->stamp[c->completion].logp = mem_copy(c->logp, n * sizeof *c->logp);
    if (c->sampled_logp)
        a->stamp[c->completion].sampled = mem_copy(c->sampled_logp, n * sizeof *c->sampled_logp);
    a->missing--;
    return OK;
}

static void free_stamps(struct assembly *a)
{
    for (uint32_t i = 0; i < a->group->completions; i++) {
        mem_free(a->stamp[i].logp);
        mem_free(a->stamp[i].sampled);
    }
    mem_free(a->stamp);
}

/* All completions are decoded with one setting, so all are truncated or none is. */
struct group *assembly_finish(struct assembly *a)
{
    struct group *group = a->group;
    float *logp = group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    float *sampled = a->stamp[0].sampled ? group_add(group, COLUMN_SAMPLED_LOGP, 1) : NULL;
    for (uint32_t i = 0; i < group->completions; i++) {
        const uint32_t tokens = group->completion[i].tokens;
        memcpy(logp, a->stamp[i].logp, tokens * sizeof *logp);
        logp += tokens;
        if (!sampled)
            continue;
        memcpy(sampled, a->stamp[i].sampled, tokens * sizeof *sampled);
        sampled += tokens;
    }
    free_stamps(a);
    mem_free(a);
    return group;
}

void assembly_free(struct assembly *a)
{
    if (!a)
        return;
    free_stamps(a);
    group_free(a->group);
    mem_free(a);
}

void assembly_append(struct assembly **list, struct assembly *a)
{
    while (*list)
        list = &(*list)->next;
    a->next = NULL;
    *list = a;
}

struct assembly *assembly_find(struct assembly *list, uint64_t tag)
{
    while (list && list->tag != tag)
        list = list->next;
    return list;
}

struct assembly *assembly_find_id(struct assembly *list, const struct digest *id)
{
    while (list && !digest_equal(&list->group->id, id))
        list = list->next;
    return list;
}

struct assembly *assembly_take(struct assembly **list, uint64_t tag)
{
    while ((*list)->tag != tag)
        list = &(*list)->next;
    struct assembly *a = *list;
    *list = a->next;
    a->next = NULL;
    return a;
}
