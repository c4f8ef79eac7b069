/* A round before its first stage, run up to any of them; its groups' columns as tests change
 * them. */
#pragma once
#include "learner/round/stages.h"
#include "testing/columns.h"
#include "unit/learner/round_kit.h"

/* A round before its first stage. */
struct staged {
    struct bench bench;
    struct objective objective;
    struct objective_config settings;
    struct step *step;
    struct running running;
    struct round_run run;
    struct round_report report;
    int made;
};

static inline void stage_objective(struct staged *s, const char *name)
{
    s->objective = *objective_find(name);
    s->settings = s->objective.row.defaults;
}

/* With the objective as it is by now. */
static inline void stage_ready(struct staged *s)
{
    const struct step_config config = {.objective = &s->objective,
                                       .settings = s->settings,
                                       .schedule = {.lr = 1e-3},
                                       .micro_tokens = 64,
                                       .longest = 32,
                                       .completions = K,
                                       .running = &s->running};
    assert_ok(step_new(trainees_first(&s->bench.trainees), &config, &s->step));
    s->run = (struct round_run){.round = &s->bench.round,
                                .groups = s->bench.group,
                                .recipe = s->bench.recipe,
                                .config = {.objective = &s->objective,
                                           .settings = &s->settings,
                                           .temperature = 0.8f,
                                           .model = s->bench.model},
                                .running = &s->running,
                                .step = s->step,
                                .done = count_update,
                                .arg = &s->made,
                                .report = &s->report};
}

static inline void stage_open(struct staged *s, const char *objective)
{
    *s = (struct staged){0};
    bench_open(&s->bench, "objective: rloo", NULL);
    stage_objective(s, objective);
    stage_ready(s);
}

static inline void stage_close(struct staged *s)
{
    round_run_done(&s->run);
    step_free(s->step);
    bench_close(&s->bench);
}

static inline const struct stage *find(const char *name)
{
    const struct stage *stage;
    for (size_t i = 0; (stage = stage_at(i)); i++)
        if (strcmp(stage->name, name) == 0)
            return stage;
    fail_msg("no stage '%s'", name);
    return NULL;
}

/* All that come before it, as far as they run. */
static inline void run_before(struct staged *s, const char *name)
{
    for (size_t i = 0; strcmp(stage_at(i)->name, name) != 0; i++)
        if (stage_runs(stage_at(i), &s->run))
            assert_ok(stage_at(i)->run(&s->run));
}

static inline err_t run_stage(struct staged *s, const char *name)
{
    assert_true(stage_runs(find(name), &s->run));
    return find(name)->run(&s->run);
}

static inline const struct completion *completion_of(const struct staged *s, size_t sequence)
{
    return &s->bench.group[sequence / K]->completion[sequence % K];
}

/* The group as a rewarder without a reference would have scored it. */
static inline void drop_all(struct group *group)
{
    double reward[K];
    memcpy(reward, group_values(group, COLUMN_REWARD, 0), sizeof reward);
    column_list_keep(&group->columns, ORIGIN_GENERATOR);
    group_add(group, COLUMN_SCORES, 1);
    memcpy(group_add(group, COLUMN_REWARD, 1), reward, sizeof reward);
}

static inline void drop_reference(struct staged *s, size_t sequence)
{
    struct group *group = s->bench.group[sequence / K];
    float *kept[K] = {0};
    uint32_t others[K], count = 0;
    for (uint32_t i = 0; i < K; i++) {
        const float *values = group_values(group, COLUMN_REFERENCE_LOGP, i);
        if (i != sequence % K && values) {
            kept[i] = mem_copy(values, group->completion[i].tokens * sizeof *values);
            others[count++] = i;
        }
    }
    if (count)
        group_add_some(group, COLUMN_REFERENCE_LOGP, others, count);
    else
        drop_all(group);
    for (uint32_t i = 0; i < K; i++)
        if (kept[i])
            memcpy(tokens_of(group, COLUMN_REFERENCE_LOGP, i), kept[i],
                   group->completion[i].tokens * sizeof *kept[i]);
    for (uint32_t i = 0; i < K; i++)
        mem_free(kept[i]);
}

/* Its values of a column, NULL: it has none; and its reward. */
static inline const float *values_of(const struct staged *s, enum column column, size_t sequence)
{
    return group_values(s->bench.group[sequence / K], column, (uint32_t)(sequence % K));
}

static inline double reward_of(const struct staged *s, size_t sequence)
{
    return group_value(s->bench.group[sequence / K], COLUMN_REWARD, (uint32_t)(sequence % K));
}

static inline void set_reward(struct staged *s, size_t group, size_t i, double reward)
{
    *(double *)group_values(s->bench.group[group], COLUMN_REWARD, (uint32_t)i) = reward;
}
