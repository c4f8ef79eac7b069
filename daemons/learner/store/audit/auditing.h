/* The audit's walk, and how its sources report: audit.c walks slots, audit_rounds.c rounds and the
 * groups that left. Owner: one thread. */
#pragma once
#include "learner/store/audit/audit.h"
#include "learner/store/db.h"
#include "learner/store/lineages.h"
#include "learner/store/record.h"

/* A group as a round names it, and why it must have left. */
struct named {
    uint64_t slot, round;
    uint32_t attempt, use;
    enum reason reason;
    bool cut;   // by a round that a fork cut off
    bool spent; // by its last allowed use
};

/* A group that rounds name, with its uses; or the group of a stored slot, with its uses. */
struct used {
    uint64_t slot, last;    // the last round of the history that trained it
    uint32_t attempt, uses; // by rounds of the history
    bool trained, voided, cut, spent /* when cut off */, matched;
};

struct walk {
    struct db *db;
    FILE *out;
    struct audit *audit;
    struct counters counters;
    struct lineages lineages;
    struct named *named; // by rounds
    size_t n, capacity;
    struct used *used; // of the named ones, by slot and attempt
    size_t used_n, next;
    struct used *kept; // of stored slots, by slot
    size_t kept_n;
    uint64_t *voided; // (audit->voided) rounds, ascending
};

/* A broken promise: counted, and a line of the output. */
void audit_broken(struct walk *walk, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A damaged record is a finding, not the end of the walk. Takes e. */
bool audit_readable(struct walk *walk, err_t e, const char *what, uint64_t number);

/* The group's bytes are there and as digested: of a stored slot, or of one that a round names. */
void audit_stored(struct walk *walk, const struct slot *slot, const struct round_group *of);

/* audit_rounds.c: rounds, versions, ends of rounds; then the groups that left. */
err_t audit_rounds(struct walk *walk);
err_t audit_gone(struct walk *walk);
