/* The ring as a picture: generators -> rewarders -> learner -> back, what flows on each arrow, how
 * old what is trained is, and who waits for whom.
 *
 *     SCOPED(grid) grid = grid_new(80, 24);
 *     ring_picture(&state, now_ms, "q quit  p pause", grid);
 *
 * Drawn from the state alone; whatever the size, nothing fails: what has no room is left out. One
 * thread at a time. */
#pragma once
#include "ctl/look/grid.h"
#include "ctl/look/ring_state.h"

/* footer: the last line. */
void ring_picture(const struct ring_state *state, int64_t now_ms, const char *footer,
                  struct grid *ret);
