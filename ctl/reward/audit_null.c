#include "ctl/reward/audit_null.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/reward/proportion.h"
#include <math.h>
#include <stdlib.h>

enum { LEAST_OF_BAND = 64, LEAST_OF_ALL = 16, FIRST_BAND = 32 };
#define MEDIAN_CHI  0.45493642311957 // of chi squared with one degree of freedom
#define RHO_MOST    0.9
#define RHO_UNKNOWN 0.1 // too few texts to tell: wide

static size_t band_of(double pairs)
{
    size_t band = 0;
    for (double end = FIRST_BAND; pairs >= end && band + 1 < AUDIT_NULL_BANDS; end *= 4)
        band++;
    return band;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of (won - n mean)^2 / its variance under rho. */
static double middle(const struct audit_seen *const *seen, size_t count, double mean, double rho,
                     double *room)
{
    for (size_t i = 0; i < count; i++) {
        const double n = seen[i]->won + seen[i]->lost, off = seen[i]->won - n * mean;
        room[i] = off * off / (n * mean * (1 - mean) * (1 + (n - 1) * rho));
    }
    qsort(room, count, sizeof *room, by_size);
    return count % 2 ? room[count / 2] : (room[count / 2 - 1] + room[count / 2]) / 2;
}

static double fit_band(const struct audit_seen *const *seen, size_t count, double mean)
{
    SCOPED_MEM double *room = mem_array(count, sizeof *room);
    double low = 0, high = RHO_MOST;
    if (middle(seen, count, mean, low, room) <= MEDIAN_CHI)
        return 0;
    for (int i = 0; i < 40; i++) { // the median falls as rho rises
        const double rho = (low + high) / 2;
        if (middle(seen, count, mean, rho, room) > MEDIAN_CHI)
            low = rho;
        else
            high = rho;
    }
    return high;
}

/* Those of a band; band AUDIT_NULL_BANDS: all. */
static size_t members_of(const struct audit_seen *seen, size_t count, size_t band,
                         const struct audit_seen **ret)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const double pairs = seen[i].won + seen[i].lost;
        if (pairs > 0 && (band == AUDIT_NULL_BANDS || band_of(pairs) == band))
            ret[n++] = &seen[i];
    }
    return n;
}

/* A band with few texts has the rho of the one before it, the first one that of all texts. */
void audit_null_fit(const struct audit_seen *seen, size_t count, struct audit_null *ret)
{
    SCOPED_MEM const struct audit_seen **members = mem_array(count, sizeof *members);
    double won = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        won += seen[i].won;
        all += seen[i].won + seen[i].lost;
    }
    ret->mean = all > 0 ? fmin(0.99, fmax(0.01, won / all)) : 0.5;
    const size_t any = members_of(seen, count, AUDIT_NULL_BANDS, members);
    double rho = any >= LEAST_OF_ALL ? fit_band(members, any, ret->mean) : RHO_UNKNOWN;
    for (size_t band = 0; band < AUDIT_NULL_BANDS; band++) {
        const size_t n = members_of(seen, count, band, members);
        if (n >= LEAST_OF_BAND)
            rho = fit_band(members, n, ret->mean);
        ret->rho[band] = rho;
    }
}

double audit_null_tail(const struct audit_null *null, double won, double lost)
{
    return beta_binomial_tail(won, won + lost, null->mean, null->rho[band_of(won + lost)]);
}
