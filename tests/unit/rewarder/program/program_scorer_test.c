/* Programs that score: through the adapter of examples/, and by themselves, rightly and wrongly. */
#include "base/clock.h"
#include "base/file.h"
#include "rewarder/program/program_scorer.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *directory;

/* Readable by whoever a sandbox makes of root. */
static char *write_file(const char *name, const char *text)
{
    char *path = testing_path(directory, name);
    assert_ok(file_write(path, text, strlen(text)));
    assert_int_equal(chmod(path, 0644), 0);
    return path;
}

/* Three completions of a row. */
struct three {
    struct completion completion[3];
    struct group group;
};

static void three_of(const char *row, struct three *ret)
{
    static const char *const texts[] = {"4", "five", ""};
    *ret = (struct three){0};
    for (size_t i = 0; i < 3; i++)
        ret->completion[i] = (struct completion){.text = (char *)texts[i],
                                                 .text_len = (uint32_t)strlen(texts[i]),
                                                 .tokens = (uint32_t)strlen(texts[i]) + 1,
                                                 .finish = FINISH_EOS};
    ret->group =
        (struct group){.row = (char *)row, .completions = 3, .completion = ret->completion};
}

static void three_done(struct three *three)
{
    column_list_done(&three->group.columns);
}

static const char *const row = "{\"prompt\": \"2+2=\", \"answer\": 4, \"data_source\": \"sums\", "
                               "\"reward_model\": {\"ground_truth\": \"4\"}}";
static const char *const chat =
    "{\"prompt\": [{\"role\": \"user\", \"content\": \"2+2=\"}], \"answer\": 4}";

static const char *const functions =
    "import asyncio\n"
    "def right(prompts, completions, answer, **kwargs):\n"
    "    print('functions may print')\n"
    "    assert prompts == ['2+2='] * 3 and answer == [4] * 3\n"
    "    return [1.0 if c == '4' else None if not c else False for c in completions]\n"
    "async def longer(completions, **kwargs):\n"
    "    await asyncio.sleep(0.001)\n"
    "    return [len(c) / 3 for c in completions]\n"
    "def messages(prompts, completions, **kwargs):\n"
    "    assert prompts[0][0]['role'] == 'user'\n"
    "    return [len(c[0]['content']) for c in completions]\n"
    "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
    "    assert data_source == 'sums' and extra_info is None\n"
    "    return {'score': float(solution_str == ground_truth), 'acc': True}\n"
    "def maker(scale, offset=0):\n"
    "    return lambda completions, **kwargs: [scale * len(c) + offset for c in completions]\n"
    "def tokens(completion_ids, **kwargs):\n"
    "    return [sum(ids) for ids in completion_ids]\n"
    "def broken(completions, **kwargs):\n"
    "    raise KeyError('gold')\n";

static char *entry(const char *function, const char *more)
{
    return mem_printf("{kind: program, command: [python3, %s/reward.py, %s/mine.py, %s]%s}",
                      directory, directory, function, more);
}

static void functions_of_python(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(three) three = {0};
    SCOPED_MEM char *right = entry("right", ", weight: 2"), *longer = entry("longer", ""),
                    *verl = entry("compute_score", ", weight: 4"),
                    *made = entry("maker, scale=0.5, offset=1", ", processes: 2");
    SCOPED_MEM char *all = mem_printf("[%s, %s, %s, %s]", right, longer, verl, made);
    static const double scores[3][4] = {{1, 1 / 3.0, 1, 1.5}, {0, 4 / 3.0, 0, 3}, {NAN, 0, 0, 1}};
    static const double rewards[3] = {2 + 1 / 3.0 + 4 + 1.5, 4 / 3.0 + 3, 1};
    write_file("mine.py", functions);
    assert_ok(kit_open(all, &kit));
    for (int again = 0; again < 3; again++) {
        three_of(row, &three);
        assert_ok(kit_score(&kit, &three.group));
        assert_int_equal(group_width(&three.group, COLUMN_INAPPLICABLE), 4);
        for (uint32_t i = 0; i < 3; i++) {
            for (size_t s = 0; s < 4; s++) {
                const double got = group_score(&three.group, i, s);
                assert_true(isnan(scores[i][s]) ? isnan(got) : got == scores[i][s]);
            }
            assert_near(group_value(&three.group, COLUMN_REWARD, i), rewards[i], 1e-15);
        }
        three_done(&three);
    }
    three.group.columns = (struct column_list){0};
}

/* What does not apply is told on the wire as that, and never as a number. */
static void on_the_wire(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(three) three = {0};
    SCOPED_MEM char *right = entry("right", ""), *longer = entry("longer", "");
    SCOPED_MEM char *all = mem_printf("[%s, %s]", right, longer), *few = mem_printf("[%s]", right);
    three_of(row, &three);
    assert_ok(kit_open(all, &kit));
    assert_ok(kit_score(&kit, &three.group));
    const uint8_t *not = group_values(&three.group, COLUMN_INAPPLICABLE, 0);
    assert_memory_equal(not, "\0\0\0\0\1\0", 6);
    assert_near(((const double *)group_values(&three.group, COLUMN_SCORES, 2))[0], 0, 0);
    three_done(&three);
    three_of(row, &three);
    SCOPED_VALUE(score_kit) alone = {0};
    assert_ok(kit_open(few, &alone));
    assert_err(ERR_INVALID, "no scorer applies to completion 2", kit_score(&alone, &three.group));
    assert_int_equal(three.group.columns.count, 0);
}

static void messages_go_out_as_messages(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(three) three = {0};
    SCOPED_MEM char *one = entry("messages", ""), *all = mem_printf("[%s]", one);
    three_of(chat, &three);
    assert_ok(kit_open(all, &kit));
    assert_ok(kit_score(&kit, &three.group));
    assert_near(group_value(&three.group, COLUMN_REWARD, 1), 4, 0);
    assert_int_equal(group_width(&three.group, COLUMN_INAPPLICABLE), 0);
}

static void tokens_go_out_too(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(three) three = {0};
    SCOPED_MEM char *one = entry("tokens", ""), *all = mem_printf("[%s]", one);
    uint32_t token[3][5] = {{7, 1}, {1, 2, 3, 4, 1}, {1}};
    three_of(row, &three);
    for (size_t i = 0; i < 3; i++)
        three.completion[i].token = token[i];
    assert_ok(kit_open(all, &kit));
    assert_ok(kit_score(&kit, &three.group));
    assert_near(group_value(&three.group, COLUMN_REWARD, 0), 8, 0);
    assert_near(group_value(&three.group, COLUMN_REWARD, 1), 11, 0);
    assert_near(group_value(&three.group, COLUMN_REWARD, 2), 1, 0);
}

static void a_function_that_fails(void **)
{
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_VALUE(three) three = {0};
    SCOPED_MEM char *one = entry("broken", ""), *all = mem_printf("[%s]", one);
    three_of(row, &three);
    assert_ok(kit_open(all, &kit));
    assert_err(ERR_UNAVAILABLE, "program_error: KeyError: 'gold'", kit_score(&kit, &three.group));
    SCOPED_VALUE(score_kit) missing = {0};
    SCOPED_MEM char *absent = entry("absent", ""), *list = mem_printf("[%s]", absent);
    assert_ok(kit_open(list, &missing));
    assert_err(ERR_UNAVAILABLE, "has no attribute 'absent'", kit_score(&missing, &three.group));
}

/* A program that breaks the rules at its first group. */
static const char *const rules =
    "import json, os, sys, time\n"
    "group = json.loads(sys.stdin.readline())\n"
    "say = lambda **more: print(json.dumps({'id': group['id'], **more}), flush=True)\n";

static const struct breach {
    const char *name, *code, *part;
} breaches[] = {
    {"wrong_id", "print(json.dumps({'id': 'x', 'scores': [1, 2, 3]}), flush=True)", "wrong_id: "},
    {"short", "say(scores=[1, 2])", "short_list: scores has 2 values for 3"},
    {"long", "say(scores=[1, 2, 3, 4])", "long_list: "},
    {"nan", "say(scores=[1, float('nan'), 3])", "nan: "},
    {"infinite", "say(scores=[1, float('inf'), 3])", "infinite: "},
    {"text", "say(scores=[1, '2', 3])", "not_a_number: scores[1]"},
    {"truth", "say(scores=[1, True, 3])", "not_a_number: scores[1]"},
    {"huge", "say(scores=[1, 1e30, 3])", "too_large: "},
    {"none", "say(reward=1)", "no_scores: "},
    {"no_json", "print('hello', flush=True)", "not_json: "},
    {"empty", "print(flush=True)", "empty: "},
    {"two", "say(scores=[1, 2, 3]); os.write(1, b'{}\\n{}\\n'); time.sleep(1)", NULL},
    {"many", "os.write(1, b'a line\\n' * 1000000)", "cut: the program "},
    {"one_long", "os.write(1, b'x' * 3000000)", "too_long: "},
    {"exit", "sys.exit('I have had enough')", "its last words: I have had enough"},
    {"killed", "os.kill(os.getpid(), 9)", "killed by signal 9"},
    {"closes", "os.close(1); time.sleep(100)", "cut: the program "},
    {"silent", "time.sleep(100)", "late: "},
    {"endless", "while True: pass", "late: "},
    {"half", "os.write(1, b'{\"id\": '); time.sleep(100)", "late: "},
    {"forks", "\nwhile True:\n  try: os.fork()\n  except OSError: time.sleep(0.01)\n",
     "limit on processes"},
    {"memory",
     "import mmap\nm = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): m[i] = 1",
     "limit on memory"},
};

static void breaches_are_named(void **)
{
    for (size_t i = 0; i < sizeof breaches / sizeof *breaches; i++) {
        const struct breach *breach = &breaches[i];
        SCOPED_VALUE(score_kit) kit = {0};
        SCOPED_VALUE(three) three = {0};
        SCOPED_MEM char *file = mem_printf("%s.py", breach->name);
        SCOPED_MEM char *script = mem_printf("%s%s\n", rules, breach->code);
        SCOPED_MEM char *list =
            mem_printf("[{kind: program, command: [python3, %s], tasks: 8, memory_mib: 64, "
                       "answer_mib: 1}]",
                       write_file(file, script));
        three_of(row, &three);
        assert_ok(kit_open(list, &kit));
        kit.patience_s = strncmp(breach->part ? breach->part : "", "late", 4) == 0 ? 0.5 : 20;
        if (breach->part)
            assert_err(strncmp(breach->part, "late", 4) == 0 ? ERR_DEADLINE : ERR_UNAVAILABLE,
                       breach->part, kit_score(&kit, &three.group));
        else
            err_free(kit_score(&kit, &three.group)); // the second line may come later
        three_done(&three);
        three_of(row, &three);
        /* The program again: a fresh process, which breaks the rules as the first did. */
        err_t again = kit_score(&kit, &three.group);
        assert_true(!breach->part || err_failed(again));
        err_free(again);
    }
}

static void recipes_that_cannot_be(void **)
{
    static const struct {
        const char *text, *part;
        enum err_code code;
    } cases[] = {
        {"[{kind: program}]", "kind 'program' needs command", ERR_INVALID},
        {"[{kind: program, command: []}]", "a program is needed", ERR_INVALID},
        {"[{kind: program, command: [no-such]}]", "no program 'no-such' in", ERR_NOT_FOUND},
        {"[{kind: program, command: [/no/such]}]", "no program '/no/such'", ERR_NOT_FOUND},
        {"[{kind: program, command: [cat], read: [data]}]", "no absolute name", ERR_NOT_FOUND},
        {"[{kind: program, command: [cat], sandbox: weak}]", "auto, strong, restricted, none",
         ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_VALUE(score_kit) kit = {0};
        assert_err(cases[i].code, cases[i].part, kit_open(cases[i].text, &kit));
    }
}

static void words_name_files(void **)
{
    SCOPED(recipe) recipe = NULL;
    const char *text = "rewarder: {scorers: [{kind: program, command: [./a, -x, ../b, c/d], "
                       "read: [./e]}]}\n";
    assert_ok(recipe_parse(text, strlen(text), "ring.yaml", "/some/where", NULL, &recipe));
    SCOPED_VALUE(bytes) got = {0};
    yaml_tree_put(recipe->rewarder.scorers.at[0].entry, &got);
    const char *put = (const char *)got.data;
    assert_non_null(strstr(put, "/some/where/./a"));
    assert_non_null(strstr(put, "/some/where/../b"));
    assert_non_null(strstr(put, "/some/where/./e"));
    assert_non_null(strstr(put, "-x"));
    assert_null(strstr(put, "where/-x"));
    assert_null(strstr(put, "where/c"));
}

int main(void)
{
    if (!TESTING_SANDBOX) {
        puts("skipped: no sandbox holds a sanitizer's shadow memory");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_python),         cmocka_unit_test(on_the_wire),
        cmocka_unit_test(messages_go_out_as_messages), cmocka_unit_test(tokens_go_out_too),
        cmocka_unit_test(a_function_that_fails),       cmocka_unit_test(breaches_are_named),
        cmocka_unit_test(recipes_that_cannot_be),      cmocka_unit_test(words_name_files),
    };
    directory = testing_directory();
    chmod(directory, 0755);
    SCOPED_VALUE(bytes) adapter = {0};
    assert_ok(file_read(TEST_GOLDEN "/../../examples/reward.py", 1 << 20, &adapter));
    write_file("reward.py", (const char *)adapter.data);
    setenv("RLHFD_BIN", TEST_BIN, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
