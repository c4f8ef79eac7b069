/* Versions that go out by lists of the values that the optimizer marked. Values and bytes are those
 * of comparing all values, of which far fewer come to the host. A fault of memory is found. */
#include "base/mem.h"
#include "learner/publish/editions.h"
#include "learner/publish/listing.h"
#include "tensor/digest.h"
#include "unit/model/tiny.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/codec/snapshot.h"
#include <stdlib.h>
#include <unistd.h>

enum { EVERY = 97, ROOM = 4096 };

/* Memory that is not the host's; and a device's, where there is an emulator of one. */
static const char *const kinds[] = {"opaque", TEST_BIN "/librlhfd_cuda_emu.so"};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct bench {
    struct backend *be;
    struct model *model;
    struct buffer marks;
    struct editions *by_list, *by_all; // the second is told no marks
    struct published what;
};

static bool is_there(const char *kind)
{
    return *kind != '/' || access(kind, R_OK) == 0;
}

static void open_bench(struct bench *b, const char *kind, const struct editions_options *options)
{
    const struct model_config config = config_default(600, 64, 100, 2, 4, 2, 64, true);
    *b = (struct bench){0};
    assert_ok(backend_open(kind, &(struct backend_config){.threads = 1}, &b->be));
    assert_ok(model_new(b->be, &config, 3, &b->model));
    const size_t elements = b->model->params->layout->elements;
    assert_true(elements > 16 * ROOM); // so more than one in sixteen is more than there is room for
    assert_ok(buffer_alloc(b->be, (elements + 31) / 32 * 4, &b->marks));
    assert_ok(editions_new(options, b->model, &b->by_list));
    assert_ok(editions_new(options, b->model, &b->by_all));
    b->what = (struct published){.lineage = 1, .digest = weights_digest_of(b->model)};
}

static void bench_done(struct bench *b)
{
    editions_free(b->by_list);
    editions_free(b->by_all);
    buffer_done(&b->marks);
    model_free(b->model);
    backend_free(b->be);
}

/* As updates would: every so-manieth element changes, and is marked; some are marked and are back
 * at their values. */
static void update(struct bench *b, size_t every)
{
    const struct layout *layout = b->model->params->layout;
    SCOPED_MEM bf16 *value = flat_of(b->model);
    SCOPED_MEM uint32_t *marks = mem_array(layout->elements / 32 + 1, sizeof *marks);
    b->what.version++;
    for (int t = 0; t < layout->count; t++)
        for (size_t e = b->what.version; e < layout->tensor[t].count; e += every) {
            const size_t i = layout->tensor[t].offset + e;
            marks[i / 32] |= (uint32_t)1 << i % 32;
            if (e / every % 5 == 4)
                continue;
            const bf16 now = (bf16)(value[i] + 1);
            b->what.digest = weights_digest_change(b->what.digest, i, value[i], now);
            value[i] = now;
        }
    assert_ok(buffer_put(&b->model->values, 0, value, layout->elements * sizeof *value));
    assert_ok(buffer_put(&b->marks, 0, marks, b->marks.bytes));
    b->what.marks = b->marks.address;
}

static void edition_done(struct edition *edition)
{
    snapshot_free(edition->snapshot);
    delta_free(edition->delta);
    listed_free(edition->listed);
}

static struct edition make(struct bench *b, bool by_list)
{
    struct edition edition = {0};
    struct published what = b->what;
    what.marks = by_list ? what.marks : NULL;
    assert_ok(editions_make(by_list ? b->by_list : b->by_all, b->model, &what, &edition));
    return edition;
}

/* The list's bytes, wherever they lie. */
static uint8_t *bytes_of(const struct bench *b, const struct listed *listed)
{
    uint8_t *bytes = mem_new(listed->bytes);
    if (listed->device)
        assert_ok(b->be->ops->get(b->be, bytes, listed->device, listed->bytes));
    else
        memcpy(bytes, listed->data, listed->bytes);
    return bytes;
}

static void assert_same_editions(const struct bench *b, const struct edition *x,
                                 const struct edition *y)
{
    const size_t bytes = b->model->params->layout->elements * sizeof(uint16_t);
    assert_memory_equal(snapshot_values(x->snapshot), snapshot_values(y->snapshot), bytes);
    assert_int_equal(x->delta != NULL, y->delta != NULL);
    if (!x->delta)
        return;
    assert_int_equal(x->delta->chunks, y->delta->chunks);
    assert_int_equal(x->delta->changed, y->delta->changed);
    assert_memory_equal(&x->delta->change, &y->delta->change, sizeof x->delta->change);
    for (size_t i = 0; i < x->delta->chunks; i++) {
        assert_int_equal(x->delta->chunk[i].len, y->delta->chunk[i].len);
        assert_memory_equal(x->delta->chunk[i].data, y->delta->chunk[i].data,
                            x->delta->chunk[i].len);
    }
}

static void assert_right_list(const struct bench *b, const struct edition *edition, uint64_t base)
{
    struct changelist list;
    SCOPED_MEM uint8_t *bytes = bytes_of(b, edition->listed);
    const struct layout *layout = b->model->params->layout;
    assert_int_equal(edition->listed->base, base);
    assert_ok(changelist_open(layout, bytes, edition->listed->bytes, &list));
    assert_true(list.changes >= edition->delta->changed);
    const uint16_t *values = snapshot_values(edition->snapshot), *value = list.value;
    const uint32_t *index = list.index;
    for (int t = 0; t < layout->count; t++)
        for (uint32_t left = list.count[t]; left; left--)
            assert_int_equal(*value++, values[layout->tensor[t].offset + *index++]);
}

static void lists_say_what_comparing_says(const char *kind)
{
    SCOPED_VALUE(bench) b;
    open_bench(&b, kind,
               &(struct editions_options){.delta = true, .anchor_every = 3, .lists = true});
    for (int version = 1; version <= 5; version++) {
        const uint64_t before = b.what.version;
        update(&b, EVERY);
        SCOPED_VALUE(edition) x = make(&b, true);
        SCOPED_VALUE(edition) y = make(&b, false);
        assert_same_editions(&b, &x, &y);
        assert_int_equal(x.by_list, version > 1);
        assert_false(y.by_list);
        if (version == 1)
            continue;
        assert_true(x.read_bytes * 15 < y.read_bytes);
        assert_right_list(&b, &x, before);
        assert_right_list(&b, &y, before);
        assert_int_equal(x.listed->device != NULL, b.be->cuda);
        assert_null(y.listed->device);
    }
}

/* All values come where a list has no room, where nothing is known of the version before, and where
 * both lists are still being sent. */
static void what_is_not_listed_is_compared(const char *kind)
{
    SCOPED_VALUE(bench) b;
    open_bench(&b, kind, &(struct editions_options){.delta = true, .lists = true});
    for (int version = 1; version <= 5; version++) {
        update(&b, version % 2 ? EVERY : 4);
        b.what.lineage = version == 5 ? 2 : 1;
        SCOPED_VALUE(edition) x = make(&b, true);
        SCOPED_VALUE(edition) y = make(&b, false);
        assert_same_editions(&b, &x, &y);
        assert_int_equal(x.by_list, version == 3);
        assert_int_equal(x.delta != NULL, version > 1 && version < 5);
        assert_null(version % 2 ? NULL : x.listed);
    }
    struct edition sent[3];
    for (int i = 0; i < 3; i++) {
        update(&b, EVERY);
        sent[i] = make(&b, true);
        assert_int_equal(sent[i].by_list, i < 2 || !b.be->cuda);
    }
    edition_done(&sent[0]);
    update(&b, EVERY);
    SCOPED_VALUE(edition) again = make(&b, true);
    assert_true(again.by_list);
    edition_done(&sent[1]);
    edition_done(&sent[2]);
}

/* Whether it was marked or not. */
static void a_changed_bit_stops_the_version(const char *kind)
{
    for (int marked = 0; marked < 2; marked++) {
        SCOPED_VALUE(bench) b;
        struct edition edition = {0};
        open_bench(&b, kind, &(struct editions_options){.delta = true, .lists = true});
        update(&b, EVERY);
        SCOPED_VALUE(edition) first = make(&b, true);
        update(&b, EVERY);
        const size_t at = b.model->params->layout->tensor[0].offset + b.what.version + !marked;
        SCOPED_MEM bf16 *value = flat_of(b.model);
        set_weight(b.model, at, value[at] ^ 1 << 3);
        assert_err(ERR_DATA_LOSS, "the weights in memory have digest",
                   editions_make(b.by_list, b.model, &b.what, &edition));
        assert_null(edition.snapshot);
        set_weight(b.model, at, value[at]);
        SCOPED_VALUE(edition) mended = make(&b, true);
        assert_true(mended.by_list);
    }
}

#define OF_EACH_KIND(test)                                                                         \
    static void test##_of_each(void **)                                                            \
    {                                                                                              \
        for (int k = 0; k < KINDS; k++)                                                            \
            if (is_there(kinds[k]))                                                                \
                test(kinds[k]);                                                                    \
    }
OF_EACH_KIND(lists_say_what_comparing_says)
OF_EACH_KIND(what_is_not_listed_is_compared)
OF_EACH_KIND(a_changed_bit_stops_the_version)

TESTS(cmocka_unit_test(lists_say_what_comparing_says_of_each),
      cmocka_unit_test(what_is_not_listed_is_compared_of_each),
      cmocka_unit_test(a_changed_bit_stops_the_version_of_each))
