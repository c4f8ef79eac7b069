/* A critic trained on what older weights drew, for a policy that does not move: the learner's own
 * rounds (round/updates.h) on groups of another model.
 *
 *     build/tests/bench_lagged_critic RECIPE --run DIR --behaviour DIR --target DIR --out DIR
 *         --rounds N [--uncorrected] [--set KEY=VALUE]...
 *
 * The behaviour's model draws; the target's is the policy, which a warm-up of all rounds keeps as
 * it is. The critic begins as the recipe says and is written to OUT/critic. The reward is 1 for the
 * row's answer. --uncorrected: tokens carry the target's own log-probabilities, so that the learner
 * sees none that others drew. One JSON object has the mean reward, and the explained variance of
 * the targets in the last quarter of the rounds. Of all tokens' weights it has the effective share
 * of samples (ess), and the share above rho_bar. */
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "learner/round/updates.h"
#include "learner/settings.h"
#include "learner/train/load.h"
#include "model/engine/decoder.h"
#include "model/likelihood.h"
#include "svc/recipe/recipe_cli.h"
#include "wire/rollout.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lagged {
    struct recipe *recipe;
    const char *behaviour, *target, *out, *rounds;
    bool uncorrected;
    struct jsonl *rows;
    struct decoder *decoder;
    struct backend *be;
    struct trainees trainees;
    struct likelihood *likelihood; // of the target
    struct updates *updates;
    struct group **group; // (learner.groups) of the round under way
    struct round_group *place;
    uint64_t drawn; // rows so far
    /* Of all tokens: the target's probability over the behaviour's. */
    struct weights {
        double count, sum, squares, above;
    } weights;
};

/* ---- groups */

/* The row of a request: its answer decides the reward. */
struct asked {
    json_t *row;
    size_t place; // in the round
};

static err_t admit(struct lagged *l, size_t place)
{
    SCOPED_VALUE(bytes) text = {0};
    struct asked *asked = mem_new(sizeof *asked);
    const uint64_t row = l->drawn % jsonl_rows(l->rows);
    TRY(jsonl_row(l->rows, row, &text));
    TRY(json_parse((const char *)text.data, text.len, "row", &asked->row));
    asked->place = place;
    const struct decoder_request request = {.arg = asked,
                                            .row = asked->row,
                                            .name = "row",
                                            .prompt = row,
                                            .epoch = (uint32_t)(l->drawn++ / jsonl_rows(l->rows)),
                                            .completions =
                                                (int)l->recipe->generator.num_generations};
    return decoder_admit(l->decoder, &request);
}

static void fill_completion(struct group *group, uint32_t i, struct decoded_completion *from,
                            const char *answer)
{
    struct completion *to = &group->completion[i];
    *to = (struct completion){.tokens = (uint32_t)from->tokens,
                              .token = (uint32_t *)STEAL(from->token),
                              .spans = 1,
                              .span = mem_array(1, sizeof(struct span)),
                              .finish = (enum finish)from->finish,
                              .text = STEAL(from->text),
                              .text_len = (uint32_t)from->text_len};
    completion_one_turn(to);
    double *reward = (double *)group_values(group, COLUMN_REWARD, i);
    *reward = strcmp(to->text, answer) == 0;
}

static struct group *group_of(struct lagged *l, struct decoded *decoded)
{
    struct asked *asked = decoded->arg;
    const char *answer =
        json_string_value(json_object_get(asked->row, l->recipe->data.completion_column));
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.prompt_tokens = (uint32_t)decoded->prompt_tokens,
                            .prompt_token = (uint32_t *)STEAL(decoded->prompt_token),
                            .temperature = (float)l->recipe->generator.temperature,
                            .completions = (uint32_t)decoded->completions,
                            .completion =
                                mem_array((size_t)decoded->completions, sizeof(struct completion))};
    for (int i = 0; i < decoded->completions; i++)
        group->completion[i].tokens = (uint32_t)decoded->completion[i].tokens;
    group_add(group, COLUMN_REWARD, 1);
    float *logp = group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    for (int i = 0; i < decoded->completions; i++) {
        const size_t tokens = (size_t)decoded->completion[i].tokens;
        memcpy(logp, decoded->completion[i].logp, tokens * sizeof *logp);
        logp += tokens;
        fill_completion(group, (uint32_t)i, &decoded->completion[i], answer ? answer : "");
    }
    return group;
}

static err_t draw_round(struct lagged *l)
{
    const size_t groups = (size_t)l->recipe->learner.groups;
    const int completions = (int)l->recipe->generator.num_generations;
    for (size_t next = 0; next < groups || decoder_busy(l->decoder);) {
        while (next < groups && decoder_has_room(l->decoder, completions))
            TRY(admit(l, next++));
        TRY(decoder_step(l->decoder));
        for (struct decoded *d; (d = decoder_take(l->decoder)); decoded_free(d)) {
            struct asked *asked = d->arg;
            l->group[asked->place] = group_of(l, d);
            json_decref(asked->row);
            mem_free(asked);
        }
    }
    return OK;
}

/* How much likelier the target draws the tokens, and, if asked, the stamps as if it had. */
static err_t weigh(struct lagged *l, const struct group *group)
{
    float *stamped = (float *)group_values(group, COLUMN_BEHAVIOUR_LOGP, 0);
    const size_t tokens = (size_t)group_tokens(group);
    SCOPED_MEM float *logp = mem_array(tokens, sizeof *logp);
    SCOPED_MEM struct sequence *sequence = mem_array(group->completions, sizeof *sequence);
    for (uint32_t i = 0; i < group->completions; i++)
        sequence[i] = (struct sequence){.prompt = group->prompt_token,
                                        .token = group->completion[i].token,
                                        .prompt_tokens = (int)group->prompt_tokens,
                                        .tokens = (int)group->completion[i].tokens,
                                        .context = (int)group->prompt_tokens};
    TRY(likelihood_run(l->likelihood, sequence, group->completions, 1.0f / group->temperature,
                       logp));
    for (size_t t = 0; t < tokens; t++) {
        const double w = exp((double)logp[t] - (double)stamped[t]);
        l->weights.count++;
        l->weights.sum += w;
        l->weights.squares += w * w;
        l->weights.above += w > l->recipe->learner.ppo.rho_bar;
    }
    if (l->uncorrected)
        memcpy(stamped, logp, tokens * sizeof *stamped);
    return OK;
}

/* ---- rounds */

static err_t nothing(void *arg, uint32_t u)
{
    (void)arg;
    (void)u;
    return OK;
}

static err_t run_round(struct lagged *l, uint64_t r, uint64_t rounds, struct round_report *ret)
{
    const size_t groups = (size_t)l->recipe->learner.groups;
    const struct round round = {.round = r,
                                .updates = (uint32_t)l->recipe->learner.updates_per_round,
                                .first_version = r + 1, // no token's span: none counts as its own
                                .seed = 1,
                                .groups = groups,
                                .group = l->place,
                                .run_rounds = rounds};
    TRY(draw_round(l));
    for (size_t g = 0; g < groups; g++)
        TRY(weigh(l, l->group[g]));
    for (size_t g = 0; g < groups; g++)
        l->place[g].age = r;
    err_t failed = updates_run(l->updates, &round, l->group, nothing, NULL, ret);
    for (size_t g = 0; g < groups; g++)
        group_free(STEAL(l->group[g]));
    return failed;
}

static void print(const struct lagged *l, long rounds, double reward, double explained)
{
    const struct weights *w = &l->weights;
    printf("{\"rounds\": %ld, \"corrected\": %s, \"reward\": %.4f, \"explained_variance\": %.4f, "
           "\"ess\": %.4f, \"above_rho_bar\": %.4f}\n",
           rounds, l->uncorrected ? "false" : "true", reward, explained,
           w->sum * w->sum / (w->count * w->squares), w->above / w->count);
}

static err_t run_all(struct lagged *l, long rounds)
{
    double reward = 0, explained = 0;
    for (long r = 0; r < rounds; r++) {
        struct round_report report = {0};
        TRY(run_round(l, (uint64_t)r, (uint64_t)rounds, &report));
        reward += report.reward_mean / (double)rounds;
        if (r >= rounds - rounds / 4)
            explained += report.figures.at[FIGURE_explained_variance] / (double)(rounds / 4);
    }
    print(l, rounds, reward, explained);
    return OK;
}

static err_t open_all(struct lagged *l)
{
    const size_t groups = (size_t)l->recipe->learner.groups;
    struct decoder_options options = decoder_options_of(l->recipe);
    options.directory = l->behaviour;
    l->group = mem_array(groups, sizeof(struct group *));
    l->place = mem_array(groups, sizeof *l->place);
    TRY(jsonl_open(l->recipe->data.train.at[0].path, &l->rows));
    TRY(decoder_open(&options, &l->decoder));
    TRY(backend_open(NULL, &(struct backend_config){.threads = 1}, &l->be));
    TRY(load_trainees(l->recipe, l->be, l->target, NULL, &l->trainees));
    struct model *policy = trainees_first(&l->trainees)->model;
    TRY(likelihood_new(policy, (int)l->recipe->learner.micro_tokens, policy->config.max_positions,
                       &l->likelihood));
    return updates_new(l->recipe, &l->trainees, &l->updates);
}

static err_t save(const struct lagged *l)
{
    SCOPED_MEM char *critic = file_join(l->out, "critic");
    TRY(file_make_directories(l->out));
    return model_save(trainees_find((struct trainees *)&l->trainees, TRAINEE_CRITIC)->model,
                      critic);
}

static err_t run(int argc, char **argv)
{
    static struct lagged l;
    struct recipe_flag flags[] = {
        {"behaviour", "DIR", "the model that draws", .text = &l.behaviour},
        {"target", "DIR", "the policy", .text = &l.target},
        {"out", "DIR", "where the critic goes", .text = &l.out},
        {"rounds", "N", "how many", .text = &l.rounds},
        {"uncorrected", NULL, "as if the policy had drawn all", .flag = &l.uncorrected}};
    struct recipe_cli cli = {.program = "bench_lagged_critic",
                             .purpose = "Trains a critic on what older weights drew.",
                             .flags = flags,
                             .flags_count = sizeof flags / sizeof *flags};
    TRY(recipe_load(&cli, argc, argv, &l.recipe));
    if (!l.recipe)
        return OK;
    const long rounds = l.rounds ? strtol(l.rounds, NULL, 10) : 0;
    if (!l.behaviour || !l.target || !l.out || rounds < 4)
        return err_new(ERR_INVALID, "needed: --behaviour, --target, --out, --rounds from 4 on");
    if (l.recipe->learner.critic.warmup_rounds < rounds)
        return err_new(ERR_INVALID,
                       "learner.critic.warmup_rounds: the policy would move; allowed: "
                       "%ld or more",
                       rounds);
    TRY(open_all(&l));
    TRY(run_all(&l, rounds));
    return save(&l);
}

int main(int argc, char **argv)
{
    err_t failed = run(argc, argv);
    if (!err_failed(failed))
        return 0;
    fprintf(stderr, "%s\n", err_message(failed));
    return 1;
}
