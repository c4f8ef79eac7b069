/* Lines that `rlhfctl reward` reads. The first byte says whether they are scored ones, those of a
 * curve, or lines to score. Either one line of INVALID refuses them, or all figures come out.
 * Shares lie from 0 to 1, and the ends of intervals in order. */
#include "base/mem.h"
#include "ctl/reward/answers.h"
#include "ctl/reward/eval/curve.h"
#include "ctl/reward/eval/eval_output.h"
#include "model/text/tokenizer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { DRAWS = 3 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_error(err_t e)
{
    must(err_code(e) == ERR_INVALID || err_code(e) == ERR_RANGE);
    must(!strchr(err_message(e), '\n'));
    err_free(e);
}

static void check_share(const struct estimate *e)
{
    must(isnan(e->value) || (e->value >= 0 && e->value <= 1));
    must(isnan(e->low) || (e->low <= e->high && e->low >= 0 && e->high <= 1));
}

/* Of the lines, one after another; false: one was refused. */
typedef err_t line_read(void *arg, const json_t *line, size_t i);

static bool each_line(const uint8_t *data, size_t len, line_read *fn, void *arg)
{
    for (size_t i = 0, size; len; i++, data += size, len -= size) {
        const uint8_t *end = memchr(data, '\n', len);
        SCOPED_JSON json_t *line = NULL;
        size = end ? (size_t)(end - data) + 1 : len;
        err_t e = json_parse_nul((const char *)data, end ? size - 1 : size, "line", &line);
        if (!err_failed(e))
            e = fn(arg, line, i);
        if (err_failed(e)) {
            check_error(e);
            return false;
        }
    }
    return true;
}

/* ---- scored lines */

static err_t add_line(void *arg, const json_t *line, size_t i)
{
    (void)i;
    return eval_data_add(arg, line, "line");
}

static void measure(const uint8_t *data, size_t len)
{
    SCOPED_VALUE(eval_data)
    all = {.columns = {
               .score = "score", .by = "kind", .prompt = "prompt", .completion = "completion"}};
    SCOPED_VALUE(eval_figures) figures = {0};
    if (!each_line(data, len, add_line, &all))
        return;
    eval_data_end(&all);
    eval_figures_of(&all, &(struct bootstrap){.draws = DRAWS, .seed = 1}, &figures);
    SCOPED_JSON json_t *json = eval_json(&all, &figures);
    must(json);
    if (figures.pairs.pairs) {
        check_share(&figures.pairs.accuracy);
        check_share(&figures.pairs.longer);
        check_share(&figures.pairs.auc);
        check_share(&figures.pairs.brier);
    }
    if (figures.answers.answers) {
        check_share(&figures.answers.auc);
        check_share(&figures.answers.prompt_accuracy);
    }
}

/* ---- a curve */

static void draw_curve(const uint8_t *data, size_t len)
{
    struct curve curve = {.score = "reward", .gold = "gold", .prompt = "prompt"};
    char path[64];
    const int fd = memfd_create("points", MFD_CLOEXEC);
    must(fd >= 0);
    must(write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    err_t e = curve_read(&curve, path);
    close(fd);
    if (!err_failed(e))
        e = curve_measure(&curve, NULL, &(struct bootstrap){.draws = DRAWS, .seed = 1});
    if (err_failed(e))
        check_error(e);
    else {
        SCOPED_JSON json_t *json = curve_json(&curve);
        must(json);
        check_share(&curve.point[0].win_base);
        check_share(&curve.point[0].win_own);
    }
    curve_done(&curve);
}

/* ---- lines to score */

static const struct row_rules *rules(void)
{
    static const char directory[] = TEST_GOLDEN "/datasets/model";
    static struct row_chat chat;
    static struct tokenizer *tokenizer;
    static struct row_rules rules;
    if (tokenizer)
        return &rules;
    err_t e = tokenizer_load(directory, &tokenizer);
    must(!err_failed(e));
    chat = row_chat_open(directory);
    rules = (struct row_rules){.tokenizer = tokenizer,
                               .chat = &chat,
                               .names = {"prompt", "completion", "text"},
                               .end = tokenizer_eos(tokenizer)};
    return &rules;
}

static err_t read_answers(void *arg, const json_t *line, size_t i)
{
    (void)arg;
    SCOPED_VALUE(answers) answers = {0};
    double score[ROW_SIDES] = {0};
    SCOPED_JSON json_t *copy = json_copy((json_t *)line);
    TRY(answers_read(rules(), i & 1, line, "line", &answers));
    for (int s = 0; s < answers.tokens.sequences; s++) {
        const struct row_sequence *all = &answers.tokens.at[s];
        must(all->tokens > 0 && all->prompt_tokens >= 0 && all->prompt_tokens <= all->tokens);
        for (int t = 0; t < all->tokens; t++)
            must(all->id[t] >= 0 && all->id[t] < tokenizer_vocab(rules()->tokenizer));
    }
    answers_put(&answers, "fuzz", score, copy);
    err_t taken = answers_vacant(&answers, "fuzz", copy, "line");
    must(err_code(taken) == ERR_INVALID);
    err_free(taken);
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!len)
        return 0;
    if (data[0] == 'c')
        draw_curve(data + 1, len - 1);
    else if (data[0] == 'a')
        each_line(data + 1, len - 1, read_answers, NULL);
    else
        measure(data + 1, len - 1);
    return 0;
}
