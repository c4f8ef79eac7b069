/* The ring as a picture: generators -> rewarders -> learner -> back. The picture shows the rates on
 * each arrow, the age of the trained groups, and each daemon that waits.
 *
 *     SCOPED(grid) grid = grid_new(80, 24);
 *     ring_picture(&state, now_ms, "q quit  p pause", grid);
 *
 * Drawn from the state alone. No size fails: parts without room are left out. One thread at a
 * time. */
#pragma once
#include "ctl/look/grid.h"
#include "ctl/look/ring_state.h"

/* footer: the last line. */
void ring_picture(const struct ring_state *state, int64_t now_ms, const char *footer,
                  struct grid *ret);
