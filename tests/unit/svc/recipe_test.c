/* The recipe: what it reads, what it refuses and in which words. */
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/recipe_cli.h"
#include "svc/recipe/yaml_tree.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The example of the design, in full. */
static const char full[] =
    "run:        {name: sort, seed: 1, rounds: 200}\n"
    "model:      {path: sft}                      # HF directory, relative to RUN or the recipe\n"
    "data:       {train: train.jsonl, eval: test.jsonl}\n"
    "generator:  {count: 1, threads: 1, slots: 256, num_generations: 4, max_tokens: 10, temperature: 1.0, top_p: 1.0, "
    "in_flight: continue}\n"
    "rewarder:   {count: 1, threads: 1, scorers: [{kind: exact, column: completion, weight: 1.0}], reference: none}\n"
    "learner:    {threads: 1, objective: rloo, groups: 64, updates_per_round: 1, micro_tokens: 4096,\n"
    "             optimizer: {lr: 3e-4, betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.0, clip_norm: 1.0, "
    "schedule: constant, warmup: 10},\n"
    "             kl: {coef: 0.0, place: loss, estimator: k3}}\n"
    "lag:        {max: 1, straggler: wait, on_stale: drop}\n"
    "publish:    {every: 1}\n"
    "replay:     {policy: fifo, max_uses: 1, max_groups: 4096}\n"
    "checkpoint: {every: 50, keep: 3}\n"
    "eval:       {every: 50, prompts: 512, temperature: 0.0}\n";

static err_t parse(const char *text, struct recipe **ret)
{
    return recipe_parse(text, strlen(text), "ring.yaml", "/recipes", NULL, ret);
}

/* Parses what must fail. */
static err_t refuse(const char *text)
{
    SCOPED(recipe) recipe = NULL;
    err_t e = parse(text, &recipe);
    if (!err_failed(e))
        print_error("accepted: %s\n", text);
    return e;
}

static err_t override(const char *set)
{
    SCOPED(recipe) recipe = NULL;
    struct recipe_source source = {.sets = &set, .sets_count = 1};
    return recipe_parse("", 0, "ring.yaml", ".", &source, &recipe);
}

static void the_full_example_is_read(void **state)
{
    (void)state;
    SCOPED(recipe) r = NULL;
    assert_ok(parse(full, &r));
    assert_string_equal(r->run.name, "sort");
    assert_int_equal(r->run.rounds, 200);
    assert_string_equal(r->model.path, "/recipes/sft");
    assert_string_equal(r->data.train.at[0].path, "/recipes/train.jsonl");
    assert_int_equal(r->generator.max_tokens, 10);
    assert_int_equal(r->generator.in_flight, RECIPE_CONTINUE);
    assert_int_equal(r->rewarder.scorers.count, 1);
    assert_string_equal(r->rewarder.scorers.at[0].kind, "exact");
    const struct yaml_tree *entry = r->rewarder.scorers.at[0].entry;
    assert_string_equal(yaml_tree_member(entry, "column")->text, "completion");
    assert_near(r->rewarder.scorers.at[0].weight, 1, 0);
    assert_near(r->learner.optimizer.lr, 3e-4, 0);
    assert_near(r->learner.optimizer.betas.at[1], 0.99, 0);
    assert_int_equal(r->learner.optimizer.warmup, 10);
    assert_int_equal(r->learner.kl.place, RECIPE_KL_IN_LOSS);
    assert_int_equal(r->lag.straggler, RECIPE_STRAGGLER_WAIT);
    assert_int_equal(r->eval.every, 50);
}

static void an_empty_recipe_has_the_defaults(void **state)
{
    (void)state;
    SCOPED(recipe) r = NULL;
    assert_ok(parse("", &r));
    assert_string_equal(r->run.name, "run");
    assert_string_equal(r->model.path, "");
    assert_true(r->data.shuffle);
    assert_string_equal(r->learner.listen, "127.0.0.1:7003");
    assert_int_equal(r->learner.groups, 64);
    assert_int_equal(r->learner.lease_ms, 600000);
    assert_int_equal(r->learner.last_batch, RECIPE_LAST_SHORT);
    assert_near(r->learner.optimizer.betas.at[0], 0.9, 0);
    assert_near(r->learner.optimizer.betas.at[1], 0.999, 0);
    assert_int_equal(r->replay.min_free_bytes, 256 << 20);
    assert_int_equal(r->sft.steps, 600);
    assert_int_equal(r->rewarder.scorers.count, 0);
    assert_false(r->net.insecure);
}

static void errors_name_file_line_key_and_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"run: {seed: 1}\nlearner:\n  grops: 3\n",
         "ring.yaml:3: learner.grops: no such key; did you mean 'learner.groups'?"},
        {"lerner: {}", "ring.yaml:1: lerner: no such key; did you mean 'learner'?"},
        {"learner: {lr: 1}",
         "ring.yaml:1: learner.lr: no such key; did you mean 'learner.optimizer.lr'?"},
        {"lag: {xyzzy: 1}",
         "ring.yaml:1: lag.xyzzy: no such key; allowed: max, straggler, on_stale"},
        {"lag:\n\n  max: -1",
         "ring.yaml:3: lag.max: '-1' is out of range; allowed: a whole number from 0 to 1000"},
        {"lag: {max: 1001}", "'1001' is out of range"},
        {"lag: {max: 1.5}", "lag.max: '1.5' is not a whole number"},
        {"lag: {max: 99999999999999999999999}", "is out of range"},
        {"lag: {max: \"1\"}", "lag.max: '1' is quoted, and so is text"},
        {"lag: {max: }", "lag.max: has no value; allowed: a whole number"},
        {"lag: {max: [1]}", "lag.max: is a list; allowed: a whole number"},
        {"lag: {straggler: wiat}",
         "'wiat' is not known, did you mean 'wait'?; allowed: wait, drop"},
        {"lag: 3", "ring.yaml:1: lag: text is not a map; allowed: key: value"},
        {"lag:", "ring.yaml:1: lag: nothing is not a map"},
        {"[1, 2]", "ring.yaml:1: recipe: a list is not a map"},
        {"learner: {objective: rlo}",
         "learner.objective: 'rlo' is not known, did you mean 'rloo'?"},
        {"generator: {temperature: 0}", "'0' is out of range; allowed: a number from 0.001 to 100"},
        {"generator: {temperature: .nan}", "'.nan' is not a number"},
        {"generator: {temperature: inf}", "'inf' is not a number"},
        {"generator: {temperature: 0x1}", "'0x1' is not a number"},
        {"generator: {temperature: 1e999}", "'1e999' is not a number"},
        {"data: {shuffle: yes}", "data.shuffle: 'yes' is not a flag; allowed: true, false"},
        {"run: {name: ''}", "run.name: '' is too long or too short"},
        {"run: {name: a/b}", "run.name: 'a/b' is not a name"},
        {"model: {path: \"a\\nb\"}", "has a control character"},
        {"learner: {listen: localhost}",
         "learner.listen: 'localhost': no port; an address is host:port"},
        {"learner: {optimizer: {betas: 0.9}}",
         "learner.optimizer.betas: 'text' is not a pair; allowed: a list of two"},
        {"learner: {optimizer: {betas: [0.9, 1]}}",
         "'1' is out of range; allowed: a list of two numbers from 0, below 1"},
        {"learner: {optimizer: {betas: [0.9, 0.9, 0.9]}}", "is not a pair"},
        {"rewarder: {scorers: exact}",
         "rewarder.scorers: is text; allowed: a list of up to 16 maps"},
        {"rewarder:\n  scorers:\n    - kind: exact\n    - weight: 1\n",
         "ring.yaml:4: rewarder.scorers[1]: the entry has no kind"},
        {"rewarder: {scorers: [exact]}", "rewarder.scorers[0]: text is not a map"},
        {"generator: {stop: {a: b}}",
         "generator.stop: 'a map' is not such a list; allowed: a list"},
        {"generator: {stop: [a, [b]]}", "generator.stop: 'a list' is not a text"},
        {"generator: {stop: [a, \"\"]}", "'' is too long or too short"},
        {"generator: {stop: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "up to 16 texts"},
        {"lag: {\"a\\nb\": 1}", "ring.yaml:1: lag.a b: no such key"},
        {"rewarder: {scorers: [{kind: length, weight: x}]}",
         "rewarder.scorers[0].weight: 'x' is not a number"},
        {"rewarder: {scorers: [{kind: a, b: [[[[[[[[1]]]]]]]]}]}",
         "rewarder.scorers[0]: a map nested more than 8 deep"},
        {"rewarder: {reference: [frozen]}",
         "rewarder.reference: 'a list' is no stage; allowed: none, frozen, or a map with kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, refuse(cases[i].text));
}

static void lists_of_texts(void **state)
{
    (void)state;
    SCOPED(recipe) r = NULL;
    const char *sets[] = {"generator.stop=[x]", "generator.stop=[\"\\n\\n\", 'a\"b', '7']",
                          "generator.stop_tokens=<|im_end|>"};
    struct recipe_source source = {.sets = sets, .sets_count = 3};
    assert_ok(recipe_parse("", 0, "ring.yaml", ".", &source, &r));
    assert_int_equal(r->generator.stop.count, 3); // the later replaces
    assert_string_equal(r->generator.stop.at[0], "\n\n");
    assert_string_equal(r->generator.stop.at[1], "a\"b");
    assert_int_equal(r->generator.stop_tokens.count, 1); // one text stands for a list of one
    assert_string_equal(r->generator.stop_tokens.at[0], "<|im_end|>");
    SCOPED_VALUE(bytes) yaml = {0};
    SCOPED(recipe) again = NULL;
    recipe_render(r, &yaml);
    assert_ok(recipe_parse((char *)yaml.data, yaml.len, "again", ".", NULL, &again));
    assert_string_equal(again->generator.stop.at[0], "\n\n");
}

static void yaml_beyond_maps_lists_and_text_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"run: {seed: 1}\nrun: {seed: 2}\n", "ring.yaml:2: 'run' is given twice"},
        {"run: {seed: 1, seed: 1}", "ring.yaml:1: 'seed' is given twice"},
        {"run: &a {seed: 1}", "anchors (&name) are not allowed"},
        {"run: {name: &a x}", "anchors (&name) are not allowed"},
        {"run: {seed: *a}", "aliases (*name) are not allowed"},
        {"run: {seed: !!int 1}", "tags (!name) are not allowed"},
        {"run: !x {seed: 1}", "tags (!name) are not allowed"},
        {"---\nrun: {seed: 1}\n---\nlag: {max: 1}\n", "ring.yaml:3: a second document"},
        {"? [a]\n: 1\n", "a key must be plain text"},
        {"run: {name: \"a\\0b\"}", "text with a NUL character"},
        {"run: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "nested more than 16 deep"},
        {"\nrun: {seed: 1",
         "did not find expected ',' or '}', while parsing a flow mapping from line 2"},
        {"run:\n\tseed: 1\n", "ring.yaml:2: not YAML: "},
        {"run: {name: \xff\xfe}", "not YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, refuse(cases[i].text));
    SCOPED_VALUE(bytes) many = {0};
    for (int i = 0; i < 1025; i++)
        bytes_printf(&many, "k%d: 1\n", i);
    assert_err(ERR_INVALID, "more than 1024 members", refuse((char *)many.data));
    bytes_clear(&many);
    bytes_extend(&many, (1 << 20) + 1);
    SCOPED(recipe) none = NULL;
    assert_err(ERR_INVALID, "1 MiB",
               recipe_parse((char *)many.data, many.len, "ring.yaml", ".", NULL, &none));
}

static void options_are_checked_against_each_other(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"lag: {max: 4}\nlearner: {groups: 64}\nreplay:\n  max_groups: 319\n",
         "ring.yaml:4: replay.max_groups: 319 is too few; it must be at least (lag.max + 1) * learner.groups = (4 + 1) * "
         "64 = 320"},
        {"lag: {max: 1}\npublish: {every: 3}",
         "ring.yaml:2: publish.every: 3 is too seldom; it must be at most lag.max + 1 = 2"},
        {"generator: {num_generations: 1}",
         "ring.yaml:1: generator.num_generations: 1 is too few; learner.objective rloo"},
        {"learner: {groups: 2, updates_per_round: 3}", "learner.updates_per_round: 3 is too many"},
        {"learner: {cpus: '0-'}", "learner.cpus: '0-' is no list of cores; allowed: numbers"},
        {"run: {rounds: 0}", "run.rounds: 0, and data.epochs is 0 too"},
        {"sft: {steps: 0}", "sft.steps: 0, and sft.epochs is 0 too"},
        {"eval: {every: 5}", "eval.every: 5 needs data.eval"},
        {"learner: {listen: '0.0.0.0:7003'}",
         "learner.listen: '0.0.0.0:7003' is open beyond this machine without TLS"},
        {"rewarder: {listen: '127.0.0.1:65500'}",
         "rewarder.listen: '127.0.0.1:65500' leaves no room for rewarder.probes at port + 100; "
         "allowed: ports up to 65435, or an address of its own there"},
        {"learner: {metrics: '0.0.0.0:9000'}",
         "learner.metrics: '0.0.0.0:9000' is open beyond this machine without TLS"},
        {"learner: {admin: '0.0.0.0:9000'}", "learner.admin: '0.0.0.0:9000' is open beyond"},
        {"generator: {probes: 'x'}", "generator.probes: 'x': no port"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, refuse(cases[i].text));
    SCOPED(recipe) r = NULL, *q = NULL, *s = NULL;
    assert_ok(parse("net: {insecure: true}\nlearner: {listen: '[::]:7003'}", &r));
    assert_ok(parse("learner: {objective: sft}\ngenerator: {num_generations: 1}", &q));
    SCOPED(recipe) p = NULL, *o = NULL; // a word to anybody; ports of their own need no room above
    assert_ok(parse("learner: {probes: '0.0.0.0:7103'}", &p));
    assert_ok(parse("learner: {listen: '127.0.0.1:65530', admin: '127.0.0.1:1',"
                    " probes: '127.0.0.1:2', metrics: '127.0.0.1:3'}",
                    &o));
    assert_ok(parse("run: {rounds: 0}\ndata: {epochs: 2}", &s));
    assert_err(ERR_INVALID, "ring.yaml: replay.max_groups: 4096 is too few",
               refuse("learner: {groups: 4096}")); // a default has no line of its own
}

static void overrides_win_and_are_checked_alike(void **state)
{
    (void)state;
    const char *sets[] = {
        "lag.max=3",
        "learner.optimizer.betas=[0.8, 0.95]",
        "run.name=z",
        "run.name=x",
        "learner.kl={coef: 0.5, place: reward}",
        "rewarder.reference=frozen",
        "rewarder.scorers=[{kind: rouge, column: c}, {kind: length, min: 1, max: 9}]",
        "model.path=",
    };
    struct recipe_source source = {.sets = sets, .sets_count = sizeof sets / sizeof *sets};
    SCOPED(recipe) r = NULL;
    assert_ok(recipe_parse(full, strlen(full), "ring.yaml", ".", &source, &r));
    assert_int_equal(r->lag.max, 3);
    assert_near(r->learner.optimizer.betas.at[0], 0.8, 0);
    assert_near(r->learner.optimizer.lr, 3e-4, 0);
    assert_string_equal(r->run.name, "x");
    assert_near(r->learner.kl.coef, 0.5, 0);
    assert_int_equal(r->learner.kl.place, RECIPE_KL_IN_REWARD);
    assert_string_equal(r->learner.kl.estimator, "k3");
    assert_int_equal(r->rewarder.scorers.count, 2);
    assert_string_equal(yaml_tree_member(r->rewarder.scorers.at[1].entry, "max")->text, "9");
    assert_string_equal(r->model.path, "");
    assert_err(ERR_INVALID,
               "learner.kl.coef: 0.5 needs reference_logp, the log-probability of the token under "
               "the frozen reference model; set rewarder.reference: frozen, or coef to 0",
               override("learner.kl.coef=0.5"));
    assert_err(ERR_INVALID, "online_dpo needs reference_logp",
               override("learner.objective=online_dpo"));
    assert_err(ERR_INVALID, "learner.epochs: 2 does not divide learner.updates_per_round = 1",
               override("learner.epochs=2"));
    assert_err(ERR_INVALID, "--set: lag.max: '-1' is out of range", override("lag.max=-1"));
    assert_err(ERR_INVALID, "--set: lag.mx: no such key; did you mean 'lag.max'?",
               override("lag.mx=1"));
    assert_err(ERR_INVALID, "did you mean 'learner'?", override("lerner.groups=1"));
    assert_err(ERR_INVALID, "did you mean 'learner.optimizer'?",
               override("learner.optimiser.lr=1"));
    assert_err(ERR_INVALID, "did you mean 'learner.optimizer.lr'?",
               override("learner.optimizer.l=1"));
    assert_err(ERR_INVALID, "'lag.max' has no keys below it", override("lag.max.x=1"));
    assert_err(ERR_INVALID, "'lag.max' has no '='", override("lag.max"));
    assert_err(ERR_INVALID, "--set: data.prompt_column: the text is not UTF-8",
               override("data.prompt_column=\xc0\x80"));
    assert_err(ERR_INVALID, "--set: lag: text is not a map", override("lag=3"));
    assert_err(ERR_INVALID, "--set: : no such key", override("=3"));
    assert_err(ERR_INVALID, "--set: lag.max: '' is not a whole number", override("lag.max="));
    assert_err(ERR_INVALID, "--set: publish.every: 9 is too seldom", override("publish.every=9"));
    assert_err(ERR_INVALID, "not YAML", override("learner.optimizer.betas=[0.9"));
}

static void write_text(const char *path, const char *text)
{
    assert_ok(file_write(path, text, strlen(text)));
}

static void paths_are_looked_up_in_the_run_then_beside_the_recipe(void **state)
{
    (void)state;
    const char *beside = testing_directory(), *run = testing_directory();
    SCOPED_MEM char *file = file_join(beside, "r.yaml"), *in_run = file_join(run, "here.jsonl");
    SCOPED_MEM char *train = file_join(beside, "there.jsonl"), *out = file_join(run, "sft");
    SCOPED_MEM char *model = file_join(beside, "sft");
    write_text(
        file,
        "model: {path: sft}\ndata: {train: there.jsonl, eval: here.jsonl}\nsft: {data: /abs}");
    write_text(in_run, "{}");
    struct recipe_source source = {.file = file, .run = run};
    SCOPED(recipe) r = NULL, *q = NULL;
    assert_ok(recipe_read(&source, &r));
    assert_string_equal(r->data.eval, in_run);
    assert_string_equal(r->data.train.at[0].path, train);
    assert_string_equal(r->sft.data.at[0].path, "/abs");
    assert_string_equal(r->sft.output, out); // where model.path will be found once it is there
    assert_string_equal(r->model.path, model);
    assert_string_equal(r->directory, run);
    source.run = NULL;
    assert_ok(recipe_read(&source, &q));
    assert_string_equal(q->sft.output, model);
    assert_string_equal(q->directory, "");
    source.file = "/nowhere/r.yaml";
    SCOPED(recipe) none = NULL;
    assert_err(ERR_NOT_FOUND, "/nowhere/r.yaml", recipe_read(&source, &none));
    assert_null(none);
}

/* Reading what was rendered renders the same again. */
static void a_rendered_recipe_is_the_same_recipe(void **state)
{
    (void)state;
    const char *sets[] = {
        "learner.optimizer.lr=0.1234567890123456789",
        "data.prompt_column=a \"b\" \\ {c}: #d\n\te\u00e9\u2028\ufeff\U0001f600",
        "run.seed=9007199254740992",
        "rewarder.scorers=[{kind: regex, pattern: \"^\\\\d+$\", unit: characters}]"};
    struct recipe_source source = {.sets = sets, .sets_count = 4};
    SCOPED(recipe) r = NULL, *again = NULL;
    assert_ok(recipe_parse(full, strlen(full), "ring.yaml", "/recipes", &source, &r));
    SCOPED_VALUE(bytes) first = {0}, second = {0};
    recipe_render(r, &first);
    assert_ok(
        recipe_parse((char *)first.data, first.len, "again.yaml", "/elsewhere", NULL, &again));
    recipe_render(again, &second);
    assert_string_equal(first.data, second.data);
    assert_string_equal(again->data.prompt_column,
                        "a \"b\" \\ {c}: #d\n\te\u00e9\u2028\ufeff\U0001f600");
    assert_true(again->run.seed == INT64_C(1) << 53);
    assert_true(again->learner.optimizer.lr == 0.1234567890123456789);
    const struct yaml_tree *entry = again->rewarder.scorers.at[0].entry;
    assert_string_equal(yaml_tree_member(entry, "pattern")->text, "^\\d+$");
    assert_true(yaml_tree_member(entry, "pattern")->quoted);
    assert_string_equal(yaml_tree_member(entry, "unit")->text, "characters");
    SCOPED_MEM char *value = NULL;
    assert_ok(recipe_get(again, "learner.optimizer.betas", &value));
    assert_string_equal(value, "[0.9, 0.99]");
    char *none = NULL;
    assert_err(ERR_INVALID, "did you mean 'lag.max'?", recipe_get(again, "lag.mx", &none));
    assert_ok(recipe_require(again, "model.path"));
    assert_err(ERR_INVALID, "again.yaml: sft.data is not set: demonstrations",
               recipe_require(again, "sft.data"));
}

/* Bytes of a good recipe changed at random: read or refused, never worse. Meant for the
 * sanitizers. */
static void damaged_recipes_are_read_or_refused(void **state)
{
    (void)state;
    struct rng rng = rng_keyed(7, RNG_TEST, 0, 0);
    uint64_t draw = 0;
    int refused = 0;
    for (int i = 0; i < 2000; i++) {
        SCOPED_MEM char *text = mem_string(full);
        size_t len = rng_below(&rng, draw++, sizeof full);
        for (int j = 0; j < 3 && len; j++)
            text[rng_below(&rng, draw, len)] = (char)rng_u64(&rng, draw + 1), draw += 2;
        SCOPED(recipe) r = NULL;
        err_t e = recipe_parse(text, len, "x", ".", NULL, &r);
        assert_true(err_failed(e) == !r);
        assert_true(!err_failed(e) || err_code(e) == ERR_INVALID);
        assert_null(strchr(err_message(e), '\n'));
        refused += err_failed(e);
        err_free(e);
    }
    assert_in_range(refused, 1000, 1999);
}

static void the_recipes_of_the_examples_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *file, *name;
    } examples[] = {{"sort/recipe", "sort"},           {"tldr/recipe", "tldr"},
                    {"sentiment/recipe", "sentiment"}, {"sentiment/reward", "sentiment-reward"},
                    {"tldr/reward", "tldr-reward"},    {"tldr/rlhf", "tldr-rlhf"}};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        SCOPED_MEM char *file =
            mem_printf("%s/../../examples/%s.yaml", TEST_GOLDEN, examples[i].file);
        SCOPED(recipe) r = NULL;
        assert_ok(recipe_read(&(struct recipe_source){.file = file}, &r));
        assert_string_equal(r->run.name, examples[i].name);
    }
}

/* load(words...) as a command line of rlhfd-learner, with flags of its own. */
static struct {
    const char *job, *words[2];
    size_t words_count;
    bool dry;
} line;

static err_t load(const char *const *words, struct recipe **ret)
{
    line = (typeof(line)){0};
    struct recipe_flag flags[] = {
        {.name = "job", .argument = "KIND", .help = "run one job", .text = &line.job},
        {.name = "dry", .help = "do nothing", .flag = &line.dry}};
    struct recipe_cli cli = {.program = "rlhfd-learner",
                             .purpose = "Trains.",
                             .flags = flags,
                             .flags_count = 2,
                             .recipe_optional = true,
                             .positional_help = "WORD...",
                             .positional = line.words,
                             .positional_max = 2,
                             .positional_count = &line.words_count};
    char *argv[16] = {"rlhfd-learner"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    return recipe_load(&cli, argc, argv, ret);
}
#define LOAD(ret, ...) load((const char *const[]){__VA_ARGS__, NULL}, ret)

static void the_command_line_is_read(void **state)
{
    (void)state;
    const char *run = testing_directory();
    SCOPED_MEM char *file = file_join(run, "r.yaml");
    write_text(file, "run: {name: from-file}");
    SCOPED(recipe) r = NULL, *none = NULL;
    assert_ok(LOAD(&r, "--set", "lag.max=2", file, "--job", "sft", "one", "--dry", "--run", run,
                   "--set=lag.straggler=drop", "--", "--two"));
    assert_string_equal(r->run.name, "from-file");
    assert_int_equal(r->lag.max, 2);
    assert_int_equal(r->lag.straggler, RECIPE_STRAGGLER_DROP);
    assert_string_equal(line.job, "sft");
    assert_true(line.dry);
    assert_int_equal(line.words_count, 2);
    assert_string_equal(line.words[0], "one");
    assert_string_equal(line.words[1], "--two");
    assert_err(ERR_INVALID, "no such flag: '--jbo'; did you mean '--job'?",
               LOAD(&none, "--jbo", "x"));
    assert_err(ERR_INVALID, "no such flag: '-x'", LOAD(&none, "-x"));
    assert_err(ERR_INVALID, "nothing follows '--set'", LOAD(&none, "--set"));
    assert_err(ERR_INVALID, "takes no value: '--dry=1'", LOAD(&none, "--dry=1"));
    assert_err(ERR_INVALID, "one word too many: 'c'", LOAD(&none, file, "a", "b", "c"));
    assert_err(ERR_INVALID, "--set: lag.max", LOAD(&none, "--set", "lag.max=x"));
    assert_null(none);
}

TESTS(cmocka_unit_test(the_full_example_is_read),
      cmocka_unit_test(an_empty_recipe_has_the_defaults),
      cmocka_unit_test(errors_name_file_line_key_and_what_is_allowed),
      cmocka_unit_test(lists_of_texts),
      cmocka_unit_test(yaml_beyond_maps_lists_and_text_is_refused),
      cmocka_unit_test(options_are_checked_against_each_other),
      cmocka_unit_test(overrides_win_and_are_checked_alike),
      cmocka_unit_test(paths_are_looked_up_in_the_run_then_beside_the_recipe),
      cmocka_unit_test(a_rendered_recipe_is_the_same_recipe),
      cmocka_unit_test(damaged_recipes_are_read_or_refused),
      cmocka_unit_test(the_recipes_of_the_examples_are_read),
      cmocka_unit_test(the_command_line_is_read))
