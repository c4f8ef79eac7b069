#include "ctl/reward/eval/bradley_terry.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/reward/eval/statistics.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { STEPS = 64, HALVES = 40 };

static double loss_of(const double *won, size_t n, const double *s)
{
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        loss += BRADLEY_TERRY_RIDGE / 2 * s[i] * s[i];
        for (size_t j = 0; j < n; j++)
            if (won[i * n + j] > 0)
                loss -= won[i * n + j] * log_logistic(s[i] - s[j]);
    }
    return loss;
}

/* Gradient and second derivatives of the loss. */
static void slopes_of(const double *won, size_t n, const double *s, double *slope, double *second)
{
    memset(second, 0, n * n * sizeof *second);
    for (size_t i = 0; i < n; i++) {
        slope[i] = BRADLEY_TERRY_RIDGE * s[i];
        second[i * n + i] = BRADLEY_TERRY_RIDGE;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const double games = won[i * n + j] + won[j * n + i], p = logistic(s[i] - s[j]),
                         off = won[i * n + j] - games * p, curve = games * p * (1 - p);
            slope[i] -= off;
            slope[j] += off;
            second[i * n + i] += curve;
            second[j * n + j] += curve;
            second[i * n + j] = second[j * n + i] = -curve;
        }
}

/* Solves A x = b in place of b, for A symmetric and positive (Cholesky); A is lost. */
static void solve(double *a, size_t n, double *b)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= a[i * n + k] * b[k];
        b[i] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            b[i] -= a[k * n + i] * b[k];
        b[i] /= a[i * n + i];
    }
}

/* Newton's step, halved until the loss falls. Returns its largest part; 0: there is no better
 * place. */
static double step(const double *won, size_t n, double *s, double *loss, double *work)
{
    double *slope = work, *next = work + n, *second = work + 2 * n, size = 1, largest = 0;
    slopes_of(won, n, s, slope, second);
    solve(second, n, slope);
    for (int half = 0; half < HALVES; half++, size /= 2) {
        for (size_t i = 0; i < n; i++)
            next[i] = s[i] - size * slope[i];
        const double reached = loss_of(won, n, next);
        if (!(reached <= *loss))
            continue;
        for (size_t i = 0; i < n; i++)
            largest = fmax(largest, fabs(next[i] - s[i]));
        memcpy(s, next, n * sizeof *s);
        *loss = reached;
        return largest;
    }
    return 0;
}

void bradley_terry_fit(const double *won, size_t n, double *strength)
{
    assert(n >= 1 && n <= BRADLEY_TERRY_PLAYERS);
    SCOPED_MEM double *work = mem_array(n * (n + 2), sizeof *work);
    memset(strength, 0, n * sizeof *strength);
    double loss = loss_of(won, n, strength);
    for (int i = 0; i < STEPS && step(won, n, strength, &loss, work) > 1e-12; i++)
        ;
}
