/* Rows in plain C++, in the orders that tensor/cuda/rows.h documents. Included by the tests of
 * kernels that go row by row. */
#pragma once
#include "vocabulary_reference.h"

/* The float at `off` of an allocation, so that rows begin anywhere. */
struct placed {
    device<float> memory;
    size_t off;
    placed(const std::vector<float> &v, size_t off_) : memory(v.size() + off_), off(off_)
    {
        std::vector<float> all(off + v.size());
        std::copy(v.begin(), v.end(), all.begin() + (ptrdiff_t)off);
        memory.put(all);
    }
    operator float *() const
    {
        return memory.at + off;
    }
    std::vector<float> get() const
    {
        const std::vector<float> all = memory.get();
        return std::vector<float>(all.begin() + off, all.end());
    }
};

/* The sum of a row's f(x): threads by pieces of four. */
template <class F> static inline float sum_of_row(const float *x, int C, F f)
{
    const int T = C <= ROW_NARROW ? 32 : 256;
    std::vector<float> thread(T);
    for (int i = 0; i < C; i++)
        thread[i / 4 % T] = f(thread[i / 4 % T], x[i]);
    return tree_of_warps(thread);
}

static inline float square(float sum, float x)
{
    return fmaf(x, x, sum);
}

/* Rows that have no log-probability, and such as have one all the same. */
static inline std::vector<float> hostile(int V)
{
    std::vector<float> x;
    for (int n = 0; n < 6; n++) {
        auto row = floats(V, 3, 100 + n);
        if (n == 0)
            row[V / 2] = NAN;
        if (n == 1)
            row[V - 1] = INFINITY;
        for (int v = 0; v < V && n == 2; v++)
            row[v] = -INFINITY;
        for (int v = 0; v < V && n == 3; v++)
            row[v] = v ? -INFINITY : -5;
        for (int v = 0; v < V && n == 4; v++)
            row[v] = v % 3 == 1 || v / 4096 == 1 ? -INFINITY : row[v];
        for (int v = 0; v < V && n == 5; v++)
            row[v] *= 1e37f;
        x.insert(x.end(), row.begin(), row.end());
    }
    return x;
}

static inline void same_numbers(std::vector<float> a, std::vector<float> b, const char *what)
{
    for (float &x : a)
        x = x == x ? x : 7e30f; // NaNs have many bits
    for (float &x : b)
        x = x == x ? x : 7e30f;
    same_bits(a, b, what);
}
