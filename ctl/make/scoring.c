#include "ctl/make/scoring.h"
#include "base/mem.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>

/* A job of the rewarder, whose scorers ctl has not. */
struct scorer_job {
    const char *kind; // "score"
    FILE *in;
    bool quiet; // its log does not come through
};

/* PROGRAM RECIPE [--run DIR] [--set X]... --job KIND, NULL at the end; words are borrowed, the
 * array is the caller's. Without a recipe PROGRAM --job KIND. */
static char **words_for(const char *program, const char *recipe_file, char *const *argv,
                        const char *kind)
{
    size_t argc = 0, n = 0;
    while (argv[argc])
        argc++;
    char **words = mem_array(argc + 5, sizeof *words);
    words[n++] = (char *)program;
    if (recipe_file)
        words[n++] = (char *)recipe_file;
    for (size_t i = 1; recipe_file && i < argc; i++) {
        bool alone = strcmp(argv[i], "--set") == 0 || strcmp(argv[i], "--run") == 0;
        bool joined = strncmp(argv[i], "--set=", 6) == 0 || strncmp(argv[i], "--run=", 6) == 0;
        if (alone || joined)
            words[n++] = argv[i];
        if (alone && i + 1 < argc)
            words[n++] = argv[++i];
    }
    words[n++] = "--job";
    words[n] = (char *)kind;
    return words;
}

static void become_scorer(const struct scorer_job *job, int out, const char *program, char **words)
{
    dup2(fileno(job->in), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    const int nowhere = job->quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
    if (nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
    execv(program, words);
    _exit(127);
}

/* Starts the scorer reading job->in; its standard output is *ret. */
static err_t start_scorer(const char *recipe_file, char *const *argv, const struct scorer_job *job,
                          pid_t *ret_pid, FILE **ret)
{
    SCOPED_MEM char *program = program_beside("rlhfd-rewarder");
    SCOPED_MEM char **words = words_for(program, recipe_file, argv, job->kind);
    int ends[2];
    rewind(job->in);
    if (pipe2(ends, O_CLOEXEC))
        return err_errno(errno, "cannot make a pipe");
    pid_t pid = fork();
    if (pid == 0)
        become_scorer(job, ends[1], program, words);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return err_errno(errno, "cannot start '%s'", program);
    }
    *ret_pid = pid;
    *ret = fdopen(ends[0], "r");
    return OK;
}

static bool ended_well(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Runs a job that needs no input. Its output is appended to ret. */
static err_t ask(const char *recipe_file, char *const *argv, const char *kind, bool quiet,
                 struct bytes *ret, bool *ret_well)
{
    SCOPED_FILE in = fopen("/dev/null", "re");
    SCOPED_FILE out = NULL;
    char text[4096];
    pid_t pid = -1;
    if (!in)
        return err_errno(errno, "cannot open '/dev/null'");
    TRY(start_scorer(recipe_file, argv, &(struct scorer_job){kind, in, quiet}, &pid, &out));
    for (size_t len; (len = fread(text, 1, sizeof text, out));)
        bytes_put(ret, text, len);
    *ret_well = ended_well(pid);
    return OK;
}

err_t scorers_check(const struct recipe *recipe, char *const *argv, FILE *notes)
{
    SCOPED_VALUE(bytes) text = {0};
    bool well; // a refusal is an answer, too
    size_t i;
    TRY(ask(recipe->file, argv, "check", true, &text, &well));
    SCOPED_JSON json_t *answer =
        text.len ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (message)
        return err_new((enum err_code)json_integer_value(json_object_get(answer, "code")), "%s",
                       message);
    if (!answer)
        return err_new(ERR_UNAVAILABLE, "rlhfd-rewarder, which has the scorers, did not answer");
    json_t *note;
    json_array_foreach (json_object_get(answer, "notes"), i, note)
        if (notes)
            fprintf(notes, "%s\n", json_string_value(note));
    return OK;
}

err_t stages_document(struct bytes *ret)
{
    char *const none[] = {NULL};
    bool well;
    TRY(ask(NULL, none, "document", false, ret, &well));
    if (!well || !ret->len)
        return err_new(ERR_UNAVAILABLE, "rlhfd-rewarder, which has the stages, did not answer");
    return OK;
}

/* How many lines came back. */
static size_t take_scored(FILE *out, struct collected *c)
{
    SCOPED_MEM char *text = NULL;
    size_t capacity = 0, i = 0;
    for (; i < c->set->count * (size_t)c->completions; i++) {
        ssize_t len = getline(&text, &capacity, out);
        json_t *line = len > 0 ? json_loadb(text, (size_t)len, JSON_ALLOW_NUL, NULL) : NULL;
        if (!line)
            break;
        json_decref(c->line[i]);
        c->line[i] = line;
    }
    return i;
}

err_t score_lines(const struct recipe *recipe, char *const *argv, struct collected *c)
{
    SCOPED_FILE in = tmpfile();
    SCOPED_FILE out = NULL;
    pid_t pid = -1;
    if (!in)
        return err_errno(errno, "cannot make a temporary file");
    TRY(collected_write(in, c));
    TRY(start_scorer(recipe->file, argv, &(struct scorer_job){"score", in, false}, &pid, &out));
    size_t scored = take_scored(out, c);
    fclose(STEAL(out)); // a scorer that has more to say than was taken would wait to say it
    if (!ended_well(pid) || scored < c->set->count * (size_t)c->completions)
        return err_new(ERR_INVALID, "the completions could not be scored: rlhfd-rewarder said why");
    return OK;
}

void score_figures_done(struct score_figures *figures)
{
    mem_free(figures->score);
    mem_free(figures->reached);
}

/* Adds one line's scores; whether all of them reached their scorer's mark. Of one that does not
 * apply (null) nothing is asked. */
static bool add_scores(const struct recipe *recipe, const json_t *scores, struct score_figures *ret,
                       double *applied)
{
    bool good = ret->scorers > 0;
    for (size_t s = 0; s < ret->scorers; s++) {
        if (json_is_null(json_array_get(scores, s)))
            continue;
        double score = json_number_value(json_array_get(scores, s));
        applied[s]++;
        bool reached = score >= recipe->rewarder.scorers.at[s].success;
        ret->score[s] += score;
        ret->reached[s] += reached;
        good = good && reached;
    }
    return good;
}

void score_figures(const struct recipe *recipe, const struct collected *c,
                   struct score_figures *ret)
{
    size_t n = c->set->count * (size_t)c->completions, scorers = recipe->rewarder.scorers.count;
    double count = (double)n, squares = 0;
    SCOPED_MEM double *applied = mem_array(scorers, sizeof *applied);
    *ret = (struct score_figures){.completions = n,
                                  .scorers = scorers,
                                  .score = mem_array(scorers, sizeof(double)),
                                  .reached = mem_array(scorers, sizeof(double))};
    for (size_t i = 0; i < n; i++) {
        double reward = json_number_value(json_object_get(c->line[i], "reward"));
        ret->reward += reward;
        squares += reward * reward;
        ret->success += add_scores(recipe, json_object_get(c->line[i], "scores"), ret, applied);
        ret->tokens += json_number_value(json_object_get(c->line[i], "tokens"));
        ret->ended += json_is_true(json_object_get(c->line[i], "ended"));
    }
    ret->reward /= count;
    ret->reward_std = sqrt(fmax(0, squares / count - ret->reward * ret->reward));
    ret->success /= count;
    ret->tokens /= count;
    ret->ended /= count;
    for (size_t s = 0; s < scorers; s++) {
        ret->score[s] /= applied[s];
        ret->reached[s] /= applied[s];
    }
}
