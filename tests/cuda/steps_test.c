/* Steps given to the device as graphs: the same bits as without, a graph for what comes again, and
 * all ways out of a step that is half collected. */
#include "cuda/module.h"
#include "cuda_emu_count.h"
#include "model/engine/engine.h"
#include "unit/model/refreshing.h"
#include <dlfcn.h>
#include <pthread.h>

enum { SLOTS = 5, TOKENS = 24, REQUESTS = 3, COUNT = 1000, LENGTH = 280 };

static struct backend *open_with(const char *graphs, const char *fail)
{
    setenv("RLHFD_CUDA_GRAPHS", graphs, 1);
    setenv("CUDA_EMU_FAIL", fail, 1);
    struct backend *be = cuda_module_open();
    unsetenv("RLHFD_CUDA_GRAPHS");
    return be;
}

static bool counts; // the module is the emulator, which counts the host's calls

static uint64_t host_launches(void)
{
    const char *path = getenv("RLHFD_BACKEND");
    void *module = dlopen(path ? path : TEST_BIN "/librlhfd_cuda_emu.so", RTLD_NOW | RTLD_NOLOAD);
    void (*ask)(struct cuda_emu_calls *) = NULL;
    struct cuda_emu_calls ret = {0};
    assert_non_null(module);
    *(void **)&ask = dlsym(module, "cuda_emu_calls");
    counts = ask != NULL;
    if (counts)
        ask(&ret);
    dlclose(module);
    return ret.launches;
}

/* ---- decoding */

struct decoded {
    int32_t token[REQUESTS][2][TOKENS];
    float logp[REQUESTS][2][TOKENS];
    struct backend_steps steps;
    uint64_t decode_steps, launches; // steps of one token for each sequence, with the host's calls
};

static void admit(struct engine *engine, uint64_t tag)
{
    static const int prompts[REQUESTS] = {20, 55, 245}; // over a page's end, and over a chunk's
    int32_t token[LENGTH];
    const int prompt = prompts[tag];
    const struct rng rng = rng_keyed(tag, RNG_TEST, 0, 0);
    for (int i = 0; i < prompt; i++)
        token[i] = (int32_t)rng_below(&rng, (uint64_t)i, V);
    const struct engine_request request = {
        .tag = tag,
        .prompt = token,
        .prompt_tokens = prompt,
        .completions = 1 + (tag == 1),
        .max_tokens = TOKENS,
        .sampling = {
            .temperature = 1, .seed = 3, .prompt = tag, .repetition_penalty = tag == 2 ? 1.2 : 1}};
    assert_ok(engine_admit(engine, &request));
}

static void keep(struct decoded *to, const struct engine_completion *c)
{
    assert_int_equal(c->tokens, TOKENS);
    memcpy(to->token[c->tag][c->completion], c->token, sizeof to->token[0][0]);
    memcpy(to->logp[c->tag][c->completion], c->logp, sizeof to->logp[0][0]);
}

/* Three prompts, one of them twice. */
static struct decoded *decode(struct backend *be)
{
    struct decoded *ret = mem_new(sizeof *ret);
    const struct model_config config = config_default(V, 64, 100, 2, 4, 2, LENGTH, true);
    SCOPED(model) model = compact_of(be, &config, 5);
    SCOPED(engine) engine = NULL;
    const struct engine_config settings = {.slots = SLOTS, .max_context = LENGTH, .step_rows = 64};
    assert_ok(engine_new(model, &settings, &engine));
    for (uint64_t tag = 0; tag < REQUESTS; tag++)
        admit(engine, tag);
    while (engine_active(engine)) {
        const struct engine_completion *finished;
        int count;
        const uint64_t before = host_launches(), steps = be->steps.by_graph;
        assert_ok(engine_step(engine, &finished, &count));
        if (be->steps.by_graph > steps) {
            ret->decode_steps++;
            ret->launches += host_launches() - before;
        }
        for (int i = 0; i < count; i++)
            keep(ret, &finished[i]);
    }
    ret->steps = be->steps;
    return ret;
}

static void assert_same(const struct decoded *a, const struct decoded *b)
{
    assert_memory_equal(a->token, b->token, sizeof a->token);
    assert_memory_equal(a->logp, b->logp, sizeof a->logp);
}

static void graphs_have_the_bits_of_launches(void **state)
{
    (void)state;
    struct decoded *plain = NULL, *graphs = NULL;
    for (int seed = 0; seed < 2; seed++) {
        cuda_module_seed(seed ? "7" : "0");
        SCOPED(backend) without = open_with("0", "");
        struct decoded *a = decode(without);
        assert_int_equal(a->steps.steps, 0);
        SCOPED(backend) with = open_with("1", "");
        struct decoded *b = decode(with);
        assert_same(a, b);
        assert_true(!plain || !memcmp(plain->token, a->token, sizeof a->token));
        const struct backend_steps *s = &b->steps;
        print_message("%llu steps of %llu launches, %llu by a graph, %llu graphs made; the host's "
                      "calls in one of those: %.1f\n",
                      (unsigned long long)s->steps, (unsigned long long)(s->launches / s->steps),
                      (unsigned long long)s->by_graph, (unsigned long long)s->made,
                      (double)b->launches / (double)b->decode_steps);
        assert_true(s->by_graph > s->steps / 2); // though every shape comes twice first
        if (counts)
            assert_int_equal(b->launches, b->decode_steps);
        assert_string_equal(s->plain, "");
        mem_free(plain);
        mem_free(graphs);
        plain = a;
        graphs = b;
    }
    mem_free(plain);
    mem_free(graphs);
    cuda_module_seed("0");
}

static void without_capture_steps_are_launched(void **state)
{
    (void)state;
    SCOPED(backend) good = open_with("1", "");
    struct decoded *a = decode(good);
    if (!counts) {
        mem_free(a);
        skip();
    }
    SCOPED(backend) bad = open_with("1", "graphs");
    struct decoded *b = decode(bad);
    assert_same(a, b);
    assert_int_equal(b->steps.by_graph, 0);
    assert_non_null(
        strstr(b->steps.plain, "a step could not be captured: operation not supported"));
    mem_free(a);
    mem_free(b);
    setenv("CUDA_EMU_FAIL", "", 1);
}

/* ---- single ops */

struct arrays {
    struct backend *be;
    float *x, *y;
    float host[COUNT];
};

static int open_arrays(void **state)
{
    struct arrays *a = mem_new(sizeof *a);
    a->be = open_with("1", "");
    assert_ok(a->be->ops->memory_new(a->be, COUNT * sizeof(float), (void **)&a->x));
    assert_ok(a->be->ops->memory_new(a->be, COUNT * sizeof(float), (void **)&a->y));
    for (int i = 0; i < COUNT; i++)
        a->host[i] = 1;
    assert_ok(a->be->ops->put(a->be, a->x, a->host, sizeof a->host));
    *state = a;
    return 0;
}

static int close_arrays(void **state)
{
    struct arrays *a = *state;
    a->be->ops->memory_free(a->be, a->x);
    a->be->ops->memory_free(a->be, a->y);
    backend_free(a->be);
    mem_free(a);
    return 0;
}

static float first_of(struct arrays *a, const float *at)
{
    float ret = -1;
    assert_ok(a->be->ops->get(a->be, &ret, at, sizeof ret));
    return ret;
}

/* y += x on the first `count`, as a step. */
static void add_step(struct arrays *a, size_t count)
{
    assert_ok(a->be->ops->step_begin(a->be));
    assert_ok(a->be->ops->add(a->be, a->y, a->x, count));
    assert_ok(a->be->ops->step_end(a->be));
}

/* More lists than graphs are kept: the oldest becomes the newest's. A list of another make is no
 * change of it, so a graph is made anew. */
static void kept_graphs_are_bounded(void **state)
{
    struct arrays *a = *state;
    const struct backend_steps *s = &a->be->steps;
    enum { LISTS = 40, KEPT = 32 };
    for (size_t i = 1; i <= LISTS; i++)
        for (int again = 0; again < 2; again++)
            add_step(a, i);
    assert_int_equal(s->made, KEPT);
    assert_int_equal(s->changed, LISTS - KEPT);
    assert_int_equal(s->by_graph, LISTS);
    add_step(a, LISTS); // one that is there
    assert_int_equal(s->by_graph, LISTS + 1);
    assert_int_equal(s->made + s->changed, LISTS);
    add_step(a, 1); // one that went, whose name is known
    assert_int_equal(s->changed, LISTS - KEPT + 1);
    for (int again = 0; again < 2; again++) {
        assert_ok(a->be->ops->step_begin(a->be));
        assert_ok(a->be->ops->copy(a->be, a->y, a->x, 4));
        assert_ok(a->be->ops->zero(a->be, a->y + 1, 4));
        assert_ok(a->be->ops->step_end(a->be));
    }
    assert_int_equal(s->made, KEPT + 1);
    assert_true(first_of(a, a->y) == 1.0f && first_of(a, a->y + 1) == 0.0f);
}

static void nothing_happens_before_the_end(void **state)
{
    struct arrays *a = *state;
    const uint64_t before = host_launches();
    for (int again = 0; again < 3; again++) {
        assert_ok(a->be->ops->step_begin(a->be));
        assert_ok(a->be->ops->add(a->be, a->y, a->x, COUNT));
        assert_ok(a->be->ops->scale(a->be, a->y, 2, COUNT));
        if (counts)
            assert_int_equal(host_launches() - before, again ? again + 1 : 0);
        assert_ok(a->be->ops->step_end(a->be));
    }
    if (counts)
        assert_int_equal(host_launches() - before, 4); // two by themselves, then one and one
    assert_true(first_of(a, a->y) == 14.0f);
}

/* An op that reads or makes memory ends the step, and what follows is not part of one. */
static void a_read_ends_the_step(void **state)
{
    struct arrays *a = *state;
    const float two = 2;
    void *memory = NULL;
    assert_ok(a->be->ops->step_begin(a->be));
    assert_ok(a->be->ops->put(a->be, a->x, &two, sizeof two));
    assert_ok(a->be->ops->add(a->be, a->y, a->x, 1));
    assert_true(first_of(a, a->y) == 2.0f);
    assert_ok(a->be->ops->add(a->be, a->y, a->x, 1));
    assert_ok(a->be->ops->step_end(a->be));
    assert_int_equal(a->be->steps.steps, 1);
    assert_true(first_of(a, a->y) == 4.0f);
    assert_ok(a->be->ops->step_begin(a->be));
    assert_ok(a->be->ops->add(a->be, a->y, a->x, 1));
    assert_ok(a->be->ops->memory_new(a->be, 64, &memory));
    assert_int_equal(a->be->steps.steps, 2);
    assert_ok(a->be->ops->step_begin(a->be));
    assert_ok(a->be->ops->add(a->be, a->y, a->x, 1));
    a->be->ops->memory_free(a->be, memory);
    assert_int_equal(a->be->steps.steps, 3);
    assert_true(first_of(a, a->y) == 8.0f);
}

/* Values of the host are those of the moment of the call, in each step anew. */
static void arrays_of_the_host_are_taken_at_once(void **state)
{
    struct arrays *a = *state;
    for (int step = 0; step < 5; step++) {
        int32_t row[2] = {step, step + 1};
        float value = (float)step;
        float got[2];
        assert_ok(a->be->ops->step_begin(a->be));
        assert_ok(a->be->ops->put(a->be, a->x + step, &value, sizeof value));
        assert_ok(a->be->ops->gather(a->be, a->y, a->x, row, 2, 1));
        row[0] = row[1] = 999;
        value = 77;
        assert_ok(a->be->ops->step_end(a->be));
        assert_ok(a->be->ops->get(a->be, got, a->y, sizeof got));
        assert_true(got[0] == (float)step && got[1] == 1.0f);
    }
}

/* Steps that do not wait for each other: each has its own values. */
static void steps_follow_each_other(void **state)
{
    struct arrays *a = *state;
    float got[COUNT];
    for (int step = 0; step < 20; step++) {
        const float value = (float)step;
        assert_ok(a->be->ops->step_begin(a->be));
        assert_ok(a->be->ops->put(a->be, a->x + step, &value, sizeof value));
        assert_ok(a->be->ops->step_end(a->be));
    }
    assert_ok(a->be->ops->get(a->be, got, a->x, sizeof got));
    for (int i = 0; i < COUNT; i++)
        assert_true(got[i] == (i < 20 ? (float)i : 1.0f));
}

/* An array without room ends the step; the next step has room for one more. */
static void large_arrays_come_all_the_same(void **state)
{
    struct arrays *a = *state;
    enum { LARGE = 700 << 10 };
    char *host = mem_new(LARGE), *got = mem_new(LARGE);
    void *there = NULL;
    assert_ok(a->be->ops->memory_new(a->be, LARGE, &there));
    for (int step = 0; step < 3; step++) {
        assert_ok(a->be->ops->step_begin(a->be));
        for (int put = 0; put < 3; put++) {
            memset(host, 10 * step + put, LARGE);
            assert_ok(a->be->ops->put(a->be, there, host, LARGE));
        }
        assert_ok(a->be->ops->step_end(a->be));
        assert_int_equal(a->be->steps.launches, (step + 1) * (step + 2) / 2);
        assert_ok(a->be->ops->get(a->be, got, there, LARGE));
        assert_memory_equal(host, got, LARGE);
    }
    a->be->ops->memory_free(a->be, there);
    mem_free(host);
    mem_free(got);
}

static void *read_often(void *arg)
{
    struct arrays *a = arg;
    for (int i = 0; i < 50; i++)
        if (first_of(a, a->x) != 1.0f)
            return arg;
    return NULL;
}

/* The other thread neither ends the owner's step nor sees into it. */
static void another_thread_reads(void **state)
{
    struct arrays *a = *state;
    void *wrong = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_often, a), 0);
    for (int i = 0; i < 50; i++)
        add_step(a, COUNT);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    assert_int_equal(a->be->steps.by_graph, 49);
    assert_true(first_of(a, a->y) == 50.0f);
}

static void a_second_backend_ends_the_step(void **state)
{
    struct arrays *a = *state;
    SCOPED(backend) other = open_with("1", "");
    assert_ok(a->be->ops->step_begin(a->be));
    assert_ok(a->be->ops->add(a->be, a->y, a->x, COUNT));
    assert_ok(other->ops->step_begin(other));
    assert_int_equal(a->be->steps.steps, 1);
    assert_ok(a->be->ops->step_end(a->be));
    assert_ok(other->ops->step_end(other));
    assert_int_equal(other->steps.steps, 0); // an empty one
    assert_true(first_of(a, a->y) == 1.0f);
}

static void refused(void **state)
{
    (void)state;
    struct backend *be = NULL;
    const char *path = getenv("RLHFD_BACKEND");
    setenv("RLHFD_CUDA_GRAPHS", "yes", 1);
    assert_err(ERR_INVALID, "RLHFD_CUDA_GRAPHS=yes: 0 or 1",
               backend_open(path ? path : TEST_BIN "/librlhfd_cuda_emu.so",
                            &(struct backend_config){.threads = 1}, &be));
    unsetenv("RLHFD_CUDA_GRAPHS");
}

#define WITH_ARRAYS(test) cmocka_unit_test_setup_teardown(test, open_arrays, close_arrays)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_have_the_bits_of_launches),
        cmocka_unit_test(without_capture_steps_are_launched),
        WITH_ARRAYS(kept_graphs_are_bounded),
        WITH_ARRAYS(nothing_happens_before_the_end),
        WITH_ARRAYS(a_read_ends_the_step),
        WITH_ARRAYS(arrays_of_the_host_are_taken_at_once),
        WITH_ARRAYS(steps_follow_each_other),
        WITH_ARRAYS(large_arrays_come_all_the_same),
        WITH_ARRAYS(another_thread_reads),
        WITH_ARRAYS(a_second_backend_ends_the_step),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
