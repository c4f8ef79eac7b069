/* The CPU's ops over memory that nobody else can reach. One memfd is mapped twice: addresses are of
 * the mapping without rights, and each op translates them to the other one. No right is ever
 * changed, so a dereference outside tensor/ ends the process wherever and whenever it happens. An
 * address that is not of this memory ends it too: an op was given memory of the host's. */
#include "tensor/opaque/opaque.h"
#include "base/mem.h"
#include "tensor/cpu/open.h"
#include "tensor/ops_table.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* RESERVE: address space of each mapping. Pages exist as far as the file was extended and written.
 * Space is not used twice: what is freed gives its pages back, and an address kept too long meets
 * zeros. */
enum { ALIGN = 4096 };
static const size_t RESERVE = (size_t)256 << 30;

struct opaque {
    struct backend base; // first
    struct backend *cpu; // whose ops compute
    int fd;
    char *sealed;   // without rights: what callers get
    char *readable; // the same pages
    size_t used;    // bytes of the file
    int blocks;
    struct block {
        size_t at, bytes;
    } * block; // those that are not freed
};

static struct opaque *opaque_of(struct backend *be)
{
    return (struct opaque *)be;
}

static void *readable(const struct opaque *o, const void *address)
{
    const size_t at = (size_t)((const char *)address - o->sealed);
    if (!address)
        return NULL;
    assert(at < RESERVE);
    return o->readable + at;
}

/* In an op's wrapper, whose backend is `be`: the address as the CPU reads it, and the CPU with its
 * op. */
#define IN(p)          ((__typeof__(p))readable(opaque_of(be), (p)))
#define CPU            opaque_of(be)->cpu
#define RUN(op, ...)   CPU->ops->op(CPU, __VA_ARGS__)
#define OPAQUE_OP(op)  static __typeof__(*((struct backend_ops *)0)->op) opaque_##op;
#define OPAQUE_ROW(op) .op = opaque_##op,

BACKEND_OPS(OPAQUE_OP)

/* ---- memory */

static err_t opaque_memory_new(struct backend *be, size_t bytes, void **ret)
{
    struct opaque *o = opaque_of(be);
    const size_t rounded = (bytes / ALIGN + 1) * ALIGN;
    if (bytes > opaque_capacity(be, NULL) || rounded > RESERVE - o->used ||
        ftruncate(o->fd, (off_t)(o->used + rounded)))
        return err_new(ERR_EXHAUSTED, "no opaque memory for %zu bytes", bytes);
    o->block = mem_grow(o->block, (size_t)o->blocks + 1, sizeof *o->block);
    o->block[o->blocks++] = (struct block){o->used, rounded};
    *ret = o->sealed + o->used;
    o->used += rounded;
    return OK;
}

static void opaque_memory_free(struct backend *be, void *address)
{
    struct opaque *o = opaque_of(be);
    const size_t at = (size_t)((char *)address - o->sealed);
    int i = 0;
    if (!address)
        return;
    while (i < o->blocks && o->block[i].at != at)
        i++;
    assert(i < o->blocks);
    fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
              (off_t)o->block[i].bytes);
    o->block[i] = o->block[--o->blocks];
}

static err_t opaque_put(struct backend *be, void *to, const void *from, size_t bytes)
{
    return RUN(put, IN(to), from, bytes);
}

static err_t opaque_get(struct backend *be, void *to, const void *from, size_t bytes)
{
    return RUN(get, to, IN(from), bytes);
}

static err_t opaque_copy(struct backend *be, void *to, const void *from, size_t bytes)
{
    return RUN(copy, IN(to), IN(from), bytes);
}

static err_t opaque_zero(struct backend *be, void *data, size_t bytes)
{
    return RUN(zero, IN(data), bytes);
}

static size_t opaque_capacity(struct backend *be, size_t *ret_free)
{
    return CPU->ops->capacity(CPU, ret_free);
}

/* The host's memory is the CPU's own. */
static err_t opaque_host_new(struct backend *be, size_t bytes, void **ret)
{
    return RUN(host_new, bytes, ret);
}

static void opaque_host_free(struct backend *be, void *address)
{
    RUN(host_free, address);
}

static err_t opaque_page_in(struct backend *be, int slot, void *to, const void *from, size_t bytes)
{
    return RUN(page_in, slot, IN(to), from, bytes);
}

static err_t opaque_page_wait(struct backend *be, int slot)
{
    return RUN(page_wait, slot);
}

static err_t opaque_page_out(struct backend *be, int slot, void *to, const void *from, size_t bytes)
{
    return RUN(page_out, slot, to, IN(from), bytes);
}

static err_t opaque_gather(struct backend *be, float *y, const float *x, const int32_t *row,
                           int count, int C)
{
    return RUN(gather, IN(y), IN(x), row, count, C);
}

static err_t opaque_scatter_add(struct backend *be, float *y, const float *x, const int32_t *row,
                                int count, int C)
{
    return RUN(scatter_add, IN(y), IN(x), row, count, C);
}

/* ---- weights, and keys and values: the CPU's own memory, which has no address outside it */

static err_t opaque_weights_new(struct backend *be, const struct weight_form *form, int count,
                                struct weight **ret)
{
    SCOPED_MEM struct weight_form *inside = mem_array((size_t)count, sizeof *inside);
    for (int i = 0; i < count; i++) {
        inside[i] = form[i];
        inside[i].rows = IN(form[i].rows);
    }
    return RUN(weights_new, inside, count, ret);
}

static err_t opaque_weight_put(struct backend *be, struct weight *weight, const bf16 *w, int row,
                               int rows)
{
    return RUN(weight_put, weight, w, row, rows);
}

static err_t opaque_weight_repack(struct backend *be, struct weight *weight)
{
    return RUN(weight_repack, weight);
}

static err_t opaque_weight_get(struct backend *be, const struct weight *weight, size_t first,
                               size_t count, bf16 *ret)
{
    return RUN(weight_get, weight, first, count, ret);
}

static void opaque_weight_free(struct backend *be, struct weight *weight)
{
    RUN(weight_free, weight);
}

static err_t opaque_changes_new(struct backend *be, size_t most, struct weight_changes **ret)
{
    return RUN(changes_new, most, ret);
}

static err_t opaque_changes_add(struct backend *be, struct weight_changes *changes,
                                struct weight *weight, size_t first, const uint32_t *index,
                                const bf16 *value, size_t count)
{
    return RUN(changes_add, changes, weight, first, index, value, count);
}

static err_t opaque_changes_apply(struct backend *be, struct weight_changes *changes)
{
    return RUN(changes_apply, changes);
}

static void opaque_changes_free(struct backend *be, struct weight_changes *changes)
{
    RUN(changes_free, changes);
}

static err_t opaque_changes_list(struct backend *be, const bf16 *w, const uint32_t *marks,
                                 const struct extent *extent, int extents, size_t most, void *list,
                                 uint32_t *ret_count)
{
    return RUN(changes_list, IN(w), IN(marks), extent, extents, most, IN(list), ret_count);
}

static err_t opaque_weight_change(struct backend *be, struct weight *weight, const uint32_t *index,
                                  const bf16 *value, size_t count)
{
    return RUN(weight_change, weight, IN(index), IN(value), count);
}

static err_t opaque_kv_new(struct backend *be, int layers, const struct attention_shape *shape,
                           enum kv_format format, int pages, struct kv_pages **ret)
{
    return RUN(kv_new, layers, shape, format, pages, ret);
}

static err_t opaque_kv_copy(struct backend *be, struct kv_pages *kv, int32_t dst, int32_t src)
{
    return RUN(kv_copy, kv, dst, src);
}

static void opaque_kv_free(struct backend *be, struct kv_pages *kv)
{
    RUN(kv_free, kv);
}

/* ---- products */

static err_t opaque_matmul(struct backend *be, float *y, const float *x, const struct weight *w,
                           int M, int accumulate)
{
    return RUN(matmul, IN(y), IN(x), w, M, accumulate);
}

static err_t opaque_matmuls(struct backend *be, const struct product *products, int count,
                            const float *x, int M)
{
    struct product inside[PRODUCTS_MAX] = {0};
    for (int i = 0; i < count && i < PRODUCTS_MAX; i++)
        inside[i] = (struct product){IN(products[i].y), products[i].w};
    return RUN(matmuls, inside, count, IN(x), M);
}

static err_t opaque_matmul_dx(struct backend *be, float *dx, const float *dy,
                              const struct weight *w, int M, int accumulate)
{
    return RUN(matmul_dx, IN(dx), IN(dy), w, M, accumulate);
}

static err_t opaque_matmul_dw(struct backend *be, float *dw, const float *dy, const float *x, int M,
                              int N, int K, const struct row_cuts *cuts)
{
    return RUN(matmul_dw, IN(dw), IN(dy), IN(x), M, N, K, cuts);
}

/* ---- pieces of a decoder layer */

static err_t opaque_embed(struct backend *be, float *y, const struct weight *table,
                          const int32_t *token, int N)
{
    return RUN(embed, IN(y), table, IN(token), N);
}

static err_t opaque_embed_backward(struct backend *be, float *dtable, const float *dy,
                                   const int32_t *token, int N, int C)
{
    return RUN(embed_backward, IN(dtable), IN(dy), IN(token), N, C);
}

static err_t opaque_rmsnorm(struct backend *be, float *y, float *r, const float *x,
                            const bf16 *weight, float eps, int N, int C)
{
    return RUN(rmsnorm, IN(y), IN(r), IN(x), IN(weight), eps, N, C);
}

static err_t opaque_rmsnorm_backward(struct backend *be, float *dx, float *dweight, const float *dy,
                                     const float *x, const float *r, const bf16 *weight, int N,
                                     int C)
{
    return RUN(rmsnorm_backward, IN(dx), IN(dweight), IN(dy), IN(x), IN(r), IN(weight), N, C);
}

static err_t opaque_layernorm(struct backend *be, float *y, float *stats, const float *x,
                              const bf16 *weight, float eps, int N, int C)
{
    return RUN(layernorm, IN(y), IN(stats), IN(x), IN(weight), eps, N, C);
}

static err_t opaque_layernorm_backward(struct backend *be, float *dx, float *dweight,
                                       const float *dy, const float *x, const float *stats,
                                       const bf16 *weight, int N, int C)
{
    return RUN(layernorm_backward, IN(dx), IN(dweight), IN(dy), IN(x), IN(stats), IN(weight), N, C);
}

static err_t opaque_bias(struct backend *be, float *y, const bf16 *bias, int N, int C)
{
    return RUN(bias, IN(y), IN(bias), N, C);
}

static err_t opaque_bias_backward(struct backend *be, float *dbias, const float *dy, int N, int C)
{
    return RUN(bias_backward, IN(dbias), IN(dy), N, C);
}

static err_t opaque_rope(struct backend *be, float *x, const int32_t *position, const float *cos,
                         const float *sin, int N, int heads, int D, int R, int inverse)
{
    return RUN(rope, IN(x), IN(position), IN(cos), IN(sin), N, heads, D, R, inverse);
}

static err_t opaque_swiglu(struct backend *be, float *y, const float *gate, const float *up,
                           size_t count)
{
    return RUN(swiglu, IN(y), IN(gate), IN(up), count);
}

static err_t opaque_swiglu_backward(struct backend *be, float *dgate, float *dup, const float *dy,
                                    const float *gate, const float *up, size_t count)
{
    return RUN(swiglu_backward, IN(dgate), IN(dup), IN(dy), IN(gate), IN(up), count);
}

static err_t opaque_gelu(struct backend *be, float *y, const float *x, size_t count, int by_tanh)
{
    return RUN(gelu, IN(y), IN(x), count, by_tanh);
}

static err_t opaque_gelu_backward(struct backend *be, float *dx, const float *dy, const float *x,
                                  size_t count, int by_tanh)
{
    return RUN(gelu_backward, IN(dx), IN(dy), IN(x), count, by_tanh);
}

static err_t opaque_attention(struct backend *be, float *o, float *lse, const float *q,
                              const float *k, const float *v, const struct segment *segments,
                              int count, const struct attention_shape *shape, int layer)
{
    return RUN(attention, IN(o), IN(lse), IN(q), IN(k), IN(v), segments, count, shape, layer);
}

static err_t opaque_attention_backward(struct backend *be, float *dq, float *dk, float *dv,
                                       const float *d_o, const float *q, const float *k,
                                       const float *v, const float *o, const float *lse,
                                       const struct segment *segments, int count,
                                       const struct attention_shape *shape)
{
    return RUN(attention_backward, IN(dq), IN(dk), IN(dv), IN(d_o), IN(q), IN(k), IN(v), IN(o),
               IN(lse), segments, count, shape);
}

static err_t opaque_add(struct backend *be, float *y, const float *x, size_t count)
{
    return RUN(add, IN(y), IN(x), count);
}

static err_t opaque_scale(struct backend *be, float *x, float factor, size_t count)
{
    return RUN(scale, IN(x), factor, count);
}

static err_t opaque_round_bf16(struct backend *be, float *x, size_t count)
{
    return RUN(round_bf16, IN(x), count);
}

/* ---- the vocabulary row */

static err_t opaque_token_logp(struct backend *be, float *logp, float *entropy, const float *logits,
                               const int32_t *token, float inverse_temperature, int N, int V)
{
    return RUN(token_logp, logp, entropy, IN(logits), token, inverse_temperature, N, V);
}

static err_t opaque_token_logp_backward(struct backend *be, float *logits, const float *dlogp,
                                        const int32_t *token, float inverse_temperature, int N,
                                        int V)
{
    return RUN(token_logp_backward, IN(logits), dlogp, token, inverse_temperature, N, V);
}

static err_t opaque_row_terms(struct backend *be, const float *logits, const float *reference,
                              const struct row_call *call, const struct row_values *ret)
{
    return RUN(row_terms, IN(logits), IN(reference), call, ret);
}

static err_t opaque_row_terms_backward(struct backend *be, float *logits, const float *reference,
                                       const struct row_call *call, const struct row_slopes *slopes)
{
    return RUN(row_terms_backward, IN(logits), IN(reference), call, slopes);
}

static err_t opaque_token_mask(struct backend *be, float *logits, const struct token_range *range,
                               int ranges, int N, int V)
{
    return RUN(token_mask, IN(logits), range, ranges, N, V);
}

static err_t opaque_token_draw(struct backend *be, const float *logits, int N, int V,
                               const struct token_request *request, int count,
                               struct token_draw *ret)
{
    return RUN(token_draw, IN(logits), N, V, request, count, ret);
}

/* ---- the optimizer */

static err_t opaque_digest(struct backend *be, const bf16 *w, size_t first, size_t count,
                           struct digest *ret)
{
    return RUN(digest, IN(w), first, count, ret);
}

static err_t opaque_square_sum(struct backend *be, const float *x, size_t count, double *ret)
{
    return RUN(square_sum, IN(x), count, ret);
}

static err_t opaque_adamw(struct backend *be, float *master, bf16 *w, float *m, float *v,
                          const float *grad, size_t first, size_t count,
                          const struct adamw_step *step, uint32_t *marks, struct adamw_total *total)
{
    return RUN(adamw, IN(master), IN(w), IN(m), IN(v), IN(grad), first, count, step, IN(marks),
               IN(total));
}

/* ---- opening and closing */

static err_t opaque_step_begin(struct backend *be)
{
    return CPU->ops->step_begin(CPU);
}

static err_t opaque_step_end(struct backend *be)
{
    return CPU->ops->step_end(CPU);
}

static err_t opaque_sync(struct backend *be)
{
    return CPU->ops->sync(CPU);
}

static void opaque_free(struct backend *be)
{
    struct opaque *o = opaque_of(be);
    if (o->sealed)
        munmap(o->sealed, RESERVE);
    if (o->readable)
        munmap(o->readable, RESERVE);
    if (o->fd >= 0)
        close(o->fd);
    backend_free(o->cpu);
    mem_free(o->block);
    mem_free(o);
}

static const struct backend_ops opaque_ops = {.name = "opaque", BACKEND_OPS(OPAQUE_ROW)};

static err_t map(const struct opaque *o, int rights, char **ret)
{
    void *at = mmap(NULL, RESERVE, rights, MAP_SHARED | MAP_NORESERVE, o->fd, 0);
    if (at == MAP_FAILED)
        return err_errno(errno, "opaque memory: cannot map %zu bytes of address space", RESERVE);
    *ret = at;
    return OK;
}

err_t opaque_open(const struct backend_config *config, struct backend **ret)
{
    struct opaque *o = mem_new(sizeof *o);
    SCOPED(backend) be = &o->base;
    o->base.ops = &opaque_ops;
    o->fd = memfd_create("rlhfd opaque memory", MFD_CLOEXEC);
    if (o->fd < 0)
        return err_errno(errno, "opaque memory: cannot make a memfd");
    TRY(map(o, PROT_NONE, &o->sealed));
    TRY(map(o, PROT_READ | PROT_WRITE, &o->readable));
    TRY(cpu_open(config, &o->cpu));
    o->base.forward = o->cpu->forward; // the same ops: the same bits
    o->base.training = o->cpu->training;
    o->base.apart = true;
    *ret = STEAL(be);
    return OK;
}
