/* The codec: what goes in comes out, whatever the bits, the shapes and the way through versions. */
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/codec/deltachunk.h"
#include "weights/codec/staging.h"
#include <string.h>
#include <sys/mman.h>

/* Tensors of these sizes; the caller frees. */
static struct layout *layout_of(const int *size, size_t count)
{
    struct layout *layout = layout_new();
    for (size_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%zu", i);
        layout_add(layout, name, size[i], 0);
    }
    return layout;
}
#define LAYOUT(...)                                                                                \
    layout_of((const int[]){__VA_ARGS__}, sizeof(const int[]){__VA_ARGS__} / sizeof(int))

static uint16_t *array_of(const struct layout *layout)
{
    return mem_array(layout->elements + 1, sizeof(uint16_t));
}

static uint16_t *copy_of(const struct layout *layout, const uint16_t *values)
{
    return mem_copy(values, (layout->elements + 1) * sizeof *values);
}

static void assert_digest(const struct layout *layout, const uint16_t *values, struct digest want)
{
    char x[DIGEST_TEXT], y[DIGEST_TEXT];
    const struct digest got = weights_digest(values, 0, layout->elements);
    assert_string_equal(digest_text(&got, x), digest_text(&want, y));
}

/* Stages all of a delta, plain or compressed, checks the digest, and applies it twice. */
static void take(const struct layout *layout, const struct delta *delta, bool compressed,
                 uint16_t *values)
{
    SCOPED(staging) staging = staging_new(layout);
    SCOPED_MEM bool *changed = mem_array((size_t)layout->count + 1, sizeof *changed);
    SCOPED_MEM uint16_t *before = copy_of(layout, values);
    const struct digest digest = weights_digest(values, 0, layout->elements);
    for (size_t i = 0; i < delta->chunks; i++) {
        SCOPED_VALUE(bytes) packed = {0};
        const struct bytes *chunk = &delta->chunk[i];
        if (compressed) {
            deltachunk_compress(chunk->data, chunk->len, &packed);
            assert_true(packed.len <= chunk->len);
            chunk = &packed;
        }
        assert_ok(staging_add(staging, values, chunk->data, chunk->len));
    }
    const struct digest change = staging_change(staging);
    assert_true(digest_equal(&change, &delta->change));
    for (int twice = 0; twice < 2; twice++)
        staging_apply(staging, values, changed);
    assert_digest(layout, values, weights_digest_add(digest, delta->change));
    for (int t = 0; t < layout->count; t++) {
        const struct layout_tensor *tensor = &layout->tensor[t];
        const bool same = memcmp(before + tensor->offset, values + tensor->offset,
                                 tensor->count * sizeof *values) == 0;
        assert_int_equal(changed[t], !same);
    }
}

/* old to now and back, plain and compressed; how many values changed. */
static uint64_t assert_round_trip(const struct layout *layout, const uint16_t *old,
                                  const uint16_t *now)
{
    uint64_t changed = 0;
    for (int back = 0; back < 2; back++)
        for (int compressed = 0; compressed < 2; compressed++) {
            const uint16_t *from = back ? now : old, *to = back ? old : now;
            SCOPED(delta) delta = delta_encode(layout, from, to);
            SCOPED_MEM uint16_t *values = copy_of(layout, from);
            take(layout, delta, compressed, values);
            assert_memory_equal(values, to, layout->elements * sizeof *values);
            changed = delta->changed;
        }
    return changed;
}

/* Draws that tests share: each call its own. */
static uint64_t draw(void)
{
    static uint64_t drawn;
    const struct rng rng = rng_keyed(1, RNG_TEST, 5, 0);
    return rng_u64(&rng, drawn++);
}

/* A share of the values of each tensor changes: most by one step, some to any bits, into special
 * values above all. */
static void change(const struct layout *layout, uint16_t *values, double share)
{
    static const uint16_t special[] = {0x0000, 0x8000, 0x7f80, 0xff80, 0x7fc0,
                                       0xffff, 0x7f81, 0x0001, 0x8001, 0x7fff};
    for (int t = 0; t < layout->count; t++)
        for (size_t i = 0; i < layout->tensor[t].count; i++) {
            uint16_t *value = &values[layout->tensor[t].offset + i];
            const uint64_t how = draw();
            if ((double)(how >> 32) >= share * 0x1p32)
                continue;
            if (how % 16 == 0)
                *value = special[how / 16 % 10];
            else if (how % 16 == 1)
                *value = (uint16_t)(how >> 8);
            else
                *value = (uint16_t)(*value + (how & 32 ? 1 : -1));
        }
}

/* ---- the tests */

static uint16_t golden_old(size_t e)
{
    return (uint16_t)(e * 40503 + 7);
}

static void assert_golden_list(const struct layout *layout, const uint16_t *old,
                               const struct delta *delta)
{
    SCOPED_VALUE(bytes) golden = {0};
    uint8_t *list = NULL;
    size_t len = 0;
    changelist_of_delta(layout, old, delta, &list, &len);
    SCOPED_MEM uint8_t *owned = list;
    assert_non_null(list);
    assert_ok(file_read(TEST_GOLDEN "/list_v1.bin", 1 << 20, &golden));
    assert_int_equal(len, golden.len);
    assert_memory_equal(list, golden.data, len);
}

static void it_is_the_format_that_is_written_down(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(100, 0, 210, 33, 40000);
    SCOPED_MEM uint16_t *old = array_of(layout);
    for (size_t e = 0; e < layout->elements; e++)
        old[e] = golden_old(e);
    SCOPED_MEM uint16_t *now = copy_of(layout, old);
    for (int t = 0; t < layout->count; t++)
        for (size_t i = 0; i < layout->tensor[t].count; i++) {
            const size_t e = layout->tensor[t].offset + i;
            if (t == 2)
                now[e] = (uint16_t)(i % 10 ? old[e] + 3 * e + 1 : old[e]);
            else if (t == 3)
                now[e] = i % 32 ? old[e] : old[e] ^ 0x8000;
            else if (i % 170 == 5)
                now[e] = (uint16_t)(old[e] + (i / 170 % 2 ? 1 : -1));
        }
    SCOPED(delta) delta = delta_encode(layout, old, now);
    assert_int_equal(delta->chunks, 1);
    assert_golden_list(layout, old, delta);
    static const char *const names[] = {TEST_GOLDEN "/delta_v1.bin",
                                        TEST_GOLDEN "/delta_zstd_v1.bin"};
    for (int i = 0; i < 2; i++) {
        SCOPED_VALUE(bytes) golden = {0};
        SCOPED(staging) staging = staging_new(layout);
        assert_ok(file_read(names[i], 1 << 20, &golden));
        assert_true(i || golden.len == delta->chunk[0].len);
        assert_true(i || memcmp(golden.data, delta->chunk[0].data, golden.len) == 0);
        SCOPED_MEM uint16_t *values = copy_of(layout, old);
        assert_ok(staging_add(staging, values, golden.data, golden.len));
        staging_apply(staging, values, NULL);
        assert_memory_equal(values, now, layout->elements * sizeof *values);
    }
}

static void all_bits_come_through(void **state)
{
    (void)state;
    enum { ALL = 1 << 16 };
    SCOPED(layout) layout = LAYOUT(ALL, 0, 7, ALL);
    SCOPED_MEM uint16_t *old = array_of(layout);
    SCOPED_MEM uint16_t *now = array_of(layout);
    for (size_t i = 0; i < ALL;
         i++) { // every value to every kind of other: NaN payloads, both zeros, infinities
        old[i] = (uint16_t)i;
        now[i] = (uint16_t)(i * 40503 + 9);
        old[layout->tensor[3].offset + i] = (uint16_t)(i % 5 ? 0x8000 : 0x7fc1);
        now[layout->tensor[3].offset + i] = (uint16_t)(i % 3 ? i % 5 ? 0x8000 : 0x7fc1 : 0);
    }
    assert_true(assert_round_trip(layout, old, now) > ALL);
}

static void none_one_and_all_changed(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(0, 1, 31, 32, 33, 0, 1000, 1);
    SCOPED_MEM uint16_t *old = array_of(layout);
    change(layout, old, 1);
    SCOPED(delta) none = delta_encode(layout, old, old);
    assert_true(none->chunks == 0 && none->changed == 0 && none->bytes == 0);
    assert_true(digest_equal(&none->change, &(struct digest){0}));
    for (int t = 0; t < layout->count; t++)
        for (size_t i = 0; i < layout->tensor[t].count; i += layout->tensor[t].count / 3 + 1) {
            SCOPED_MEM uint16_t *now = copy_of(layout, old);
            now[layout->tensor[t].offset + i] ^= 0x8000;
            assert_int_equal(assert_round_trip(layout, old, now), 1);
        }
    SCOPED_MEM uint16_t *now = copy_of(layout, old);
    for (int t = 0; t < layout->count; t++)
        for (size_t i = 0; i < layout->tensor[t].count; i++)
            now[layout->tensor[t].offset + i]++;
    assert_int_equal(assert_round_trip(layout, old, now), layout->parameters);
    SCOPED(layout) empty = layout_new();
    SCOPED(delta) nothing = delta_encode(empty, old, now);
    assert_int_equal(nothing->chunks, 0);
}

static void any_share_of_changes(void **state)
{
    (void)state;
    static const double share[] = {0.0005, 0.006, 0.04, 0.3, 0.45, 0.55, 0.95};
    SCOPED(layout) layout = LAYOUT(100, 70000, 5, 3000);
    SCOPED_MEM uint16_t *old = array_of(layout);
    change(layout, old, 1);
    for (size_t i = 0; i < sizeof share / sizeof *share; i++) {
        SCOPED_MEM uint16_t *now = copy_of(layout, old);
        change(layout, now, share[i]);
        assert_round_trip(layout, old, now);
    }
}

static void gaps_between_tensors_are_left_alone(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(33, 1);
    SCOPED_MEM uint16_t *old = array_of(layout);
    SCOPED_MEM uint16_t *now = copy_of(layout, old);
    now[33] = now[63] = now[65] = 1; // behind both tensors
    SCOPED(delta) delta = delta_encode(layout, old, now);
    assert_int_equal(delta->chunks, 0);
}

static void large_deltas_have_several_chunks(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(1500000, 77, 700000);
    SCOPED_MEM uint16_t *old = array_of(layout);
    SCOPED_MEM uint16_t *now = copy_of(layout, old);
    change(layout, now, 0.6);
    SCOPED(delta) delta = delta_encode(layout, old, now);
    assert_true(delta->chunks >= 3);
    for (size_t i = 0; i < delta->chunks; i++)
        assert_true(delta->chunk[i].len < DELTACHUNK_RAW_MAX + 64);
    assert_round_trip(layout, old, now);
    SCOPED(staging)
    staging = staging_new(layout); // out of order, twice: refused, and what was there stays
    assert_ok(staging_add(staging, old, delta->chunk[0].data, delta->chunk[0].len));
    const uint64_t count = staging_count(staging);
    assert_err(ERR_INVALID, "comes late",
               staging_add(staging, old, delta->chunk[0].data, delta->chunk[0].len));
    assert_int_equal(staging_count(staging), count);
    for (size_t i = 1; i < delta->chunks; i++)
        assert_ok(staging_add(staging, old, delta->chunk[i].data, delta->chunk[i].len));
    const struct digest change = staging_change(staging);
    assert_true(digest_equal(&change, &delta->change));
}

/* Pages that are never touched cost nothing: 10 GB of zeros. */
static uint16_t *map(size_t elements)
{
    void *at = mmap(NULL, elements * 2, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void offsets_beyond_32_bits(void **state)
{
    (void)state;
    static const uint64_t at[] = {3, 4294967295, 4294967297, 4899999999};
    static const uint32_t offset[] = {0, 1000};
    static const uint16_t step[] = {0x3f80, 0x8000};
    SCOPED(layout) layout = layout_new();
    layout_add(layout, "large", 70000, 70000);
    uint16_t *values = map(layout->elements);
    if (!values)
        skip();
    SCOPED_VALUE(deltachunk_writer) writer = {0};
    SCOPED_VALUE(bytes) chunk = {0};
    for (int i = 0; i < 4; i++) {
        const uint32_t count = i % 2 ? 1 : 2;
        const struct deltachunk_section section = {0, count, false, at[i]};
        deltachunk_put(&writer, &section, offset, step);
    }
    deltachunk_store(&writer, &chunk);
    SCOPED(staging) staging = staging_new(layout);
    assert_ok(staging_add(staging, values, chunk.data, chunk.len));
    staging_apply(staging, values, NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(values[at[i]], 0x3f80);
    assert_int_equal(values[at[0] + 1000], 0x8000);
    assert_int_equal(values[at[2] + 1000], 0x8000);
    assert_int_equal(values[at[1] - 1] | values[at[1] + 1] | values[4] | values[1], 0);

    struct delta given = {1, &chunk, chunk.len, 6, staging_change(staging)};
    SCOPED(delta) same = NULL; // composed alone: the same sections
    assert_ok(delta_compose(layout, (const struct delta *[]){&given}, 1, &same));
    SCOPED(staging) again = staging_new(layout);
    memset(values + at[0], 0, 2);
    assert_int_equal(same->changed, 6);
    assert_ok(staging_add(again, values, same->chunk[0].data, same->chunk[0].len));
    assert_int_equal(staging_count(again), 6);
    static const uint32_t too_far[] = {
        0, UINT32_MAX}; // within the tensor, beyond what a section spans
    const struct deltachunk_section section = {0, 2, false, 5};
    SCOPED_VALUE(deltachunk_writer) wide = {0};
    SCOPED_VALUE(bytes) wide_chunk = {0};
    deltachunk_put(&wide, &section, too_far, step);
    deltachunk_store(&wide, &wide_chunk);
    staging_clear(again);
    assert_err(ERR_INVALID, "malformed offsets",
               staging_add(again, values, wide_chunk.data, wide_chunk.len));
    munmap(values, layout->elements * 2);
}

/* From version 0 to the last over any mixture of whole arrays, deltas and jumps: one digest, the
 * same bits. */
static void every_path_leads_to_the_same_bits(void **state)
{
    (void)state;
    enum { VERSIONS = 7 };
    static const double share[VERSIONS] = {0, 0.01, 0.0, 0.2, 0.6, 0.001, 0.05};
    SCOPED(layout) layout = LAYOUT(300, 0, 20000, 1, 999);
    uint16_t *values[VERSIONS];
    struct delta *delta[VERSIONS] = {NULL};
    values[0] = array_of(layout);
    change(layout, values[0], 1);
    for (int v = 1; v < VERSIONS; v++) {
        values[v] = copy_of(layout, values[v - 1]);
        change(layout, values[v], share[v]);
        if (v == 6) // some come back to what they were: the jump leaves these out
            memcpy(values[v], values[3], 5000 * sizeof **values);
        delta[v] = delta_encode(layout, values[v - 1], values[v]);
    }
    for (int path = 0; path < 60; path++) {
        SCOPED_MEM uint16_t *at = copy_of(layout, values[0]);
        for (int v = 0; v < VERSIONS - 1;) {
            const int far = 1 + (int)(draw() % (uint64_t)(VERSIONS - 1 - v));
            if (draw() % 5 == 0) {
                memcpy(at, values[v + far], layout->elements * sizeof *at);
            } else {
                SCOPED(delta) jump = NULL;
                assert_ok(delta_compose(layout, (const struct delta *const *)&delta[v + 1],
                                        (size_t)far, &jump));
                take(layout, jump, draw() % 2, at);
            }
            v += far;
            assert_memory_equal(at, values[v], layout->elements * sizeof *at);
        }
    }
    SCOPED(delta) jump = NULL;
    SCOPED(delta) straight = delta_encode(layout, values[3], values[6]);
    assert_ok(delta_compose(layout, (const struct delta *const *)&delta[4], 3, &jump));
    assert_int_equal(jump->changed, straight->changed);
    assert_true(digest_equal(&jump->change, &straight->change));
    for (int v = 0; v < VERSIONS; v++) {
        mem_free(values[v]);
        delta_free(delta[v]);
    }
}

static void refuse(const struct layout *layout, const char *says, const uint8_t *data, size_t len)
{
    static const uint16_t zeros[4096];
    SCOPED(staging) staging = staging_new(layout);
    assert_err(ERR_INVALID, says, staging_add(staging, zeros, data, len));
    assert_int_equal(staging_count(staging), 0);
}
#define REFUSE(says, ...)                                                                          \
    refuse(layout, says, (const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__})
#define HEAD 'R', 'L', 'W', 'D', 1

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    SCOPED(layout) layout = LAYOUT(100, 10);
    REFUSE("no chunk", 0);
    REFUSE("no chunk", 'R', 'L', 'W');
    REFUSE("no chunk", 'R', 'L', 'W', 'X', 1, 0, 0, 0, 0, 0);
    REFUSE("another version", 'R', 'L', 'W', 'D', 2, 0, 0, 0, 0, 0);
    REFUSE("head is malformed", HEAD, 1, 3);
    REFUSE("head is malformed", HEAD, 1, 0x83, 0, 3, 1, 1); // not the shortest form
    REFUSE("head is malformed", HEAD, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1);
    REFUSE("at most 1048576", HEAD, 1, 0xff, 0xff, 0xff, 0x7f, 3, 1, 1);
    REFUSE("at most 1048576", HEAD, 1, 3, 4, 1, 1, 0, 0, 1, 2); // stored more than raw
    REFUSE("left of a part", HEAD, 1, 3, 3, 1, 1, 0, 0, 1);
    REFUSE("after its end", HEAD, 1, 3, 3, 1, 1, 0, 0, 1, 2, 9);
    REFUSE("zstd", HEAD, 1, 90, 3, 1, 1, 1, 2, 3, 2);
    REFUSE("without a section", HEAD, 0, 3, 3, 1, 1, 0, 0, 1, 2);
    REFUSE("malformed section", HEAD, 2, 3, 3, 1, 1, 0, 0, 1, 2);
    REFUSE("bytes are left", HEAD, 1, 4, 4, 1, 1, 0, 0, 1, 0, 2);
    REFUSE("no element 0 of tensor 2", HEAD, 1, 3, 3, 1, 1, 4, 0, 1, 2);
    REFUSE("no element 100 of tensor 0", HEAD, 1, 3, 3, 1, 1, 0, 100, 1, 2);
    REFUSE("no element 4294967296", HEAD, 1, 7, 7, 1, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 2);
    REFUSE("0 changes", HEAD, 1, 3, 3, 1, 1, 0, 0, 0, 2);
    REFUSE("2 changes", HEAD, 1, 3, 3, 1, 1, 0, 0, 2, 2);    // more than steps
    REFUSE("2 changes", HEAD, 1, 3, 3, 2, 2, 2, 9, 2, 2, 2); // than elements
    REFUSE("1 changes", HEAD, 1, 3, 3, 1, 1, 1, 0, 1, 2);    // dense: two bytes each
    REFUSE("beyond its tensor", HEAD, 1, 4, 4, 2, 2, 0, 0, 2, 99, 2, 2);
    REFUSE("beyond its tensor", HEAD, 1, 8, 8, 2, 2, 0, 0, 2, 255, 255, 255, 255, 127, 2, 2);
    REFUSE("malformed steps", HEAD, 1, 3, 3, 1, 1, 0, 0, 1, 0);             // by nothing
    REFUSE("malformed steps", HEAD, 1, 3, 3, 3, 3, 0, 0, 1, 0x80, 0x80, 4); // 65536
    REFUSE("comes late", HEAD, 2, 6, 6, 2, 2, 0, 5, 1, 0, 5, 1, 2, 2);
    REFUSE("comes late", HEAD, 2, 6, 6, 2, 2, 2, 5, 1, 0, 5, 1, 2, 2);
}

TESTS(cmocka_unit_test(it_is_the_format_that_is_written_down),
      cmocka_unit_test(all_bits_come_through), cmocka_unit_test(none_one_and_all_changed),
      cmocka_unit_test(any_share_of_changes), cmocka_unit_test(gaps_between_tensors_are_left_alone),
      cmocka_unit_test(large_deltas_have_several_chunks), cmocka_unit_test(offsets_beyond_32_bits),
      cmocka_unit_test(every_path_leads_to_the_same_bits),
      cmocka_unit_test(what_is_malformed_is_refused))
