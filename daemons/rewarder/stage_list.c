#include "rewarder/stage_list.h"
#include "base/mem.h"
#include "rewarder/http/http_scorer.h"
#include "rewarder/judge/judge.h"
#include "rewarder/program/program_scorer.h"
#include "rewarder/reference.h"
#include "rewarder/scorer.h"
#include "rewarder/verify/verify.h"
#include "svc/recipe/recipe_place.h"
#include "svc/recipe/suggest.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row adds a stage. */
static const struct stage_class *const known[] = {
    &scorer_exact,  &scorer_regex,        &scorer_format,           &scorer_length,
    &scorer_rouge,  &scorer_reward_model, &scorer_preference_model, &scorer_http,
    &scorer_verify, &scorer_judge,        &scorer_program,          &reference_frozen,
    NULL,
};

static const struct recipe_option limits[] = {
    STAGE_KEY(
        struct stage_limits, count, deadline_ms, "60000",
        "for one group, all attempts together; then the group leaves the ring with this reason",
        .min = 1, .max = 86400000),
    STAGE_KEY(struct stage_limits, count, attempts, "3",
              "at one group, with pauses that double, where a failure may pass", .min = 1,
              .max = 100),
    STAGE_KEY(struct stage_limits, count, breaker, "5",
              "failures in a row after which the stage counts as dead, and groups wait for it; 1 "
              "counts as 2; 0: never, as by default where no other process scores",
              .max = 1000000),
    STAGE_KEY(struct stage_limits, flag, gate, "false",
              "its score is no part of the reward, but lets a completion pass from `success` on"),
    STAGE_KEY(
        struct stage_limits, number, gated, "0",
        "reward of a completion that this gate does not let pass; of several the first counts",
        .min = -1e6, .max = 1e6),
};
static const struct option_rows limit_rows = {limits, sizeof limits / sizeof *limits};

static struct option_rows rows_of(const struct stage_class *class)
{
    return (struct option_rows){class->keys, class->keys_count};
}

/* The stage that is being opened. */
struct opening {
    const struct stage_list_options *options;
    const struct stage_class *const *classes;
    struct stage *stage;
    struct stage_list *stages;
};

/* ---- an entry's keys */

/* INVALID: "WRONG, did you mean 'x'?; allowed: x, y". Takes wrong. */
static err_t not_among(char *wrong, const char *word, const char *const *names, size_t count)
{
    SCOPED_MEM char *text = wrong;
    SCOPED_VALUE(bytes) all = {0};
    for (size_t i = 0; i < count; i++)
        bytes_printf(&all, "%s%s", i ? ", " : "", names[i]);
    const char *meant = suggest(word, names, count);
    return err_new(ERR_INVALID, "%s%s%s%s; allowed: %s", text, meant ? ", did you mean '" : "",
                   meant ? meant : "", meant ? "'?" : "", (const char *)all.data);
}

static err_t find_class(const struct opening *o, const char *under, const char *kind,
                        const struct stage_class **ret)
{
    const char *names[64];
    size_t count = 0;
    for (size_t i = 0; o->classes[i] && count < 64; i++) {
        if (strcmp(o->classes[i]->under, under) != 0)
            continue;
        names[count++] = o->classes[i]->name;
        if (strcmp(o->classes[i]->name, kind) == 0) {
            *ret = o->classes[i];
            return OK;
        }
    }
    return not_among(mem_printf("'%.100s' is not known", kind), kind, names, count);
}

/* Whether value is what the row has by default: written or not, it says the same. */
static bool says_nothing(const struct recipe_option *row, const struct yaml_tree *value)
{
    double number, other;
    char end;
    if (value->kind != YAML_SCALAR)
        return false;
    if (strcmp(value->text, row->value) == 0)
        return true;
    return sscanf(value->text, "%lf%c", &number, &end) == 1 &&
           sscanf(row->value, "%lf%c", &other, &end) == 1 && number == other;
}

/* A key that another kind has, with the value that it has anyway, is let pass: runs begun by older
 * builds have every key of every kind in their recipe. */
static err_t unknown_key(const struct opening *o, const char *key, const struct yaml_tree *value)
{
    const struct stage_class *class = o->stage->class;
    const struct option_rows own = rows_of(class);
    for (size_t i = 0; o->classes[i]; i++) {
        const struct recipe_option *row = option_find(rows_of(o->classes[i]), key);
        if (row && says_nothing(row, value))
            return OK;
    }
    const char *names[32];
    size_t count = 0;
    for (size_t i = 0; i < own.count && count < 30; i++)
        names[count++] = own.row[i].key;
    for (size_t i = 0; i < limit_rows.count; i++)
        names[count++] = limit_rows.row[i].key;
    return not_among(mem_printf("kind '%s' does not read %.100s", class->name, key), key, names,
                     count);
}

static err_t read_key(const struct opening *o, const char *key, const struct yaml_tree *value)
{
    struct stage *stage = o->stage;
    const struct recipe_option *row = option_find(rows_of(stage->class), key);
    if (row)
        return option_set(row, stage->keys, value);
    row = option_find(limit_rows, key);
    return row ? option_set(row, &stage->limits, value) : unknown_key(o, key, value);
}

static bool is_read_elsewhere(const struct stage *stage, const char *key)
{
    return strcmp(key, "kind") == 0 || (strcmp(stage->class->under, "rewarder.scorers") == 0 &&
                                        option_find(option_scorer(), key) != NULL);
}

static err_t read_entry(const struct opening *o, const struct yaml_tree *entry)
{
    const struct recipe *recipe = o->options->recipe;
    struct stage *stage = o->stage;
    const struct option_rows rows = rows_of(stage->class);
    for (size_t i = 0; i < rows.count; i++)
        option_set_default(&rows.row[i], stage->keys);
    for (size_t i = 0; i < limit_rows.count; i++)
        option_set_default(&limit_rows.row[i], &stage->limits);
    if (stage->class->deadline_ms)
        stage->limits.deadline_ms = stage->class->deadline_ms;
    if (!stage->class->outside) // a missed deadline is the group's fault then
        stage->limits.breaker = 0;
    for (size_t i = 0; entry && i < entry->count; i++) {
        SCOPED_MEM char *key = mem_printf("%s.%.100s", stage->key, entry->key[i]);
        if (!is_read_elsewhere(stage, entry->key[i]))
            TRY(recipe_place(recipe, key, read_key(o, entry->key[i], entry->at[i])));
    }
    for (size_t i = 0; i < rows.count; i++)
        if (rows.row[i].required && (!entry || !yaml_tree_member(entry, rows.row[i].key)))
            return recipe_place(recipe, stage->key,
                                err_new(ERR_INVALID, "kind '%s' needs %s: %s", stage->class->name,
                                        rows.row[i].key, rows.row[i].help));
    return OK;
}

/* ---- opening */

/* In place of the start of a stage that asks others, or a model. */
static void score_nothing(void *state, struct stage_call *call)
{
    (void)state;
    group_add(call->added, COLUMN_SCORES, 1);
    call->done(call, OK);
}

/* Where the stages of this one's class keep what they share. */
static void **shared_of(const struct opening *o)
{
    size_t first = 0;
    while (o->stages->at[first].class != o->stage->class)
        first++;
    return &o->stages->shared[first];
}

static err_t open_stage(const struct opening *o, const char *under, const char *kind,
                        const struct yaml_tree *entry, bool run)
{
    struct stage *stage = o->stage;
    const struct recipe *recipe = o->options->recipe;
    SCOPED_MEM char *kind_key = mem_printf("%s.kind", stage->key);
    TRY(recipe_place(recipe, kind_key, find_class(o, under, kind, &stage->class)));
    const bool dear = stage->class->outside || stage->class->forwards;
    stage->start = o->options->check && dear ? score_nothing : stage->class->start;
    stage->keys = mem_new(stage->class->keys_size);
    stage->needs = stage->class->needs ? stage->class->needs(recipe) : 0;
    TRY(read_entry(o, entry));
    if (!run)
        return OK;
    const struct stage_context context = {recipe, stage->key, stage->keys, o->options->loop,
                                          shared_of(o)};
    stage->state = stage->keys;
    if (!stage->class->open)
        return OK;
    stage->state = NULL;
    return recipe_place(
        recipe, stage->key,
        err_wrap(stage->class->open(&context, &stage->state), "kind '%s'", stage->class->name));
}

/* Whatever a stage needs is filled by one before it. Scores and reward are there once all scorers
 * are done, so no scorer can need them. */
static err_t check_needs(const struct stage_list *stages, size_t at)
{
    uint64_t filled = 0;
    for (size_t i = 0; i < at; i++)
        filled |= stages->at[i].class->fills;
    if (at < stages->scorers)
        filled &= ~STAGE_SCORES;
    for (unsigned id = 0; id < COLUMNS; id++)
        if (stages->at[at].needs & ~filled & COLUMN_BIT(id))
            return err_new(ERR_INVALID, "%s: kind '%s' needs %s, which no stage before it fills",
                           stages->at[at].key, stages->at[at].class->name, column_name(id));
    return OK;
}

static err_t open_scorers(struct opening *o, struct stage_list *stages)
{
    const struct recipe_scorers *list = &o->options->recipe->rewarder.scorers;
    size_t gates = 0;
    if (!list->count)
        return recipe_place(
            o->options->recipe, "rewarder.scorers",
            err_new(ERR_INVALID, "has 0 entries; 1 to %d are allowed", RECIPE_SCORERS));
    for (size_t i = 0; i < list->count; i++) {
        o->stage = &stages->at[stages->count++];
        o->stage->key = mem_printf("rewarder.scorers[%zu]", i);
        TRY(open_stage(o, "rewarder.scorers", list->at[i].kind, list->at[i].entry, true));
        assert(o->stage->class->fills == STAGE_SCORES); // the pipeline joins no other column
        stages->scorers++;
        TRY(check_needs(stages, i));
        o->stage->weight = list->at[i].weight;
        o->stage->success = list->at[i].success;
        gates += o->stage->limits.gate;
    }
    if (gates == list->count)
        return recipe_place(
            o->options->recipe, "rewarder.scorers",
            err_new(ERR_INVALID, "all %zu are gates; one or more scores must be a reward", gates));
    return OK;
}

static err_t open_reference(struct opening *o, struct stage_list *stages)
{
    const struct recipe_stage *reference = &o->options->recipe->rewarder.reference;
    const bool run = !o->options->scorers_only;
    if (!recipe_has_reference(o->options->recipe))
        return OK;
    o->stage = &stages->at[stages->count++];
    o->stage->key = mem_string("rewarder.reference");
    TRY(open_stage(o, o->stage->key, reference->kind, reference->entry, run));
    TRY(check_needs(stages, stages->count - 1));
    return OK;
}

static void close_stage(struct stage *stage)
{
    if (stage->state && stage->class && stage->class->close)
        stage->class->close(stage->state);
    stage->state = NULL;
}

static void stage_done(struct stage *stage)
{
    const struct option_rows rows = stage->class ? rows_of(stage->class) : (struct option_rows){0};
    close_stage(stage);
    for (size_t i = 0; i < rows.count; i++)
        option_free(&rows.row[i], stage->keys);
    mem_free(stage->keys);
    mem_free(stage->key);
    *stage = (struct stage){0};
}

err_t stage_list_open(const struct stage_list_options *options, struct stage_list **ret)
{
    SCOPED(stage_list) stages = mem_new(sizeof *stages);
    struct opening opening = {options, options->classes ? options->classes : known, NULL, stages};
    stages->recipe = options->recipe;
    TRY(open_scorers(&opening, stages));
    TRY(open_reference(&opening, stages));
    if (stages->count > stages->scorers && options->scorers_only)
        stage_done(&stages->at[--stages->count]); // its keys have been read
    *ret = STEAL(stages);
    return OK;
}

char *stage_list_forward_id(const struct stage_list *stages)
{
    for (size_t i = 0; i < stages->count; i++)
        if (stages->at[i].class->forward_id)
            return stages->at[i].class->forward_id(stages->at[i].state);
    return NULL;
}

int stage_list_descriptors(const struct recipe *recipe)
{
    int all = 0;
    for (size_t i = 0; i < recipe->rewarder.scorers.count; i++) {
        const struct recipe_scorer *scorer = &recipe->rewarder.scorers.at[i];
        const struct stage_class *const *class = known;
        while (*class && strcmp((*class)->name, scorer->kind) != 0)
            class ++;
        const struct recipe_option *row =
            *class ? option_find(rows_of(*class), "concurrency") : NULL;
        const struct yaml_tree *value =
            row && scorer->entry ? yaml_tree_member(scorer->entry, row->key) : NULL;
        const char *text = value && value->kind == YAML_SCALAR ? value->text : NULL;
        const long count = row ? strtol(text ? text : row->value, NULL, 10) : 0;
        all += count > 0 && count <= row->max ? (int)count : 0;
    }
    return all;
}

void stage_list_stop(struct stage_list *stages)
{
    for (size_t i = 0; i < stages->count; i++)
        if (stages->at[i].state && stages->at[i].class->stop)
            stages->at[i].class->stop(stages->at[i].state);
}

void stage_list_free(struct stage_list *stages)
{
    if (!stages)
        return;
    for (size_t i = 0; i < stages->count; i++)
        stage_done(&stages->at[i]);
    mem_free(stages);
}

/* ---- documentation */

static void document_rows(struct option_rows rows, struct bytes *ret)
{
    if (rows.count)
        bytes_text(ret,
                   "\n| key | default | type | allowed | what it is |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < rows.count; i++)
        markdown_option(ret, &rows.row[i], rows.row[i].key, NULL);
}

void stage_list_document(struct bytes *ret)
{
    bytes_text(ret,
               "\n## Stages of the rewarder\n\n"
               "A group passes the stages under `rewarder.scorers` and `rewarder.reference` in the "
               "recipe's order, or side by side where\nneither needs what the other fills. Each "
               "has its keys in its own table, and these:\n");
    document_rows(limit_rows, ret);
    for (size_t i = 0; known[i]; i++) {
        bytes_printf(ret, "\n### `%s`, under `%s`\n\n%s\n", known[i]->name, known[i]->under,
                     known[i]->help);
        if (known[i]->deadline_ms)
            bytes_printf(ret, "Its `deadline_ms` is `%lld` by default.\n",
                         (long long)known[i]->deadline_ms);
        document_rows(rows_of(known[i]), ret);
    }
}
