/* Scores by a reward model with random weights, on the backend of RLHFD_BACKEND: a group's
 * completions at once, as a rewarder has them, and one sequence at a time.
 *
 *     build/tests/bench_scores [SHAPE [PROMPT [TOKENS [COMPLETIONS [TIMES]]]]]
 *
 * SHAPE: shapes.h. Prints one JSON object; each time is the least of TIMES. Fails unless all bits
 * are equal. */
#include "base/clock.h"
#include "base/cpus.h"
#include "model/scores.h"
#include "number.h"
#include "shapes.h"
#include <math.h>
#include <stdio.h>

struct bench {
    const char *shape;
    int prompt, tokens, completions, times;
    struct scores *scores;
    uint32_t *text; // the prompt, then all completions
    float *score, *alone;
    double all_s, each_s;
};

static err_t run_all(struct bench *b)
{
    SCOPED_MEM struct sequence *sequence = mem_array((size_t)b->completions, sizeof *sequence);
    for (int i = 0; i < b->completions; i++)
        sequence[i] = (struct sequence){.prompt = b->text,
                                        .prompt_tokens = b->prompt,
                                        .token = b->text + b->prompt + i * b->tokens,
                                        .tokens = b->tokens};
    return scores_run_all(b->scores, sequence, (size_t)b->completions, NULL, b->score);
}

static err_t run_each(struct bench *b)
{
    SCOPED_MEM int32_t *token = mem_array((size_t)(b->prompt + b->tokens), sizeof *token);
    for (int i = 0; i < b->completions; i++) {
        memcpy(token, b->text, (size_t)b->prompt * sizeof *token);
        memcpy(token + b->prompt, b->text + b->prompt + i * b->tokens,
               (size_t)b->tokens * sizeof *token);
        TRY(scores_run(b->scores, token, b->prompt + b->tokens, &b->alone[i]));
    }
    return OK;
}

static err_t measure(struct bench *b)
{
    b->all_s = b->each_s = INFINITY;
    for (int i = 0; i < b->times; i++) {
        const double begun = clock_s();
        TRY(run_all(b));
        const double between = clock_s();
        TRY(run_each(b));
        b->all_s = fmin(b->all_s, between - begun);
        b->each_s = fmin(b->each_s, clock_s() - between);
    }
    if (memcmp(b->score, b->alone, (size_t)b->completions * sizeof *b->score) != 0)
        return err_new(ERR_DATA_LOSS, "scores of a group have other bits than those of sequences");
    return OK;
}

static err_t bench(struct bench *b)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    SCOPED(scores) scores = NULL;
    struct model_config config;
    const int longest = b->prompt + b->tokens, text = b->prompt + b->completions * b->tokens;
    if (b->prompt < 1 || b->tokens < 1 || b->completions < 1 || b->times < 1 ||
        !bench_shape(b->shape, longest, &config))
        return err_new(ERR_INVALID, "numbers are above 0, shapes are %s", BENCH_SHAPES);
    config.parts = PARTS_CRITIC;
    config.tied = false;
    TRY(backend_open(NULL, &(struct backend_config){.threads = cpus_threads(0)}, &be));
    TRY(model_empty_compact(be, &config, &model));
    SCOPED_MEM bf16 *flat = bench_weights(model->params->layout);
    TRY(model_put(model, flat, NULL));
    TRY(scores_new_micro(model, SCORES_GROUP_TOKENS, longest, &scores));
    SCOPED_MEM uint32_t *tokens = mem_array((size_t)text, sizeof *tokens);
    SCOPED_MEM float *score = mem_array((size_t)b->completions, sizeof *score);
    SCOPED_MEM float *alone = mem_array((size_t)b->completions, sizeof *alone);
    for (int i = 0; i < text; i++)
        tokens[i] = (uint32_t)(i * 7919 + 13) % (uint32_t)config.V;
    b->scores = scores;
    b->text = tokens;
    b->score = score;
    b->alone = alone;
    TRY(measure(b));
    printf("{\"bench\": \"scores\", \"backend\": \"%s\", \"shape\": \"%s\", \"prompt\": %d, "
           "\"tokens\": %d, \"completions\": %d, \"group_s\": %.6f, \"each_s\": %.6f, "
           "\"times_faster\": %.2f}\n",
           be->ops->name, b->shape, b->prompt, b->tokens, b->completions, b->all_s, b->each_s,
           b->each_s / b->all_s);
    return OK;
}

int main(int argc, char **argv)
{
    struct bench b = {.shape = argc > 1 ? argv[1] : "125M",
                      .prompt = bench_number(argc, argv, 2, 256),
                      .tokens = bench_number(argc, argv, 3, 32),
                      .completions = bench_number(argc, argv, 4, 16),
                      .times = bench_number(argc, argv, 5, 3)};
    err_t failed = bench(&b);
    if (err_failed(failed))
        fprintf(stderr, "%s\n", err_message(failed));
    return err_failed(failed);
}
