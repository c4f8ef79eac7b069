#include "ctl/look/grid.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>

static int between(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

struct grid *grid_new(int columns, int lines)
{
    struct grid *grid = mem_new(sizeof *grid);
    grid->columns = between(columns, 1, GRID_MOST);
    grid->lines = between(lines, 1, GRID_MOST);
    grid->cell = mem_array((size_t)(grid->columns * grid->lines), sizeof *grid->cell);
    for (int i = 0; i < grid->columns * grid->lines; i++)
        grid->cell[i].code = ' ';
    return grid;
}

void grid_free(struct grid *grid)
{
    if (!grid)
        return;
    mem_free(grid->cell);
    mem_free(grid);
}

void grid_code(struct grid *grid, int x, int y, uint16_t code, enum grid_style style)
{
    if (x >= 0 && y >= 0 && x < grid->columns && y < grid->lines)
        grid->cell[y * grid->columns + x] = (struct grid_cell){code, (uint8_t)style};
}

/* The next character of UTF-8, '?' for what is none or wider than our cells; moves *text. */
static uint16_t next_code(const unsigned char **text)
{
    const unsigned char *p = *text;
    const int more = p[0] < 0x80 ? 0 : p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
    uint32_t code = more == 0 ? p[0] : p[0] & (0x3fu >> more);
    int taken = 1;
    for (; taken <= more && (p[taken] & 0xc0) == 0x80; taken++)
        code = code << 6 | (p[taken] & 0x3f);
    *text += taken;
    const bool shown = taken == more + 1 && code >= ' ' && code != 0x7f && code < 0x2e80 &&
                       (code < 0x80 || code >= 0xa0) && (more || p[0] < 0x80);
    return shown ? (uint16_t)code : '?';
}

int grid_put(struct grid *grid, int x, int y, enum grid_style style, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    const int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return x;
    for (const unsigned char *p = (const unsigned char *)text; *p && x < grid->columns; x++)
        grid_code(grid, x, y, next_code(&p), style);
    mem_free(text);
    return x;
}

void grid_horizontal(struct grid *grid, int x, int y, int columns)
{
    for (int i = 0; i < columns; i++)
        grid_code(grid, x + i, y, 0x2500, STYLE_PLAIN);
}

void grid_vertical(struct grid *grid, int x, int y, int lines)
{
    for (int i = 0; i < lines; i++)
        grid_code(grid, x, y + i, 0x2502, STYLE_PLAIN);
}

void grid_box(struct grid *grid, int x, int y, int columns, int lines, enum grid_style style)
{
    const int right = x + columns - 1, bottom = y + lines - 1;
    for (int i = x + 1; i < right; i++) {
        grid_code(grid, i, y, 0x2500, style);
        grid_code(grid, i, bottom, 0x2500, style);
    }
    for (int i = y + 1; i < bottom; i++) {
        grid_code(grid, x, i, 0x2502, style);
        grid_code(grid, right, i, 0x2502, style);
    }
    grid_code(grid, x, y, 0x250c, style);
    grid_code(grid, right, y, 0x2510, style);
    grid_code(grid, x, bottom, 0x2514, style);
    grid_code(grid, right, bottom, 0x2518, style);
}

char grid_ascii(uint16_t code)
{
    if (code < 0x80)
        return (char)code;
    switch (code) {
    case 0x2500: // lines
        return '-';
    case 0x2502:
        return '|';
    case 0x25b6: // arrows' heads
        return '>';
    case 0x25b2:
        return '^';
    case 0x00d7:
        return 'x';
    default:
        break;
    }
    if (code >= 0x250c && code < 0x2580)
        return '+'; // corners and crossings
    return code >= 0x2580 && code < 0x25a0 ? '#' : '?';
}

static void put_utf8(struct bytes *ret, uint16_t code)
{
    if (code < 0x80) {
        bytes_u8(ret, (uint8_t)code);
    } else if (code < 0x800) {
        bytes_u8(ret, (uint8_t)(0xc0 | code >> 6));
        bytes_u8(ret, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        bytes_u8(ret, (uint8_t)(0xe0 | code >> 12));
        bytes_u8(ret, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        bytes_u8(ret, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

void grid_text(const struct grid *grid, struct bytes *ret)
{
    for (int y = 0; y < grid->lines; y++) {
        const struct grid_cell *line = &grid->cell[y * grid->columns];
        int end = grid->columns;
        while (end > 0 && line[end - 1].code == ' ')
            end--;
        for (int x = 0; x < end; x++)
            put_utf8(ret, line[x].code);
        bytes_u8(ret, '\n');
    }
}
