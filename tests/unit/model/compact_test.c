/* A model that holds each weight once: the same bits out of half the memory. */
#include "refreshing.h"
#include "tiny.h"

/* The same weights in both forms. */
struct forms {
    struct backend *be;
    struct model *full, *compact;
    const char *directory;
};

static void forms_done(struct forms *f)
{
    model_free(f->full);
    model_free(f->compact);
    backend_free(f->be);
}

static struct forms forms_of(struct model_config config)
{
    struct forms f = {.be = tiny_backend(2), .directory = testing_directory()};
    assert_ok(model_new(f.be, &config, 3, &f.full));
    assert_ok(model_save(f.full, f.directory));
    assert_ok(model_load_compact(f.be, f.directory, &f.compact));
    assert_null(model_values(f.compact));
    return f;
}

/* Element by element, over any cut of the flat array. */
static void assert_same_by_parts(const struct model *full, const struct model *compact)
{
    const size_t elements = full->params->layout->elements;
    SCOPED_MEM bf16 *want = flat_of(full);
    SCOPED_MEM bf16 *got = mem_array(elements, sizeof *got);
    for (size_t step = elements; step > 100; step = step * 2 / 5) {
        memset(got, 0xff, elements * sizeof *got);
        for (size_t at = 0; at < elements; at += step)
            assert_ok(
                model_copy(compact, at, elements - at < step ? elements - at : step, got + at));
        assert_memory_equal(got, want, elements * sizeof *got);
    }
}

static void assert_same_logits(struct model *a, struct model *b)
{
    const int lengths[] = {9, 20};
    SCOPED(forward) one = NULL;
    SCOPED(forward) two = NULL;
    SCOPED_VALUE(tiny_batch) batch = tiny_batch_of(lengths, 0, 2, a->config.V, 1);
    assert_ok(forward_new(a, 64, 8, false, &one));
    assert_ok(forward_new(b, 64, 8, false, &two));
    tiny_forward(one, &batch);
    tiny_forward(two, &batch);
    SCOPED_MEM float *x = logits_of(a, one, batch.row, batch.rows);
    SCOPED_MEM float *y = logits_of(b, two, batch.row, batch.rows);
    assert_memory_equal(x, y, (size_t)batch.rows * (size_t)a->config.V * sizeof *x);
}

static void both_forms_compute_the_same(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        SCOPED_VALUE(forms) f = forms_of(tiny_config(tied));
        assert_same_by_parts(f.full, f.compact);
        assert_same_logits(f.full, f.compact);
        const struct params *params = f.compact->params;
        assert_int_equal(!model_tensor(f.compact, params->embed.weight), tied);
        assert_null(model_tensor(f.compact, params_layer(params, 0, PARAM_UP).weight));
    }
}

/* A matrix that is loaded in several pieces, the last of them short: 9000 * 64 elements. */
static void a_large_table_is_loaded_in_pieces(void **state)
{
    (void)state;
    SCOPED_VALUE(forms) f = forms_of(config_default(9000, 64, 48, 1, 2, 1, 32, true));
    assert_same_by_parts(f.full, f.compact);
    const size_t once = f.full->params->layout->elements * sizeof(bf16);
    assert_true(model_bytes(f.compact) < once + once / 100);
    assert_true(model_bytes(f.full) > 2 * once - once / 100);
}

static void new_weights_are_put(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        SCOPED_VALUE(forms) f = forms_of(tiny_config(tied));
        const struct layout *layout = f.full->params->layout;
        SCOPED(model) other = NULL;
        SCOPED_MEM bool *changed = mem_array((size_t)layout->count, sizeof *changed);
        assert_ok(model_new(f.be, &f.full->config, 4, &other));
        for (int i = 0; i < layout->count; i += 3)
            changed[i] = true;
        SCOPED_MEM bf16 *news = flat_of(other);
        assert_ok(model_put(f.full, news, changed));
        assert_ok(model_put(f.compact, news, changed));
        SCOPED_MEM bf16 *held = flat_of(f.full);
        for (int i = 0; i < layout->count; i++) {
            const struct layout_tensor *t = &layout->tensor[i];
            if (t->cols) // norms begin alike
                assert_int_equal(
                    !memcmp(held + t->offset, news + t->offset, t->count * sizeof(bf16)),
                    changed[i]);
        }
        assert_same_by_parts(f.full, f.compact);
        assert_same_logits(f.full, f.compact);
        assert_ok(model_put(f.compact, news, NULL));
        assert_same_logits(f.compact, other);
    }
}

static void a_compact_model_does_not_learn(void **state)
{
    (void)state;
    SCOPED_VALUE(forms) f = forms_of(tiny_config(true));
    const struct optimizer_config config = OPTIMIZER_DEFAULTS;
    SCOPED(forward) fw = NULL;
    SCOPED(optimizer) opt = NULL;
    assert_err(ERR_PRECONDITION, "no backward", forward_new(f.compact, 8, 8, true, &fw));
    assert_err(ERR_PRECONDITION, "no optimizer", optimizer_new(f.compact, &config, NULL, &opt));
    assert_err(ERR_PRECONDITION, "not written", model_write(f.compact, f.directory));
}

/* ---- new weights beside the steps, where memory is the host's and where it is not */

static struct backend *open_kind(const char *kind)
{
    struct backend *be = NULL;
    assert_ok(backend_open(kind, &(struct backend_config){.threads = 2}, &be));
    return be;
}

static void changes_are_brought_to_a_device(void **state)
{
    (void)state;
    SCOPED(backend) be = open_kind("opaque");
    changes_come_into_force_together(be);
    lists_that_are_there_come_into_force(be);
    versions_follow_at_once(be);
    what_is_not_listed_is_put(be);
}

/* A slice ends, and the next goes on where it did: the room is for more values than one takes. */
static void slices_join_up(void **state)
{
    (void)state;
    SCOPED(backend) be = open_kind("opaque");
    const struct model_config config = config_default(8192, 640, 640, 1, 4, 4, 64, false);
    SCOPED(model) model = compact_of(be, &config, 5);
    SCOPED(refresh) refresh = NULL;
    SCOPED_VALUE(news) news = news_of(model, 4, 17);
    bool there = false;
    int slices = 0;
    assert_ok(refresh_new(model, &refresh));
    refresh_begin(refresh, &(struct new_weights){news.flat, news.changed, news.marks});
    for (; !there; slices++)
        assert_ok(refresh_bring(refresh, &there));
    assert_ok(refresh_apply(refresh));
    SCOPED_MEM bf16 *got = flat_of(model);
    assert_memory_equal(got, news.flat, model->params->layout->elements * sizeof *got);
    assert_int_equal(refresh_figures(refresh).whole, 3); // norms: vectors are put
    assert_true(slices > 2);
}

static void the_hosts_memory_needs_no_lists(void **state)
{
    (void)state;
    SCOPED(backend) be = open_kind("cpu");
    const struct model_config config = config_of(true);
    SCOPED(model) model = compact_of(be, &config, 5);
    SCOPED(refresh) refresh = NULL;
    SCOPED_VALUE(news) news = news_of(model, 4, 40);
    bool there = false;
    assert_ok(refresh_new(model, &refresh));
    assert_int_equal(refresh_bytes(refresh), 0);
    refresh_begin(refresh, &(struct new_weights){news.flat, news.changed, news.marks});
    assert_ok(refresh_bring(refresh, &there));
    assert_true(there);
    assert_ok(refresh_apply(refresh));
    assert_holds(model, news.flat);
    assert_int_equal(refresh_figures(refresh).listed, 0);
    refresh_begin(refresh, &(struct new_weights){0}); // those in force are the new ones
    assert_ok(refresh_bring(refresh, &there));
    assert_true(there);
    assert_ok(refresh_apply(refresh));
    assert_holds(model, news.flat);
    assert_int_equal(refresh_figures(refresh).whole, 0);
}

TESTS(cmocka_unit_test(both_forms_compute_the_same),
      cmocka_unit_test(a_large_table_is_loaded_in_pieces), cmocka_unit_test(new_weights_are_put),
      cmocka_unit_test(a_compact_model_does_not_learn),
      cmocka_unit_test(changes_are_brought_to_a_device), cmocka_unit_test(slices_join_up),
      cmocka_unit_test(the_hosts_memory_needs_no_lists))
