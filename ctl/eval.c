/* eval: completions of data.eval, scored by the recipe's scorers. */
#include "base/clock.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/complete.h"
#include "svc/recipe_cli.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/wait.h>

/* Starts `rlhfd-rewarder RECIPE --job score` reading `in`; its standard output is *ret. */
static err_t start_scorer(const char *recipe_file, FILE *in, pid_t *ret_pid, FILE **ret)
{
    char *program = program_beside("rlhfd-rewarder");
    int ends[2];
    rewind(in);
    if (pipe2(ends, O_CLOEXEC))
        return err_errno(errno, "cannot make a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fileno(in), STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, recipe_file, "--job", "score", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0)
        return err_errno(errno, "cannot start '%s'", program);
    *ret_pid = pid;
    *ret = fdopen(ends[0], "r");
    mem_free(program);
    return OK;
}

static void take_scored(FILE *out, struct collected *c)
{
    SCOPED_MEM char *text = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < c->set->count * (size_t)c->completions; i++) {
        ssize_t len = getline(&text, &capacity, out);
        json_t *line = len > 0 ? json_loadb(text, (size_t)len, 0, NULL) : NULL;
        if (!line)
            return;
        json_decref(c->line[i]);
        c->line[i] = line;
    }
}

/* Runs the completions through the rewarder's own scorers, so that what is measured is what training optimises; every line
 * is replaced by its scored one. */
static err_t score_lines(const char *recipe_file, struct collected *c)
{
    SCOPED_FILE in = tmpfile();
    SCOPED_FILE out = NULL;
    pid_t pid = -1;
    int status;
    if (!in)
        return err_errno(errno, "cannot make a temporary file");
    TRY(collected_write(in, c));
    TRY(start_scorer(recipe_file, in, &pid, &out));
    take_scored(out, c);
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return err_new(ERR_INVALID, "the completions could not be scored: rlhfd-rewarder said why");
    return OK;
}

static void summarize(const struct recipe *recipe, const struct collected *c, const char *model,
                      double seconds)
{
    size_t n = c->set->count * (size_t)c->completions;
    double reward = 0, squares = 0, success = 0, tokens = 0, ended = 0;
    for (size_t i = 0; i < n; i++) {
        double r = json_number_value(json_object_get(c->line[i], "reward"));
        const json_t *scores = json_object_get(c->line[i], "scores");
        bool good = true;
        for (size_t s = 0; s < json_array_size(scores); s++)
            good = good && json_number_value(json_array_get(scores, s)) >=
                               recipe->rewarder.scorers.at[s].success;
        reward += r;
        squares += r * r;
        success += good;
        tokens += json_number_value(json_object_get(c->line[i], "tokens"));
        ended += json_is_true(json_object_get(c->line[i], "ended"));
    }
    double count = (double)n, mean = reward / count;
    printf("model %s  prompts %zu  temperature %g\n", model, c->set->count,
           recipe->eval.temperature);
    printf("reward %.4f (std %.4f)  success %.4f  tokens %.1f  ended %.3f  %.1f s\n", mean,
           sqrt(fmax(0, squares / count - mean * mean)), success / count, tokens / count,
           ended / count, seconds);
}

err_t command_eval(int argc, char **argv)
{
    const char *model = NULL, *out = NULL;
    struct recipe_flag flags[] = {
        {"model", "DIR", "model directory; else the run's newest checkpoint, else model.path",
         .text = &model},
        {"out", "FILE", "write every completion with its scores as JSON lines", .text = &out},
    };
    struct recipe_cli cli = {
        .program = "rlhfctl eval",
        .purpose =
            "Completes the prompts of data.eval and scores them with rewarder.scorers; eval.* says how.",
        .flags = flags,
        .flags_count = 2};
    SCOPED(recipe) recipe = NULL;
    TRY(recipe_load(&cli, argc, argv, &recipe));
    if (!recipe)
        return OK;
    TRY(recipe_require(recipe, "data.eval"));
    SCOPED_MEM char *directory = NULL;
    SCOPED_VALUE(prompt_set) set = {0};
    TRY(complete_model(recipe, model, &directory));
    TRY(prompt_set_read(recipe->data.eval, recipe->data.prompt_column,
                        (uint64_t)recipe->eval.prompts, &set));
    struct sample_options options = complete_options(recipe, recipe->eval.temperature, 1);
    SCOPED_VALUE(collected) collected = {.set = &set};
    double begun = clock_s();
    TRY(complete(directory, &options, &set, &collected));
    TRY(score_lines(recipe->file, &collected));
    summarize(recipe, &collected, directory, clock_s() - begun);
    if (!out)
        return OK;
    FILE *file = fopen(out, "we");
    if (!file)
        return err_errno(errno, "cannot create '%s'", out);
    err_t failed = collected_write(file, &collected);
    fclose(file);
    return failed;
}
