/* Weights that a fault of memory changed are not published: found by the changes since the version
 * before, and by a sum of all values where there are none. */
#include "base/mem.h"
#include "learner/publish/publish.h"
#include "learner/train/fault.h"
#include "tensor/digest.h"
#include "unit/model/tiny.h"

struct bench {
    struct recipe *recipe;
    struct loop *loop;
    struct backend *be;
    struct model *model;
    struct publish *publish;
    struct digest digest; // as training keeps it
    uint64_t version;
};

static void open_bench(struct bench *b, const char *settings)
{
    *b = (struct bench){.be = tiny_backend(1)};
    const struct model_config config = tiny_config(true);
    const struct recipe_source source = {0};
    SCOPED_MEM char *text = mem_printf("publish: {%s}\n", settings);
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &b->recipe));
    assert_ok(model_new(b->be, &config, 3, &b->model));
    assert_ok(loop_new(&b->loop));
    const struct publish_options options = {
        .loop = b->loop, .recipe = b->recipe, .layout = b->model->params->layout};
    assert_ok(publish_open(&options, &b->publish));
    b->digest = weights_digest_of(b->model);
}

static void close_bench(struct bench *b)
{
    loop_run_posted(b->loop);
    publish_free(b->publish);
    loop_free(b->loop);
    model_free(b->model);
    backend_free(b->be);
    recipe_free(b->recipe);
}

/* An update changes some values, and the digest with them. */
static err_t publish_next(struct bench *b)
{
    b->version++;
    SCOPED_MEM bf16 *value = flat_of(b->model);
    for (size_t i = b->version; i < b->model->params->layout->elements; i += 97) {
        const bf16 now = (bf16)(value[i] + 1);
        b->digest = weights_digest_change(b->digest, i, value[i], now);
        set_weight(b->model, i, now);
    }
    const struct published what = {.version = b->version, .round = b->version, .digest = b->digest};
    err_t failed = publish_version(b->publish, b->model, &what);
    loop_run_posted(b->loop);
    return failed;
}

static const char *const settings[] = {
    "delta: true", "delta: false", "delta: true, anchor_every: 1", "delta: true, anchor_every: 0"};
enum { SETTINGS = sizeof settings / sizeof *settings };

static void sound_weights_go_out(void **state)
{
    (void)state;
    for (size_t s = 0; s < SETTINGS; s++) {
        struct bench b;
        open_bench(&b, settings[s]);
        for (int i = 0; i < 5; i++)
            assert_ok(publish_next(&b));
        close_bench(&b);
    }
}

static void a_changed_bit_stops_the_version(void **state)
{
    (void)state;
    for (size_t s = 0; s < SETTINGS; s++)
        for (int before = 0; before < 3; before++) { // versions published before the fault
            struct bench b;
            open_bench(&b, settings[s]);
            for (int i = 0; i < before; i++)
                assert_ok(publish_next(&b));
            SCOPED_MEM bf16 *value = flat_of(b.model);
            set_weight(b.model, 1234, value[1234] ^ 1 << 3);
            const struct restart start = {.origin = "checkpoints/v7"};
            err_t failed = fault_told(&start, publish_next(&b));
            SCOPED_MEM char *want = mem_printf("but version %d is", before + 1);
            assert_non_null(strstr(err_message(failed), "the weights in memory have digest"));
            assert_non_null(strstr(err_message(failed), "goes back to 'checkpoints/v7'"));
            assert_null(strchr(err_message(failed), '\n'));
            assert_err(ERR_DATA_LOSS, want, failed);
            close_bench(&b);
        }
}

TESTS(cmocka_unit_test(sound_weights_go_out), cmocka_unit_test(a_changed_bit_stops_the_version))
