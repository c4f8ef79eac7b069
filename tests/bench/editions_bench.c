/* The cost of a version where the learner's memory is not the host's: by the list of marked
 * values, and by all values.
 *
 *     build/tests/bench_editions [PARAMETERS]        50000000
 *
 * In memory of the backend `opaque`, which is the CPU's behind addresses without rights: bytes are
 * those that would come from a device; times lack the way from there. Both make the same snapshot
 * and the same delta. list_ms includes digest_ms, the sum of all values where they lie, which
 * time_ratio leaves out: on a device it takes milliseconds. Milliseconds of the CPU, of the fastest
 * of a few, side by side. */
#include "base/mem.h"
#include "base/rng.h"
#include "learner/publish/editions.h"
#include "tensor/digest.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/codec/snapshot.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEAT = 5, C = 512, V = 8192 };

struct bench {
    struct backend *be;
    struct model *model;
    struct buffer marks;
    struct editions *by_list, *by_all;
    struct published what;
    double list_ms, all_ms, digest_ms;
    size_t list_bytes, all_bytes, changed;
};

static void bench_done(struct bench *b)
{
    editions_free(b->by_list);
    editions_free(b->by_all);
    buffer_done(&b->marks);
    model_free(b->model);
    backend_free(b->be);
}

static err_t open_bench(struct bench *b, double parameters)
{
    const int per_layer = 4 * C * C + 3 * C * 4 * C;
    const int L = 1 + (int)((parameters - (double)V * C) / per_layer);
    const struct model_config config = config_default(V, C, 4 * C, L, 8, 8, 128, true);
    const struct editions_options options = {.delta = true};
    TRY(backend_open("opaque", &(struct backend_config){.threads = 1}, &b->be));
    TRY(model_new(b->be, &config, 3, &b->model));
    const size_t elements = b->model->params->layout->elements;
    TRY(buffer_alloc(b->be, (elements + 31) / 32 * sizeof(uint32_t), &b->marks));
    TRY(editions_new(&options, b->model, &b->by_list));
    TRY(editions_new(&options, b->model, &b->by_all));
    b->what.lineage = 1;
    return OK;
}

/* One value in `every` changes by one ulp, and is marked. */
static err_t update(struct bench *b, size_t every)
{
    const struct layout *layout = b->model->params->layout;
    const struct rng rng = rng_keyed(b->what.version, RNG_TEST, 0, 0);
    bf16 *flat = NULL;
    TRY(model_flat(b->model, &flat));
    SCOPED_MEM bf16 *owned = flat;
    SCOPED_MEM uint32_t *marks = mem_array(layout->elements / 32 + 1, sizeof *marks);
    b->changed = 0;
    for (int t = 0; t < layout->count; t++)
        for (size_t e = 0; e < layout->tensor[t].count; e++) {
            const size_t i = layout->tensor[t].offset + e;
            if (rng_below(&rng, i, every))
                continue;
            flat[i] = (bf16)(flat[i] + 1);
            marks[i / 32] |= (uint32_t)1 << i % 32;
            b->changed++;
        }
    TRY(buffer_put(&b->model->values, 0, flat, layout->elements * sizeof *flat));
    TRY(buffer_put(&b->marks, 0, marks, b->marks.bytes));
    b->what.version++;
    b->what.digest = weights_digest(flat, 0, layout->elements);
    return OK;
}

/* Of the process: others on the machine do not count. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void least(double *best, double begun)
{
    const double ms = (cpu_s() - begun) * 1000;
    if (!*best || ms < *best)
        *best = ms;
}

static err_t make(struct bench *b, bool by_list, size_t *ret_bytes)
{
    struct edition edition = {0};
    struct published what = b->what;
    what.marks = by_list ? b->marks.address : NULL;
    TRY(editions_make(by_list ? b->by_list : b->by_all, b->model, &what, &edition));
    *ret_bytes = edition.read_bytes;
    snapshot_free(edition.snapshot);
    delta_free(edition.delta);
    listed_free(edition.listed);
    return OK;
}

static err_t one_version(struct bench *b, size_t every)
{
    struct digest digest;
    TRY(update(b, every));
    double begun = cpu_s();
    TRY(make(b, true, &b->list_bytes));
    least(&b->list_ms, begun);
    begun = cpu_s();
    TRY(make(b, false, &b->all_bytes));
    least(&b->all_ms, begun);
    begun = cpu_s();
    TRY(model_digest(b->model, &digest));
    least(&b->digest_ms, begun);
    return OK;
}

static err_t run(double parameters)
{
    static const size_t densities[] = {1000, 100, 30};
    struct bench __attribute__((cleanup(bench_done))) b = {0};
    TRY(open_bench(&b, parameters));
    for (size_t d = 0; d < sizeof densities / sizeof *densities; d++) {
        b.list_ms = b.all_ms = b.digest_ms = 0;
        TRY(one_version(&b, densities[d])); // without one before it; then those that count
        b.list_ms = b.all_ms = b.digest_ms = 0;
        for (int i = 0; i < REPEAT; i++)
            TRY(one_version(&b, densities[d]));
        printf("{\"bench\":\"editions\",\"parameters\":%zu,\"changed_percent\":%.3f,"
               "\"list_bytes\":%zu,\"all_bytes\":%zu,\"bytes_ratio\":%.5f,\"list_ms\":%.2f,"
               "\"digest_ms\":%.2f,\"all_ms\":%.2f,\"time_ratio\":%.3f}\n",
               b.model->params->layout->parameters,
               100.0 * (double)b.changed / (double)b.model->params->layout->parameters,
               b.list_bytes, b.all_bytes, (double)b.list_bytes / (double)b.all_bytes, b.list_ms,
               b.digest_ms, b.all_ms, (b.list_ms - b.digest_ms) / b.all_ms);
        fflush(stdout);
    }
    return OK;
}

int main(int argc, char **argv)
{
    err_t failed = run(argc > 1 ? strtod(argv[1], NULL) : 5e7);
    if (err_failed(failed)) {
        fprintf(stderr, "bench_editions: %s\n", err_message(failed));
        return 1;
    }
    return 0;
}
