/* A page of characters to draw on. A terminal shows it, and a test reads it as text.
 *
 *     struct grid *grid = grid_new(80, 24);
 *     grid_box(grid, 0, 0, 20, 6, STYLE_PLAIN);
 *     grid_put(grid, 2, 1, STYLE_BOLD, "round %d", 7);      -- what is outside is cut off
 *     grid_text(grid, &text);                               -- lines of UTF-8 without blanks at their ends
 *
 * One thread at a time. */
#pragma once
#include "base/bytes.h"
#include "base/scoped.h"
#include <stdint.h>

enum grid_style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_BAD, STYLE_BAR };
enum { GRID_MOST = 1000 }; // columns, lines

struct grid_cell {
    uint16_t code; // Unicode; one column wide
    uint8_t style;
};
struct grid {
    int columns, lines;
    struct grid_cell *cell; // (lines, columns)
};

struct grid *grid_new(int columns, int lines); // sizes are cut to 1 .. GRID_MOST; blank
void grid_free(struct grid *grid);
DEFINE_SCOPED(grid)

/* Returns the column after the text. Columns and lines may be outside. */
int grid_put(struct grid *grid, int x, int y, enum grid_style style, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void grid_box(struct grid *grid, int x, int y, int columns, int lines, enum grid_style style);
void grid_horizontal(struct grid *grid, int x, int y, int columns);
void grid_vertical(struct grid *grid, int x, int y, int lines);
void grid_code(struct grid *grid, int x, int y, uint16_t code, enum grid_style style);

/* The same character for terminals without UTF-8. */
char grid_ascii(uint16_t code);
void grid_text(const struct grid *grid, struct bytes *ret);
