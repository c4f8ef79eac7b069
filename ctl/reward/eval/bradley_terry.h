/* Strengths of players from the games between them: the chance that i beats j is
 * logistic(s[i] - s[j]) (Bradley and Terry 1952).
 *
 *     bradley_terry_fit(won, players, strength);
 *
 * Any thread; pure. */
#pragma once
#include <stddef.h>

enum { BRADLEY_TERRY_PLAYERS = 64 };
/* The fit has the least of -sum(log chances) + RIDGE / 2 * sum(s^2). Without the ridge a player who
 * won or lost all games had no finite strength. */
#define BRADLEY_TERRY_RIDGE 0.01

/* won[i * players + j]: games that i won against j; a tie is half a game for each. strength:
 * (players), their sum is 0. players: 1 to BRADLEY_TERRY_PLAYERS. */
void bradley_terry_fit(const double *won, size_t players, double *strength);
