#include "learner/offline/dataset.h"
#include "base/mem.h"
#include "learner/offline/comparisons.h"
#include "learner/offline/rated.h"
#include <string.h>

struct taking {
    const struct dataset_rules *rules;
    struct dataset *to;
};

/* ---- a row as a group */

static bool fits(const struct dataset_rules *rules, const struct row_tokens *tokens)
{
    for (int i = 0; i < tokens->sequences; i++) {
        const struct row_sequence *s = &tokens->at[i];
        const int answer = s->tokens - s->prompt_tokens;
        if (!s->prompt_tokens || s->prompt_tokens > rules->prompt_tokens || answer < 1 ||
            answer > rules->tokens)
            return false;
    }
    return true;
}

static uint32_t *copy_ids(const int32_t *id, int count)
{
    uint32_t *ids = mem_array((size_t)count, sizeof *ids);
    for (int i = 0; i < count; i++)
        ids[i] = (uint32_t)id[i];
    return ids;
}

/* No weights drew it. */
static void put_completion(const struct row_sequence *s, struct completion *ret)
{
    *ret = (struct completion){.tokens = (uint32_t)(s->tokens - s->prompt_tokens),
                               .token =
                                   copy_ids(s->id + s->prompt_tokens, s->tokens - s->prompt_tokens),
                               .spans = 1,
                               .span = mem_new(sizeof(struct span)),
                               .finish = FINISH_EOS,
                               .text = mem_string("")};
    completion_one_turn(ret);
}

static struct group *group_of(const struct row_tokens *tokens, float temperature,
                              const double *reward)
{
    const struct row_sequence *first = &tokens->at[0];
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.prompt_tokens = (uint32_t)first->prompt_tokens,
                            .prompt_token = copy_ids(first->id, first->prompt_tokens),
                            .temperature = temperature,
                            .completions = (uint32_t)tokens->sequences};
    group->completion = mem_array(group->completions, sizeof *group->completion);
    for (uint32_t i = 0; i < group->completions; i++)
        put_completion(&tokens->at[i], &group->completion[i]);
    memcpy(group_add(group, COLUMN_REWARD, 1), reward, group->completions * sizeof *reward);
    return group;
}

/* By chosen and rejected, by the label, or by the scores. */
static err_t rewards_of(const struct row_tokens *tokens, const char *name, double ret[ROW_SIDES])
{
    const enum row_format format = tokens->kind.format;
    char text[ROW_KIND_TEXT];
    if (format != ROW_PREFERENCE && format != ROW_UNPAIRED && format != ROW_RANKED)
        return err_new(ERR_INVALID,
                       "%s: a %s row; allowed: preference (chosen, rejected), unpaired preference "
                       "(completion, label) and ranked completions (completions, scores)",
                       name, row_kind_text(&tokens->kind, text));
    memcpy(ret, tokens->score, sizeof tokens->score);
    if (format == ROW_UNPAIRED)
        ret[0] = tokens->label;
    if (format == ROW_PREFERENCE) {
        ret[0] = 1;
        ret[1] = 0;
    }
    return OK;
}

static void put_group(void *rows, struct group *group)
{
    struct dataset *to = rows;
    if (!(to->count & (to->count - 1))) // full: at a power of two
        to->group = mem_grow(to->group, to->count ? 2 * to->count : 1, sizeof *to->group);
    to->group[to->count++] = group;
    if (group->completions > to->completions)
        to->completions = group->completions;
}

static err_t take(void *arg, const json_t *row, const char *name, uint64_t *ret_made)
{
    const struct taking *taking = arg;
    const struct dataset_rules *rules = taking->rules;
    SCOPED_VALUE(row_tokens) tokens = {0};
    struct rating rating = {0};
    TRY(row_encode(rules->rows, row, name, &tokens));
    TRY(rules->rated ? rated_row(rules->rated, row, name, rules->rows->end, &tokens, &rating)
                     : rewards_of(&tokens, name, rating.reward));
    *ret_made = fits(rules, &tokens);
    if (!*ret_made)
        return OK;
    struct group *group = group_of(&tokens, rules->temperature, rating.reward);
    rating_put(&rating, group);
    put_group(taking->to, group);
    return OK;
}

/* ---- all of them */

err_t dataset_read(const struct recipe_files *files, const char *key,
                   const struct dataset_rules *rules, bool shuffle, uint64_t seed,
                   struct dataset *ret)
{
    SCOPED_VALUE(dataset) rows = {.plan = {.seed = seed}};
    struct taking taking = {rules, &rows};
    struct comparisons comparisons = {rules, put_group, &rows};
    const struct row_taker taker = rules->comparison
                                       ? (struct row_taker){comparisons_take, &comparisons}
                                       : (struct row_taker){take, &taking};
    TRY(err_wrap(row_files_read(files, taker, shuffle, &rows.plan, &rows.skipped), "%s", key));
    if (!rows.count)
        return err_new(ERR_INVALID,
                       "%s: %s: no row fits: a prompt of at most %d tokens "
                       "(data.max_prompt_tokens) and completions of at most %d "
                       "(generator.max_tokens), none empty",
                       key, files->at[0].path, rules->prompt_tokens, rules->tokens);
    *ret = rows;
    rows = (struct dataset){0};
    return OK;
}

static void put_tokens(struct hash *hash, const uint32_t *token, uint32_t count)
{
    hash_put(hash, &count, sizeof count);
    hash_put(hash, token, count * sizeof *token);
}

struct digest dataset_digest(const struct dataset *rows)
{
    struct hash *hash = hash_begin();
    for (uint64_t g = 0; g < rows->count; g++) {
        const struct group *group = rows->group[g];
        put_tokens(hash, group->prompt_token, group->prompt_tokens);
        for (uint32_t i = 0; i < group->completions; i++) {
            const double reward = group_value(group, COLUMN_REWARD, i);
            put_tokens(hash, group->completion[i].token, group->completion[i].tokens);
            hash_put(hash, &reward, sizeof reward);
            rating_hash(group, i, hash);
        }
    }
    return hash_end(hash);
}

void dataset_done(struct dataset *rows)
{
    for (uint64_t i = 0; i < rows->count; i++)
        group_free(rows->group[i]);
    mem_free(rows->group);
}
