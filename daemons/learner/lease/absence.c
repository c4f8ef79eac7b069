#include "learner/lease/absence.h"
#include "base/mem.h"
#include <string.h>

void absences_init(struct absences *absences, int64_t now_ms)
{
    *absences = (struct absences){.began_ms = now_ms};
}

static void absence_done(struct absence *absence)
{
    mem_free(absence->generator);
    mem_free(absence->peer);
}

void absences_done(struct absences *absences)
{
    for (size_t i = 0; i < absences->count; i++)
        absence_done(&absences->at[i]);
    mem_free(absences->at);
    *absences = (struct absences){0};
}

struct absence *absences_add(struct absences *absences, const char *generator, uint64_t term,
                             const char *peer, int64_t now_ms)
{
    for (size_t i = 0; i < absences->count; i++) {
        struct absence *known = &absences->at[i];
        if (known->term == term && strcmp(known->generator, generator) == 0)
            return known;
    }
    absences->at = mem_grow(absences->at, absences->count + 1, sizeof *absences->at);
    struct absence *absence = &absences->at[absences->count++];
    *absence = (struct absence){.generator = mem_string(generator),
                                .peer = mem_string(peer),
                                .term = term,
                                .since_ms = now_ms};
    return absence;
}

void absences_remove(struct absences *absences, struct absence *absence)
{
    absence_done(absence);
    struct absence *last = &absences->at[--absences->count];
    memmove(absence, absence + 1, (size_t)(last - absence) * sizeof *absence);
}

struct absence *absences_find(const struct absences *absences, const char *generator)
{
    for (size_t i = 0; i < absences->count; i++)
        if (strcmp(absences->at[i].generator, generator) == 0)
            return &absences->at[i];
    return NULL;
}

void absences_end(struct absences *absences, const char *generator)
{
    for (struct absence *found; (found = absences_find(absences, generator));)
        absences_remove(absences, found);
}

void absences_company(struct absences *absences, bool company, int64_t now_ms)
{
    if (company && !absences->company)
        absences->company_ms = now_ms;
    absences->company = company;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

struct absence *absences_over(const struct absences *absences, int64_t grace_ms, int64_t now_ms)
{
    const bool returning = now_ms - absences->began_ms < LEASE_RETURN_MS;
    for (size_t i = 0; absences->company && i < absences->count; i++) {
        struct absence *absence = &absences->at[i];
        const int64_t from_ms = later(absence->since_ms, absences->company_ms);
        if (absence->away || (!returning && now_ms - from_ms >= grace_ms))
            return absence;
    }
    return NULL;
}
