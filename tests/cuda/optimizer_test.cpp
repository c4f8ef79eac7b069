/* AdamW, what it counts, hashes and marks; the sum of squares: plain C, bit for bit. */
#include "cuda_emu_count.h"
#include "tensor/cuda/optimizer.h"
#include "tensor/digest_hash.h"
#include "vocabulary_reference.h"

struct state {
    std::vector<float> master, m, v, grad;
    std::vector<bf16> w;
    std::vector<uint32_t> marks;
    unsigned long long changed;
    u128 digest;
};

static state state_of(size_t count, uint64_t seed)
{
    state s = {floats(count, 0.02f, seed),
               floats(count, 1e-3f, seed + 1),
               floats(count, 1e-3f, seed + 2),
               floats(count, 1e-2f, seed + 3),
               std::vector<bf16>(count),
               std::vector<uint32_t>((count + 31) / 32),
               0,
               0};
    for (size_t i = 0; i < count; i++) {
        s.v[i] *= s.v[i];
        s.w[i] = __float2bfloat16_rn(s.master[i]);
    }
    for (size_t i = 0; i < s.marks.size(); i += 3)
        s.marks[i] = 1u << i % 7; // bits that were set stay
    return s;
}

static void plain_step(state &s, size_t first, const adamw_constants &c)
{
    for (size_t i = 0; i < s.w.size(); i++) {
        const float g = s.grad[i] * c.grad_scale;
        s.m[i] = fmaf(c.beta1, s.m[i], c.one_minus_beta1 * g);
        s.v[i] = fmaf(c.beta2, s.v[i], c.one_minus_beta2 * (g * g));
        s.master[i] =
            fmaf(-c.rate, s.m[i] / (sqrtf(s.v[i] * c.v_scale) + c.eps), s.master[i] * c.keep);
        const bf16 rounded = __float2bfloat16_rn(s.master[i]);
        if (rounded.bits == s.w[i].bits)
            continue;
        s.changed++;
        s.digest += weight_hash(first + i, rounded.bits) - weight_hash(first + i, s.w[i].bits);
        s.marks[i / 32] |= 1u << i % 32;
        s.w[i] = rounded;
    }
}

/* Two calls add to one total. Arrays begin `off` elements into their memory. */
static void steps(size_t count, size_t off, float rate, bool marked)
{
    const adamw_constants c = {0.7f, 0.9f, 0.1f, 0.95f, 0.05f, 0.9999f, rate, 2.5f, 1e-8f};
    const size_t first = ((size_t)1 << 40) - 5;
    state s = state_of(count, 1 + count);
    device<float> master(count + off), m(count + off), v(count + off), grad(count + off);
    device<bf16> w(count + off);
    device<uint32_t> marks(s.marks);
    device<optimizer_total> total(std::vector<optimizer_total>{{0, 0, 0}});
    const auto put = [&](device<float> &to, const std::vector<float> &from) {
        std::vector<float> all(off);
        all.insert(all.end(), from.begin(), from.end());
        to.put(all);
    };
    const auto same = [&](device<float> &got, const std::vector<float> &want, const char *what) {
        const auto all = got.get();
        same_bits(std::vector<float>(all.begin() + (ptrdiff_t)off, all.end()), want, what);
    };
    put(master, s.master);
    put(m, s.m);
    put(v, s.v);
    put(grad, s.grad);
    std::vector<bf16> halves(off);
    halves.insert(halves.end(), s.w.begin(), s.w.end());
    w.put(halves);
    const std::vector<uint32_t> unmarked = s.marks;
    for (int step = 0; step < 2; step++) {
        const optimizer_arrays arrays = {master.at + off, (uint16_t *)w.at + off, m.at + off,
                                         v.at + off, grad.at + off};
        assert_cuda(
            optimizer_adamw(NULL, &arrays, first, count, &c, marked ? marks.at : NULL, total));
        plain_step(s, first, c);
    }
    same(master, s.master, "adamw master");
    same(m, s.m, "adamw m");
    same(v, s.v, "adamw v");
    halves = w.get();
    same_bits(std::vector<bf16>(halves.begin() + (ptrdiff_t)off, halves.end()), s.w, "adamw w");
    same_bits(marks.get(), marked ? s.marks : unmarked, "adamw marks");
    const optimizer_total got = total.get()[0];
    assert_int_equal(got.changed, s.changed);
    if (((u128)got.high << 64 | got.low) != s.digest)
        fail_msg("adamw: the digest's change is another");
}

static void optimizers(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        steps(0, 0, 1e-4f, true);
        for (size_t count : {1, 7, 8, 9, 255, 256, 257, 2047, 2049})
            steps(count, 0, 1e-3f, true);
        steps(3001, 3, 1e-3f, true);
        steps(3001, 4, 1e-3f, true);
        steps(70001, 0, 1e-4f, true);
        steps(5000, 0, 1, false);
        steps(5000, 0, 0, true);
    }
}

/* Each number is read once and written once: 18 bytes of an element and 14. Words of marks and a
 * block's sums come on top. */
static void one_pass(void **)
{
    const size_t count = 1 << 16;
    const adamw_constants c = {1, 0.9f, 0.1f, 0.95f, 0.05f, 1, 1e-3f, 2.5f, 1e-8f};
    cuda_emu_count rows[2];
    if (!emu::checked)
        skip();
    const state s = state_of(count, 1);
    device<float> master(s.master), m(s.m), v(s.v), grad(s.grad);
    device<bf16> w(s.w);
    device<uint32_t> marks(s.marks);
    device<optimizer_total> total(std::vector<optimizer_total>{{0, 0, 0}});
    const optimizer_arrays arrays = {master, (uint16_t *)w.at, m, v, grad};
    const size_t blocks = count / 2048;
    const size_t more = count / 32 * sizeof(uint32_t) + blocks * sizeof(optimizer_total);
    cuda_emu_count_begin();
    assert_cuda(optimizer_adamw(NULL, &arrays, 0, count, &c, marks, total));
    assert_cuda(cudaDeviceSynchronize());
    assert_int_equal(cuda_emu_count_end(rows, 2), 1);
    print_message("%.2f bytes of an element are read, %.2f written\n",
                  (double)rows[0].read / (double)count, (double)rows[0].written / (double)count);
    assert_in_range(rows[0].read, count * 18, count * 18 + more);
    assert_in_range(rows[0].written, count * 14, count * 14 + more);
    assert_in_range(rows[0].unique_read, count * 18, count * 18 + blocks * 32 + more);
}

static double reference_squares(const std::vector<float> &x)
{
    const auto total = [](const std::vector<double> &thread) {
        double sum = 0;
        for (size_t w = 0; w < thread.size() / 32; w++) {
            const double one = tree_of_lanes({&thread[w * 32], &thread[w * 32] + 32});
            sum = w ? sum + one : one;
        }
        return sum;
    };
    std::vector<double> thread(256);
    for (size_t at = 0; at < x.size(); at += 16384) {
        std::vector<double> mine(256);
        for (size_t i = at; i < x.size() && i < at + 16384; i++)
            mine[(i - at) / 4 % 256] += (double)x[i] * (double)x[i];
        thread[at / 16384 % 256] += total(mine);
    }
    return total(thread);
}

static void squares(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        for (size_t count : {0, 1, 5, 1024, 16383, 16384, 16385, 100003}) {
            const auto x = floats(count, 1e-3f, 1);
            device<float> there(x);
            device<double> work(optimizer_square_bytes(count) / sizeof(double));
            assert_cuda(optimizer_square_sum(NULL, there, count, work));
            same_bits(std::vector<double>{work.get()[0]}, {reference_squares(x)}, "squares");
        }
    }
}

/* Counting ends the search for races: last. */
TESTS(cmocka_unit_test(optimizers), cmocka_unit_test(squares), cmocka_unit_test(one_pass))
