#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/files/safetensors.h"
#include "testing/testing.h"
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static const char *path(const char *name)
{
    static const char *directory;
    static char text[256];
    if (!directory)
        directory = testing_directory();
    snprintf(text, sizeof text, "%s/%s", directory, name);
    return text;
}

/* A file of this header (single quotes for double ones) and so many bytes of data; returns its
 * path. */
static const char *make(const char *header, size_t data_bytes)
{
    SCOPED_VALUE(bytes) out = {0};
    size_t len = strlen(header);
    for (int i = 0; i < 8; i++)
        bytes_u8(&out, (uint8_t)(len >> 8 * i));
    for (size_t i = 0; i < len; i++)
        bytes_u8(&out, header[i] == '\'' ? '"' : (uint8_t)header[i]);
    bytes_extend(&out, data_bytes);
    assert_ok(file_write(path("made.safetensors"), out.data, out.len));
    return path("made.safetensors");
}

static void what_is_written_reads_back_in_every_dtype(void **state)
{
    (void)state;
    const float f32[6] = {1.0f, -2.5f, 1e-30f, 3.1415927f, -0.0f, 1.00390625f};
    const bf16 half[3] = {0x3f80, 0xbf80, 0x4049};
    const struct tensor_source tensors[] = {{"b", DTYPE_F32, 2, 3, f32},
                                            {"a", DTYPE_BF16, 3, 0, half}};
    const char *const metadata[][2] = {{"step", "7"}};
    assert_ok(safetensors_write(path("x.safetensors"), tensors, 2, metadata, 1));
    SCOPED(safetensors) in = NULL;
    assert_ok(safetensors_open(path("x.safetensors"), &in));
    assert_int_equal(safetensors_count(in), 2);
    assert_string_equal(safetensors_metadata(in, "format"), "pt");
    assert_string_equal(safetensors_metadata(in, "step"), "7");
    assert_null(safetensors_metadata(in, "none"));
    assert_null(safetensors_find(in, "c"));
    const struct tensor_info *b = safetensors_find(in, "b"), *a = safetensors_find(in, "a");
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(a->rank, 1);
    float floats[6];
    bf16 halves[6];
    assert_ok(safetensors_read_f32(in, b, floats));
    assert_memory_equal(floats, f32, sizeof f32);
    assert_ok(safetensors_read_some_bf16(in, b, 0, b->count, halves));
    for (int i = 0; i < 6; i++)
        assert_int_equal(halves[i], bf16_from_float(f32[i]));
    assert_ok(safetensors_read_some_bf16(in, a, 0, a->count, halves));
    assert_memory_equal(halves, half, sizeof half);
    assert_ok(safetensors_read_f32(in, a, floats));
    assert_true(floats[1] == -1.0f);
}

static void float16_converts_exactly(void **state)
{
    (void)state;
    static const struct {
        uint16_t half;
        float value;
    } cases[] = {
        {0x3c00, 1.0f},     {0xc500, -5.0f},    {0x0001, 0x1p-24f}, {0x83ff, -1023 * 0x1p-24f},
        {0x0400, 0x1p-14f}, {0x7bff, 65504.0f}, {0x8000, -0.0f},    {0x3555, 0.333251953125f},
        {0x7c00, INFINITY}, {0xfc00, -INFINITY}};
    enum { COUNT = sizeof cases / sizeof *cases };
    SCOPED_VALUE(bytes) file = {0};
    assert_ok(file_read(make("{'h':{'dtype':'F16','shape':[10],'data_offsets':[0,20]}}", 20), 1000,
                        &file));
    for (int i = 0; i < COUNT; i++)
        memcpy(file.data + file.len - 20 + 2 * i, &cases[i].half, 2);
    assert_ok(file_write(path("h.safetensors"), file.data, file.len));
    SCOPED(safetensors) in = NULL;
    float got[COUNT];
    assert_ok(safetensors_open(path("h.safetensors"), &in));
    assert_ok(safetensors_read_f32(in, safetensors_find(in, "h"), got));
    for (int i = 0; i < COUNT; i++)
        assert_memory_equal(&got[i], &cases[i].value, 4);
}

static void a_file_cut_at_any_length_is_refused(void **state)
{
    (void)state;
    const float values[12] = {1, 2, 3};
    const struct tensor_source tensors[] = {{"w", DTYPE_F32, 2, 4, values},
                                            {"v", DTYPE_F32, 4, 0, values}};
    SCOPED_VALUE(bytes) file = {0};
    assert_ok(safetensors_write(path("whole.safetensors"), tensors, 2, NULL, 0));
    assert_ok(file_read(path("whole.safetensors"), 1 << 16, &file));
    for (size_t len = 0; len < file.len; len++) {
        SCOPED(safetensors) in = NULL;
        assert_ok(file_write(path("cut.safetensors"), file.data, len));
        assert_err(ERR_INVALID, "cut.safetensors", safetensors_open(path("cut.safetensors"), &in));
        assert_null(in);
    }
    bytes_u8(&file, 0);
    SCOPED(safetensors) in = NULL;
    assert_ok(file_write(path("long.safetensors"), file.data, file.len));
    assert_err(ERR_INVALID, "1 bytes follow the last tensor",
               safetensors_open(path("long.safetensors"), &in));
}

static void hostile_headers_are_refused(void **state)
{
    (void)state;
#define A "'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}"
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } cases[] = {
        {"", 0, "not JSON"},
        {"{", 0, "not JSON"},
        {"[]", 0, "not a JSON object"},
        {"{" A "} x", 8, "not JSON"},
        {"{" A "," A "}", 8, "duplicate"},
        {"{'a':3}", 0, "tensor 'a': must be an object"},
        {"{'':{}}", 0, "name is empty"},
        {"{'a\\n':{}}", 0, "control characters"},
        {"{'a':{'dtype':'F3','shape':[],'data_offsets':[0,4]}}", 4, "tensor 'a': dtype 'F3'"},
        {"{'a':{'shape':[],'data_offsets':[0,4]}}", 4, "dtype '(missing)'"},
        {"{'a':{'dtype':'F32','shape':4,'data_offsets':[0,4]}}", 4, "'shape' must be a list"},
        {"{'a':{'dtype':'F32','shape':[1,1,1,1,1,1,1,1,1],'data_offsets':[0,4]}}", 4, "at most 8"},
        {"{'a':{'dtype':'F32','shape':[-1],'data_offsets':[0,4]}}", 4, "not a size"},
        {"{'a':{'dtype':'F32','shape':[1.5],'data_offsets':[0,4]}}", 4, "not a size"},
        {"{'a':{'dtype':'F32','shape':[4294967296,4294967296],'data_offsets':[0,4]}}", 4,
         "larger than any file"},
        {"{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,4]}}", 4,
         "takes 8 bytes, its data_offsets span 4"},
        {"{'a':{'dtype':'F32','shape':[1],'data_offsets':[4,0]}}", 4, "'data_offsets' must be"},
        {"{'a':{'dtype':'F32','shape':[1],'data_offsets':[-4,0]}}", 4, "'data_offsets' must be"},
        {"{'a':{'dtype':'F32','shape':[1],'data_offsets':[0]}}", 4, "'data_offsets' must be"},
        {"{'a':{'dtype':'F32','shape':[1],'data_offsets':['0',4]}}", 4, "'data_offsets' must be"},
        {"{'a':{'dtype':'F32','shape':[1]}}", 4, "'data_offsets' must be"},
        {"{" A "}", 4, "tensor 'a': its data ends at byte 8 of 4"},
        {"{" A "}", 12, "4 bytes follow"},
        {"{" A ",'b':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}", 8,
         "tensor 'b': its data begins at byte 4, inside"},
        {"{" A ",'b':{'dtype':'F32','shape':[1],'data_offsets':[12,16]}}", 16,
         "tensor 'b': its data begins at byte 12, after a hole"},
        {"{" A ",'__metadata__':3}", 8, "'__metadata__' must be"},
        {"{" A ",'__metadata__':{'a':3}}", 8, "'__metadata__' must be"},
        {"{" A ",'b':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}", 8,
         "inside another tensor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(safetensors) in = NULL;
        assert_err(ERR_INVALID, cases[i].message,
                   safetensors_open(make(cases[i].header, cases[i].data), &in));
    }
    SCOPED(safetensors) empty = NULL;
    assert_ok(safetensors_open(make("{'a':{'dtype':'I64','shape':[0],'data_offsets':[0,0]}}", 0),
                               &empty));
    float none;
    assert_err(ERR_INVALID, "tensor 'a': its dtype is none of",
               safetensors_read_f32(empty, safetensors_find(empty, "a"), &none));
#undef A
}

static void a_huge_header_length_is_refused_unread(void **state)
{
    (void)state;
    static const uint8_t lengths[][8] = {
        {255, 255, 255, 255, 255, 255, 255, 255}, {0, 0, 0, 0, 1}, {1, 225, 245, 5}};
    for (int i = 0; i < 3; i++) {
        SCOPED(safetensors) in = NULL;
        assert_ok(file_write(path("huge.safetensors"), lengths[i], 8));
        assert_err(ERR_INVALID, "over the 100000000 allowed",
                   safetensors_open(path("huge.safetensors"), &in));
    }
    SCOPED(safetensors) in = NULL;
    assert_ok(file_write(path("huge.safetensors"), "\0\1\0\0\0\0\0\0", 8));
    assert_err(ERR_INVALID, "header of 256 bytes is cut short",
               safetensors_open(path("huge.safetensors"), &in));
    assert_err(ERR_NOT_FOUND, "absent", safetensors_open(path("absent"), &in));
    assert_err(ERR_INVALID, "not a file", safetensors_open(path(""), &in));
}

static void put_text(const char *name, const char *text)
{
    SCOPED_MEM char *copy = mem_string(text);
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    assert_ok(file_write(path(name), copy, strlen(copy)));
}

static void shards_are_read_through_their_index(void **state)
{
    (void)state;
    const float one[1] = {1}, two[1] = {2};
    SCOPED_MEM char *directory = mem_string(path("sharded"));
    assert_ok(file_make_directories(directory));
    assert_ok(safetensors_write(path("sharded/s1.safetensors"),
                                &(struct tensor_source){"a", DTYPE_F32, 1, 0, one}, 1, NULL, 0));
    assert_ok(safetensors_write(path("sharded/s2.safetensors"),
                                &(struct tensor_source){"b", DTYPE_F32, 1, 0, two}, 1, NULL, 0));
    SCOPED(safetensors) in = NULL;
    assert_err(ERR_NOT_FOUND, "model.safetensors", safetensors_open_model(directory, &in));
    const char *index = "sharded/model.safetensors.index.json";
    put_text(index, "{'weight_map':{'a':'s1.safetensors','b':'s2.safetensors'}}");
    assert_ok(safetensors_open_model(directory, &in));
    float got;
    assert_ok(safetensors_read_f32(in, safetensors_find(in, "b"), &got));
    assert_true(got == 2);

    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{}", "'weight_map' must be"},
        {"{'weight_map':{}}", "'weight_map' must be"},
        {"{'weight_map':{'a':3}}", "'weight_map' must be"},
        {"{'weight_map':{'a':'../x'}}", "not the name of a file"},
        {"{'weight_map':{'a':'s1\\n'}}", "a file's name is empty, over"},
        {"{'weight_map':{'a\\n':'s1.safetensors'}}", "a tensor's name is empty, over"},
        {"{'weight_map':{'a':'..'}}", "not the name of a file"},
        {"{'weight_map':{'c':'s1.safetensors'}}", "tensor 'c': is not in"},
        {"{'weight_map':{'a':'s2.safetensors','b':'s2.safetensors'}}", "tensor 'a': is not in"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(safetensors) bad = NULL;
        put_text(index, cases[i].text);
        assert_err(ERR_INVALID, cases[i].message, safetensors_open_model(directory, &bad));
    }
    SCOPED(safetensors) bad = NULL;
    put_text(index, "{'weight_map':{'a':'s1.safetensors','b':'s3.safetensors'}}");
    assert_err(ERR_NOT_FOUND, "s3.safetensors", safetensors_open_model(directory, &bad));
}

/* A file that cannot be written whole leaves the old one and nothing beside it. */
static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    const float values[4096] = {5};
    const struct tensor_source small = {"a", DTYPE_F32, 1, 0, values},
                               large = {"a", DTYPE_F32, 4096, 0, values};
    SCOPED_MEM char *to = mem_string(path("kept.safetensors"));
    assert_ok(safetensors_write(to, &small, 1, NULL, 0));
    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    err_t failed = safetensors_write(to, &large, 1, NULL, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(err_failed(failed));
    assert_non_null(strstr(err_message(failed), "kept.safetensors"));
    err_free(failed);
    assert_false(file_exists(path("kept.safetensors.tmp")));
    SCOPED(safetensors) in = NULL;
    assert_ok(safetensors_open(to, &in));
    assert_int_equal(safetensors_find(in, "a")->count, 1);
}

TESTS(cmocka_unit_test(what_is_written_reads_back_in_every_dtype),
      cmocka_unit_test(float16_converts_exactly),
      cmocka_unit_test(a_file_cut_at_any_length_is_refused),
      cmocka_unit_test(hostile_headers_are_refused),
      cmocka_unit_test(a_huge_header_length_is_refused_unread),
      cmocka_unit_test(shards_are_read_through_their_index),
      cmocka_unit_test(a_failed_write_leaves_the_old_file))
