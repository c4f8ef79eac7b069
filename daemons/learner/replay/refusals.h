/* Workers whose hello was refused: counted, and logged once a minute for each, as they may come
 * again many times a second.
 *
 *     struct refusals refusals = {0};
 *     refusals_note(&refusals, "generator", "gpu-3", peer, why);
 *
 * Owner: one thread. */
#pragma once
#include "base/err.h"
#include "wire/hello.h"
#include <stdint.h>

enum { REFUSALS_MAX = 64, REFUSAL_KEY = 384 };

struct refusal {
    char who[REFUSAL_KEY];
    int64_t logged_ms;
    uint64_t since; // refused and not logged
};
struct refusals {
    struct refusal at[REFUSALS_MAX]; // the place of one that is too many is that logged longest ago
    int count;
};

void refusals_register(void); // the metric

/* name may be NULL. peer: an address, whose port does not count: it changes with each
 * connection. */
void refusals_note(struct refusals *refusals, const char *kind, const char *name, const char *peer,
                   err_t why);

/* Logs a worker that was taken although its protocol is the one before ours. */
void refusals_older(const char *kind, const char *name, const struct hello *hello);
