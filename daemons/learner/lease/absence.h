/* Generators that hold leases and have no open stream: when their leases are freed. Pure.
 *
 *     absences_init(&absences, clock_ms());                   -- the learner begins
 *     absences_add(&absences, "gpu-3", 7, peer, clock_ms());  -- its stream has closed
 *     absences_end(&absences, "gpu-3");                       -- a process of this name has come
 *     absences_company(&absences, streams > 0, clock_ms());
 *     struct absence *over = absences_over(&absences, grace_ms, clock_ms());   -- NULL: none
 *     absences_remove(&absences, over);                       -- its leases are free
 *
 * An absence lasts a grace, in which the generator may come back to its work. The grace counts only
 * while another generator is there. A break of the network that cuts all off so throws no work
 * away. No grace ends within LEASE_RETURN_MS of the learner's start, as generators are still coming
 * back then. Owner: the storage thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A generator that has missed the learner for long tries again every 6 s. */
enum { LEASE_RETURN_MS = 30000 };

struct absence {
    char *generator, *peer; // peer "": gone since before the learner's start
    uint64_t term;
    int64_t since_ms;
    bool away; // was told to leave: it has no grace
};

struct absences {
    struct absence *at; // (count)
    size_t count;
    int64_t began_ms;
    bool company; // some generator could take the leases, since company_ms
    int64_t company_ms;
};

void absences_init(struct absences *absences, int64_t now_ms);
void absences_done(struct absences *absences);

/* Copies the texts. Again for the same generator and term: only the first counts. Valid until the
 * next call that adds or removes one. */
struct absence *absences_add(struct absences *absences, const char *generator, uint64_t term,
                             const char *peer, int64_t now_ms);

/* All of this name: a process that has come holds its leases, or has freed them. */
void absences_end(struct absences *absences, const char *generator);
void absences_remove(struct absences *absences, struct absence *absence);
struct absence *absences_find(const struct absences *absences, const char *generator);

/* Whether another generator is there that leases may be granted to. */
void absences_company(struct absences *absences, bool company, int64_t now_ms);

/* The first whose grace is over. NULL: none. */
struct absence *absences_over(const struct absences *absences, int64_t grace_ms, int64_t now_ms);
