/* Log-odds of two tokens against PyTorch's (tests/golden/pairwise.py made the file), the same bits
 * however prompts are cut into forwards, and what is refused. */
#include "base/json.h"
#include "base/mem.h"
#include "model/model_files.h"
#include "model/odds.h"
#include "testing/testing.h"

#define MODEL TEST_GOLDEN "/pairwise"
enum { PROMPTS_MAX = 128, LONGEST = 128 };

struct asked {
    struct odds_prompt prompt[PROMPTS_MAX];
    double want[PROMPTS_MAX];
    size_t count;
    int32_t label[2];
};

static void asked_done(struct asked *asked)
{
    for (size_t i = 0; i < asked->count; i++)
        mem_free((void *)asked->prompt[i].token);
}

static void put(const json_t *shown, struct asked *to)
{
    const json_t *ids = json_object_get(shown, "ids");
    const int count = (int)json_array_size(ids);
    int32_t *id = mem_array((size_t)count, sizeof *id);
    for (int i = 0; i < count; i++)
        id[i] = (int32_t)json_integer_value(json_array_get(ids, (size_t)i));
    assert_true(to->count < PROMPTS_MAX && count <= LONGEST);
    to->prompt[to->count] = (struct odds_prompt){id, count};
    to->want[to->count++] = json_number_value(json_object_get(shown, "log_odds"));
}

static void read_golden(struct asked *ret)
{
    static const char *const formats[] = {"chat", "text"};
    SCOPED_JSON json_t *file = NULL;
    size_t i, j;
    json_t *row, *shown;
    assert_ok(json_read_file(MODEL "/pairwise.json", 1 << 20, &file));
    for (size_t k = 0; k < 2; k++)
        ret->label[k] =
            (int32_t)json_integer_value(json_array_get(json_object_get(file, "labels"), k));
    json_array_foreach (json_object_get(file, "rows"), i, row)
        for (size_t f = 0; f < 2; f++)
            json_array_foreach (json_object_get(row, formats[f]), j, shown)
                put(shown, ret);
    assert_int_equal(ret->count, 2 * (3 * 4 + 16));
}

static struct model *model_of(struct backend *be)
{
    struct model *model;
    assert_ok(model_load_compact(be, MODEL, &model));
    return model;
}

static void odds_are_those_of_pytorch(void **)
{
    static const int micro[] = {1, 200, 4096};
    SCOPED(backend) be = NULL;
    SCOPED_VALUE(asked) asked = {0};
    double first[PROMPTS_MAX], got[PROMPTS_MAX];
    read_golden(&asked);
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 2}, &be));
    SCOPED(model) model = model_of(be);
    for (size_t m = 0; m < sizeof micro / sizeof *micro; m++) {
        SCOPED(odds) odds = NULL;
        assert_ok(odds_new(model, micro[m], LONGEST, &odds));
        assert_ok(odds_run(odds, asked.prompt, asked.count, asked.label, NULL, m ? got : first));
        if (m)
            assert_memory_equal(first, got, asked.count * sizeof *got);
    }
    for (size_t i = 0; i < asked.count; i++)
        assert_near(first[i], asked.want[i],
                    5e-5); // of two single floats of some -20; the promise is 1e-4
}

static err_t stop(void *context, size_t done)
{
    size_t *limit = context;
    return done < *limit ? OK : err_new(ERR_DEADLINE, "stopped at %zu", done);
}

static void what_does_not_fit_is_refused(void **)
{
    SCOPED(backend) be = NULL;
    SCOPED_VALUE(asked) asked = {0};
    SCOPED(odds) odds = NULL;
    SCOPED(odds) none = NULL;
    double got[PROMPTS_MAX];
    const int32_t other[] = {3, 458}, negative[] = {-1, 3};
    int32_t foreign[] = {1, 458};
    size_t limit = 4;
    read_golden(&asked);
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    SCOPED(model) model = model_of(be);
    assert_err(ERR_INVALID, "0 tokens of a prompt", odds_new(model, 64, 0, &none));
    assert_ok(odds_new(model, 1, 90, &odds));
    const struct odds_prompt bad[] = {{foreign, 2}, {foreign, 0}, {asked.prompt[0].token, 91}};
    assert_err(ERR_INVALID, "prompt 0: its token 458 is none of the model's 458",
               odds_run(odds, &bad[0], 1, asked.label, NULL, got));
    assert_err(ERR_RANGE, "prompt 0: 0 tokens", odds_run(odds, &bad[1], 1, asked.label, NULL, got));
    assert_err(ERR_RANGE, "91 tokens; 1 to 90 fit",
               odds_run(odds, &bad[2], 1, asked.label, NULL, got));
    assert_err(ERR_INVALID, "token 458", odds_run(odds, asked.prompt, 1, other, NULL, got));
    assert_err(ERR_INVALID, "token -1", odds_run(odds, asked.prompt, 1, negative, NULL, got));
    assert_err(
        ERR_DEADLINE, "stopped at 4",
        odds_run(odds, asked.prompt, 8, asked.label, &(struct scores_watch){stop, &limit}, got));
    assert_ok(odds_run(odds, asked.prompt, 0, asked.label, NULL, got));
}

TESTS(cmocka_unit_test(odds_are_those_of_pytorch), cmocka_unit_test(what_does_not_fit_is_refused))
