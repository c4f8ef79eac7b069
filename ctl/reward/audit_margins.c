#include "ctl/reward/audit_margins.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ctl/reward/reward_scorer.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { BLIND_WORDS = 32 }; // larger differences are one

/* ---- margins as they come */

/* The pairs of a file, in its order; rows that are no pair (ties) lie between them. */
struct taking {
    const struct audit_pairs *pairs;
    const uint32_t *pair; // (count)
    size_t count, at;
    uint64_t row;
    bool every; // each row of the file is the next pair
    double *sum, *squares, *seen;
};

static err_t take_margin(void *arg, json_t *line, const char *name, const struct answers *answers,
                         const double *score)
{
    struct taking *t = arg;
    (void)line;
    (void)name;
    (void)answers;
    const uint64_t row = t->row++;
    if (t->at == t->count)
        return OK;
    const uint32_t i = t->pair[t->at];
    const struct audit_pair *pair = &t->pairs->at[i];
    if (!t->every && pair->row != row)
        return OK;
    t->at++;
    const double margin = pair->swapped ? score[1] - score[0] : score[0] - score[1];
    if (isnan(margin))
        return OK;
    t->sum[i] += margin;
    t->squares[i] += margin * margin;
    t->seen[i]++;
    return OK;
}

static err_t score_rows(const struct recipe *recipe, const char *directory,
                        const struct jsonl *rows, struct taking *taking)
{
    SCOPED_VALUE(reward_scorer) scorer = {0};
    TRY(reward_scorer_open(recipe, directory, &scorer));
    TRY(reward_scorer_check(&scorer, rows, NULL, NULL));
    return reward_scorer_run(&scorer, rows, take_margin, taking);
}

struct sums {
    double *sum, *squares, *seen; // (pairs)
};

static void sums_done(struct sums *sums)
{
    mem_free(sums->sum);
    mem_free(sums->squares);
    mem_free(sums->seen);
}

static struct sums sums_of(const struct audit *audit)
{
    const size_t count = audit->pairs.count;
    return (struct sums){mem_array(count, sizeof(double)), mem_array(count, sizeof(double)),
                         mem_array(count, sizeof(double))};
}

/* Mean, and standard deviation where there are several. */
static void give_margins(const struct sums *sums, struct audit *audit)
{
    const size_t count = audit->pairs.count;
    audit->margin = mem_array(count, sizeof *audit->margin);
    audit->deviation = mem_array(count, sizeof *audit->deviation);
    for (size_t i = 0; i < count; i++) {
        const double n = sums->seen[i], mean = n > 0 ? sums->sum[i] / n : NAN;
        audit->margin[i] = mean;
        if (n > 1)
            audit->deviation[i] = sqrt(fmax(0, sums->squares[i] - n * mean * mean) / (n - 1));
    }
}

/* ---- a given model */

err_t audit_margins_model(const struct recipe *recipe, const char *directory, struct audit *audit)
{
    SCOPED_VALUE(sums) sums = sums_of(audit);
    const struct audit_pairs *pairs = &audit->pairs;
    SCOPED_MEM uint32_t *pair = mem_array(pairs->count, sizeof *pair);
    for (size_t f = 0; f < pairs->files; f++) {
        struct taking taking = {.pairs = pairs,
                                .pair = pair,
                                .sum = sums.sum,
                                .squares = sums.squares,
                                .seen = sums.seen};
        for (size_t i = 0; i < pairs->count; i++)
            if (pairs->at[i].file == f)
                pair[taking.count++] = (uint32_t)i;
        TRY(score_rows(recipe, directory, pairs->file[f], &taking));
    }
    give_margins(&sums, audit);
    return OK;
}

/* ---- the rows of a fold */

/* Which rows of a fold are written: all, or as many that the longer answer won as that the shorter
 * one did, for each difference in length. */
struct keeping {
    uint64_t seed;
    long folds, fold;
    bool inside, blind;
    double won[BLIND_WORDS + 1][2]; // by the difference in words: by the shorter, by the longer
};

static bool in_fold(const struct keeping *k, const struct audit_pair *pair)
{
    const uint64_t hash = hash64(pair->prompt, strlen(pair->prompt), k->seed);
    return ((long)(hash % (uint64_t)k->folds) == k->fold) == k->inside;
}

static int length_bin(const struct audit_pair *pair)
{
    const int words = abs(pair->winner_words - pair->loser_words);
    return words < BLIND_WORDS ? words : BLIND_WORDS;
}

static bool kept(const struct keeping *k, const struct audit_pair *pair, size_t i)
{
    const double *won = k->won[length_bin(pair)];
    const bool longer = pair->winner_words > pair->loser_words;
    if (!in_fold(k, pair))
        return false;
    if (!k->blind || pair->winner_words == pair->loser_words || won[longer] <= won[!longer])
        return true;
    const struct rng rng = rng_keyed(k->seed, RNG_SELECT, (uint64_t)k->fold, i);
    return rng_uniform(&rng, 0) * won[longer] < won[!longer];
}

static void count_lengths(const struct audit_pairs *pairs, struct keeping *k)
{
    for (size_t i = 0; i < pairs->count; i++) {
        const struct audit_pair *pair = &pairs->at[i];
        if (in_fold(k, pair))
            k->won[length_bin(pair)][pair->winner_words > pair->loser_words]++;
    }
}

/* ret_pair may be NULL. */
static err_t write_rows(const struct audit_pairs *pairs, struct keeping *k, const char *path,
                        uint32_t *ret_pair, size_t *ret_count)
{
    SCOPED_VALUE(bytes) text = {0};
    *ret_count = 0;
    count_lengths(pairs, k);
    for (size_t i = 0; i < pairs->count; i++) {
        const struct audit_pair *pair = &pairs->at[i];
        if (!kept(k, pair, i))
            continue;
        TRY(jsonl_row(pairs->file[pair->file], pair->row, &text));
        bytes_u8(&text, '\n');
        if (ret_pair)
            ret_pair[*ret_count] = (uint32_t)i;
        ++*ret_count;
    }
    if (!*ret_count)
        return err_new(ERR_INVALID,
                       "--folds: fold %ld of %ld has no pair %s it: the rows have too few prompts",
                       k->fold + 1, k->folds, k->inside ? "in" : "outside");
    return file_write(path, text.data, text.len);
}

/* ---- training a fold's model */

/* PROGRAM RECIPE [--set X]..., and what the fold needs; the array is the caller's. */
static char **learner_words(const char *program, const struct recipe *recipe, char *const *argv,
                            const char *const *own, size_t own_count)
{
    size_t argc = 0, n = 0;
    while (argv[argc])
        argc++;
    char **words = mem_array(argc + own_count + 3, sizeof *words);
    words[n++] = (char *)program;
    words[n++] = recipe->file;
    for (size_t i = 1; i < argc; i++) {
        const bool alone = strcmp(argv[i], "--set") == 0;
        if (alone || strncmp(argv[i], "--set=", 6) == 0)
            words[n++] = argv[i];
        if (alone && i + 1 < argc)
            words[n++] = argv[++i];
    }
    for (size_t i = 0; i < own_count; i++)
        words[n++] = (char *)own[i];
    return words;
}

/* Standard output is the report's, so its lines go to standard error. The child ends with us. */
static void become_learner(const char *program, char **words)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execv(program, words);
    _exit(127);
}

static err_t run_learner(char **words, const char *directory)
{
    int status = -1;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0)
        become_learner(words[0], words);
    if (pid < 0)
        return err_errno(errno, "cannot start '%s'", words[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return OK;
    return err_new(ERR_INVALID, "the model of '%s' could not be trained: rlhfd-learner said why",
                   directory);
}

static err_t train_fold(const struct recipe *recipe, char *const *argv, const char *directory,
                        const char *rows, uint64_t seed)
{
    SCOPED_MEM char *program = program_beside("rlhfd-learner");
    SCOPED_MEM char *data = mem_printf("data.train=%s", rows);
    SCOPED_MEM char *seeded = mem_printf("run.seed=%llu", (unsigned long long)seed);
    const char *own[] = {"--run",        directory, "--set", data,    "--set",
                         "eval.every=0", "--set",   seeded,  "--job", "reward"};
    SCOPED_MEM char **words = learner_words(program, recipe, argv, own, sizeof own / sizeof *own);
    return run_learner(words, directory);
}

/* ---- all folds */

static err_t one_fold(const struct recipe *recipe, char *const *argv,
                      const struct audit_folds *folds, long repeat, long fold, struct audit *audit,
                      struct sums *sums)
{
    const struct audit_pairs *pairs = &audit->pairs;
    const uint64_t seed = (uint64_t)recipe->run.seed + (uint64_t)repeat;
    SCOPED_MEM char *directory =
        mem_printf("%s/folds/%ld-%ld", recipe->directory, repeat + 1, fold + 1);
    SCOPED_MEM char *train = file_join(directory, "train.jsonl");
    SCOPED_MEM char *held = file_join(directory, "held-out.jsonl");
    SCOPED_MEM char *model = file_join(directory, "checkpoints/latest");
    SCOPED_MEM uint32_t *pair = mem_array(pairs->count, sizeof *pair);
    SCOPED(jsonl) rows = NULL;
    size_t outside;
    struct taking taking = {.pairs = pairs,
                            .pair = pair,
                            .every = true,
                            .sum = sums->sum,
                            .squares = sums->squares,
                            .seen = sums->seen};
    TRY(file_make_directories(directory));
    struct keeping in = {.seed = seed, .folds = folds->folds, .fold = fold, .inside = true};
    struct keeping out = {.seed = seed, .folds = folds->folds, .fold = fold, .blind = folds->blind};
    TRY(write_rows(pairs, &out, train, NULL, &outside));
    TRY(write_rows(pairs, &in, held, pair, &taking.count));
    fprintf(stderr, "fold %ld of %ld, repeat %ld of %ld: %zu pairs to train on, %zu to score\n",
            fold + 1, folds->folds, repeat + 1, folds->repeats, outside, taking.count);
    TRY(train_fold(recipe, argv, directory, train, seed));
    TRY(jsonl_open(held, &rows));
    return score_rows(recipe, model, rows, &taking);
}

err_t audit_margins_folds(const struct recipe *recipe, char *const *argv,
                          const struct audit_folds *folds, struct audit *audit)
{
    SCOPED_VALUE(sums) sums = sums_of(audit);
    for (long r = 0; r < folds->repeats; r++)
        for (long k = 0; k < folds->folds; k++)
            TRY(one_fold(recipe, argv, folds, r, k, audit, &sums));
    give_margins(&sums, audit);
    return OK;
}
