/* Memory of a backend, on the CPU and opaque: what is put is got, and nobody else reads it. */
#include "base/mem.h"
#include "tensor/buffer.h"
#include "testing/testing.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const kinds[] = {"cpu", "opaque"};
enum { KINDS = 2, COUNT = 5000 };

static struct backend *open_kind(int k)
{
    struct backend *be = NULL;
    assert_ok(backend_open(kinds[k], &(struct backend_config){.threads = 2}, &be));
    assert_string_equal(be->ops->name, kinds[k]);
    return be;
}

static void what_is_put_is_got(void **state)
{
    (void)state;
    static float from[COUNT], to[COUNT];
    for (int i = 0; i < COUNT; i++)
        from[i] = (float)i;
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        SCOPED_VALUE(buffer) x = {0};
        SCOPED_VALUE(buffer) y = {0};
        assert_ok(buffer_alloc(be, sizeof from, &x));
        assert_ok(buffer_alloc(be, sizeof from, &y));
        assert_int_equal((uintptr_t)x.address % 64, 0);
        assert_ok(buffer_get(&x, 0, sizeof to, to));
        for (int i = 0; i < COUNT; i++)
            assert_true(to[i] == 0);
        assert_ok(buffer_put(&x, 0, from, sizeof from));
        assert_ok(be->ops->copy(be, y.address, x.address, sizeof from));
        assert_ok(be->ops->add(be, (float *)y.address + 100, x.address, 50)); // inside
        assert_ok(be->ops->zero(be, (float *)y.address + 200, 400));
        assert_ok(buffer_get(&y, 90 * sizeof *to, 1000 * sizeof *to, to));
        for (int i = 0; i < 1000; i++) {
            const int at = 90 + i;
            const float want = at >= 200 && at < 300   ? 0
                               : at >= 100 && at < 150 ? from[at] + from[at - 100]
                                                       : from[at];
            assert_true(to[i] == want);
        }
    }
}

/* Freed and taken again: zeros. */
static void memory_begins_with_zeros(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    SCOPED_MEM uint8_t *host = mem_array(BYTES, 1);
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        for (int round = 0; round < 5; round++) {
            SCOPED_VALUE(buffer) x = {0};
            assert_ok(buffer_alloc(be, BYTES, &x));
            assert_ok(buffer_get(&x, 0, BYTES, host));
            for (size_t i = 0; i < BYTES; i++)
                assert_int_equal(host[i], 0);
            memset(host, 0x5a, BYTES);
            assert_ok(buffer_put(&x, 0, host, BYTES));
        }
        SCOPED_VALUE(buffer) none = {0};
        assert_ok(buffer_alloc(be, 0, &none));
        assert_non_null(none.address);
    }
}

static void too_much_is_an_error(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        struct buffer x = {0};
        struct weight *weight = NULL;
        struct kv_pages *kv = NULL;
        const struct weight_form form = {.N = 1 << 30, .K = 1 << 30, .packed = true};
        const struct attention_shape shape = {.H = 64, .K = 64, .D = 128};
        assert_err(ERR_EXHAUSTED, "memory for",
                   buffer_alloc(be, be->ops->capacity(be, NULL) + 1, &x));
        assert_err(ERR_EXHAUSTED, "memory for", buffer_alloc(be, SIZE_MAX, &x));
        assert_null(x.address);
        assert_err(ERR_EXHAUSTED, "memory for", be->ops->weights_new(be, &form, 1, &weight));
        assert_err(ERR_EXHAUSTED, "memory for",
                   be->ops->kv_new(be, 1000, &shape, KV_F32, 1 << 20, &kv));
    }
}

/* The signal that ends a child in which `act` runs; 0: none does. */
static int ends_with(void (*act)(void *address), void *address)
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); // a sanitizer has its own
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        act(address);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void read_there(void *address)
{
    (void)*(volatile float *)address;
}

static void write_there(void *address)
{
    *(volatile float *)address = 1;
}

static void a_dereference_outside_the_backend_ends_the_process(void **state)
{
    (void)state;
    if (!TESTING_FORKS)
        skip();
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = open_kind(k);
        SCOPED_VALUE(buffer) x = {0};
        assert_ok(buffer_alloc(be, 8192, &x));
        float *last = (float *)x.address + 2047;
        assert_int_equal(ends_with(read_there, last), k ? SIGSEGV : 0);
        assert_int_equal(ends_with(write_there, x.address), k ? SIGSEGV : 0);
    }
}

static struct backend *opaque;

static void give_the_hosts_memory(void *address)
{
    float x[4] = {0};
    err_free(opaque->ops->add(opaque, x, address, 4));
}

static void an_op_on_the_hosts_memory_ends_the_process(void **state)
{
    (void)state;
    if (!TESTING_FORKS)
        skip();
    SCOPED_VALUE(buffer) x = {0};
    assert_ok(backend_open("opaque", &(struct backend_config){.threads = 1}, &opaque));
    assert_ok(buffer_alloc(opaque, 64, &x));
    assert_int_equal(ends_with(give_the_hosts_memory, x.address), SIGABRT);
    buffer_done(&x);
    backend_free(opaque);
}

TESTS(cmocka_unit_test(what_is_put_is_got), cmocka_unit_test(memory_begins_with_zeros),
      cmocka_unit_test(too_much_is_an_error),
      cmocka_unit_test(a_dereference_outside_the_backend_ends_the_process),
      cmocka_unit_test(an_op_on_the_hosts_memory_ends_the_process))
