#include "rewarder/scorer.h"
#include "base/mem.h"
#include "svc/recipe/recipe_place.h"
#include <math.h>
#include <string.h>

/* One row adds a scorer; rlhfctl's help and the recipe's checks read this table. */
static const struct scorer_kind *const kinds[] = {
    &scorer_exact, &scorer_regex, &scorer_format, &scorer_length, &scorer_rouge,
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct scorer {
    const struct scorer_kind *kind;
    double weight;
    void *state;
};

struct scorers {
    size_t count;
    uint64_t overruns;
    struct scorer scorer[];
};

const struct scorer_kind *scorer_find(const char *name)
{
    for (size_t i = 0; name && i < KINDS; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

const struct scorer_kind *scorer_at(size_t i)
{
    return i < KINDS ? kinds[i] : NULL;
}

/* "exact, regex, ..." for messages. */
static void list_kinds(struct bytes *ret)
{
    for (size_t i = 0; i < KINDS; i++)
        bytes_printf(ret, "%s%s", i ? ", " : "", kinds[i]->name);
}

static bool has_text(const char *text)
{
    return text && *text;
}

static uint32_t keys_present(const struct scorer_config *config)
{
    return (has_text(config->column) ? SCORER_COLUMN : 0) |
           (has_text(config->pattern) ? SCORER_PATTERN : 0) |
           (config->min != 0 || config->max != 0 ? SCORER_RANGE : 0) |
           (config->strip ? SCORER_STRIP : 0) | (config->eos ? SCORER_EOS : 0) |
           (config->unit != LENGTH_TOKENS ? SCORER_UNIT : 0);
}

/* A switch that is off and the unit tokens are what an absent key means. */
static err_t check_keys(const struct scorer_kind *kind, const struct scorer_config *config)
{
    static const struct {
        uint32_t key;
        const char *name;
    } keys[] = {{SCORER_COLUMN, "column"}, {SCORER_PATTERN, "pattern"}, {SCORER_RANGE, "min, max"},
                {SCORER_STRIP, "strip"},   {SCORER_EOS, "eos"},         {SCORER_UNIT, "unit"}};

    const uint32_t present = keys_present(config);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if ((kind->required & ~present) & keys[i].key)
            return err_new(ERR_INVALID, "kind '%s' needs %s", kind->name, keys[i].name);
        if ((present & ~kind->keys) & keys[i].key)
            return err_new(ERR_INVALID, "kind '%s' does not read %s", kind->name, keys[i].name);
    }
    if (!isfinite(config->weight))
        return err_new(ERR_INVALID, "weight: is %g; a finite number is needed", config->weight);
    return OK;
}

static err_t prepare(const struct scorer_config *config, struct scorer *ret)
{
    const struct scorer_kind *kind = scorer_find(config->kind);
    if (!kind) {
        SCOPED_VALUE(bytes) names = {0};
        list_kinds(&names);
        return err_new(ERR_INVALID, "kind: is '%s'; allowed: %s", config->kind ? config->kind : "",
                       (const char *)names.data);
    }
    TRY(check_keys(kind, config));
    void *state = NULL;
    TRY(err_wrap(kind->prepare(config, &state), "kind '%s'", kind->name));
    *ret = (struct scorer){.kind = kind, .weight = config->weight, .state = state};
    return OK;
}

/* Room for so many. */
static err_t scorers_empty(size_t count, struct scorers **ret)
{
    if (count == 0 || count > SCORERS_MAX)
        return err_new(ERR_INVALID, "has %zu entries; 1 to %d are allowed", count, SCORERS_MAX);
    *ret = mem_new(sizeof(struct scorers) + count * sizeof(struct scorer));
    return OK;
}

static err_t scorers_add(struct scorers *scorers, const struct scorer_config *config)
{
    TRY(prepare(config, &scorers->scorer[scorers->count]));
    scorers->count++;
    return OK;
}

err_t scorers_new(const struct scorer_config *config, size_t count, struct scorers **ret)
{
    SCOPED(scorers) scorers = NULL;
    TRY(err_wrap(scorers_empty(count, &scorers), "rewarder.scorers"));
    for (size_t i = 0; i < count; i++)
        TRY(err_wrap(scorers_add(scorers, &config[i]), "rewarder.scorers[%zu]", i));
    *ret = STEAL(scorers);
    return OK;
}

static struct scorer_config config_of(const struct recipe_scorer *from)
{
    return (struct scorer_config){
        .kind = from->kind,
        .column = from->column,
        .weight = from->weight,
        .pattern = from->pattern,
        .strip = from->strip,
        .eos = from->eos,
        .unit = from->unit == RECIPE_CHARACTERS ? LENGTH_CHARACTERS : LENGTH_TOKENS,
        .min = from->min,
        .max = from->max,
    };
}

err_t scorers_from_recipe(const struct recipe *recipe, struct scorers **ret)
{
    const struct recipe_scorers *list = &recipe->rewarder.scorers;
    SCOPED(scorers) scorers = NULL;
    TRY(recipe_place(recipe, "rewarder.scorers", scorers_empty(list->count, &scorers)));
    for (size_t i = 0; i < list->count; i++) {
        char key[64];
        const struct scorer_config config = config_of(&list->at[i]);
        snprintf(key, sizeof key, "rewarder.scorers[%zu]", i);
        TRY(recipe_place(recipe, key, scorers_add(scorers, &config)));
    }
    *ret = STEAL(scorers);
    return OK;
}

size_t scorers_count(const struct scorers *scorers)
{
    return scorers->count;
}

err_t scorers_sample(struct scorers *scorers, const struct scorer_sample *sample, double *ret_score,
                     double *ret_reward)
{
    double score[SCORERS_MAX], reward = 0;
    for (size_t i = 0; i < scorers->count; i++) {
        struct scorer *scorer = &scorers->scorer[i];
        struct scorer_result result = {0};
        TRY(err_wrap(scorer->kind->score(scorer->state, sample, &result),
                     "rewarder.scorers[%zu]: kind '%s'", i, scorer->kind->name));
        scorers->overruns += result.overrun;
        score[i] = result.score;
        reward += scorer->weight * result.score;
    }
    memcpy(ret_score, score, scorers->count * sizeof *score);
    *ret_reward = reward;
    return OK;
}

/* Scores of every completion in one array, (completions, count), and the rewards behind them. */
static err_t score_all(struct scorers *scorers, const struct group *group, const json_t *row,
                       double *ret)
{
    double *reward = ret + (size_t)group->completions * scorers->count;
    for (uint32_t i = 0; i < group->completions; i++) {
        const struct completion *completion = &group->completion[i];
        const struct scorer_sample sample = {.row = row,
                                             .text = completion->text,
                                             .text_len = completion->text_len,
                                             .finish = completion->finish,
                                             .tokens = completion->tokens};
        TRY(err_wrap(scorers_sample(scorers, &sample, ret + i * scorers->count, &reward[i]),
                     "completion %u", i));
    }
    return OK;
}

err_t scorers_group(struct scorers *scorers, struct group *group)
{
    SCOPED_JSON json_t *row = NULL;
    TRY(json_parse(group->row, strlen(group->row), "row", &row));
    if (!json_is_object(row))
        return err_new(ERR_INVALID, "row: is no JSON object");
    const size_t count = scorers->count;
    SCOPED_MEM double *score = mem_array(group->completions, (count + 1) * sizeof *score);
    TRY(score_all(scorers, group, row, score));
    const size_t scores = group->completions * count;
    if (count)
        memcpy(group_add(group, COLUMN_SCORES, count), score, scores * sizeof *score);
    memcpy(group_add(group, COLUMN_REWARD, 1), score + scores, group->completions * sizeof *score);
    return OK;
}

uint64_t scorers_overruns(const struct scorers *scorers)
{
    return scorers->overruns;
}

void scorers_free(struct scorers *scorers)
{
    if (!scorers)
        return;
    for (size_t i = 0; i < scorers->count; i++)
        scorers->scorer[i].kind->free(scorers->scorer[i].state);
    free(scorers);
}
