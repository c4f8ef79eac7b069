/* ncurses has an OK of its own: it comes first, and ours is what is left. */
// clang-format off
#include <ncurses.h>
#undef OK
#include "ctl/look/screen.h"
#include "base/mem.h"
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
// clang-format on

struct screen {
    bool utf8;
    attr_t style[STYLE_BAR + 1];
};

static void begin_colors(struct screen *screen)
{
    screen->style[STYLE_BOLD] = A_BOLD;
    screen->style[STYLE_DIM] = A_DIM;
    screen->style[STYLE_BAD] = A_BOLD;
    if (!has_colors() || start_color() == ERR)
        return;
    use_default_colors();
    init_pair(1, COLOR_GREEN, -1);
    init_pair(2, COLOR_RED, -1);
    init_pair(3, COLOR_CYAN, -1);
    screen->style[STYLE_GOOD] = (attr_t)COLOR_PAIR(1);
    screen->style[STYLE_BAD] = A_BOLD | (attr_t)COLOR_PAIR(2);
    screen->style[STYLE_BAR] = (attr_t)COLOR_PAIR(3);
}

err_t screen_open(struct screen **ret)
{
    const char *term = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return err_new(ERR_PRECONDITION, "this needs a terminal; `rlhfctl watch` does not");
    setlocale(LC_CTYPE, "");
    /* initscr() would end the process. A dumb terminal cannot go back up its page. */
    if (!term || !*term || strcmp(term, "dumb") == 0 || !newterm(NULL, stdout, stdin))
        return err_new(ERR_PRECONDITION,
                       "TERM=%s: no terminal that can show a picture; `rlhfctl watch` needs none",
                       term && *term ? term : "(not set)");
    struct screen *screen = mem_new(sizeof *screen);
    screen->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    begin_colors(screen);
    *ret = screen;
    return OK;
}

int screen_columns(const struct screen *screen)
{
    (void)screen;
    return COLS;
}

int screen_lines(const struct screen *screen)
{
    (void)screen;
    return LINES;
}

void screen_show(struct screen *screen, const struct grid *grid)
{
    erase();
    for (int y = 0; y < grid->lines && y < LINES; y++)
        for (int x = 0; x < grid->columns && x < COLS; x++) {
            const struct grid_cell *cell = &grid->cell[y * grid->columns + x];
            const wchar_t code[] = {screen->utf8 ? (wchar_t)cell->code : grid_ascii(cell->code), 0};
            attrset(screen->style[cell->style]);
            mvaddnwstr(y, x, code, 1);
        }
    attrset(A_NORMAL);
    refresh();
}

int screen_key(struct screen *screen)
{
    (void)screen;
    const int key = getch();
    if (key == KEY_RESIZE)
        return SCREEN_RESIZED;
    return key == ERR ? SCREEN_NO_KEY : key;
}

void screen_free(struct screen *screen)
{
    if (!screen)
        return;
    endwin();
    mem_free(screen);
}
