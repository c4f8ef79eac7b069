/* The terminal, whole: shows grids, gives keys. The one home of ncurses.
 *
 *     SCOPED(screen) screen = NULL;
 *     TRY(screen_open(&screen));                      -- PRECONDITION: not a terminal
 *     SCOPED(grid) grid = grid_new(screen_columns(screen), screen_lines(screen));
 *     screen_show(screen, grid);
 *     while ((key = screen_key(screen)) != SCREEN_NO_KEY) ...
 *
 * One at a time in a process; freeing it gives the terminal back as it was. Owner: the main
 * thread. */
#pragma once
#include "base/err.h"
#include "ctl/look/grid.h"

enum { SCREEN_NO_KEY = -1, SCREEN_RESIZED = -2 };

struct screen;
err_t screen_open(struct screen **ret);
int screen_columns(const struct screen *screen);
int screen_lines(const struct screen *screen);
void screen_show(struct screen *screen, const struct grid *grid); // as far as it fits
int screen_key(struct screen *screen);                            // does not wait
void screen_free(struct screen *screen);
DEFINE_SCOPED(screen)
