#include "svc/recipe/suggest.h"
#include <ctype.h>
#include <string.h>

enum { LONGEST = 64 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

/* Optimal string alignment distance; both at most LONGEST. */
static int distance(const char *a, const char *b)
{
    int rows[3][LONGEST + 1], n = (int)strlen(a), m = (int)strlen(b);
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (int j = 0; j <= m; j++)
        last[j] = j;
    for (int i = 1; i <= n; i++) {
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int same = lower(a[i - 1]) == lower(b[j - 1]);
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        int *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

const char *suggest(const char *word, const char *const *words, size_t count)
{
    size_t len = strlen(word);
    if (len > LONGEST)
        return NULL;
    const char *nearest = NULL;
    int shortest = len < 3 ? 2 : (int)len / 3 + 2; // less than this
    for (size_t i = 0; i < count; i++) {
        if (strlen(words[i]) > LONGEST)
            continue;
        int far = distance(word, words[i]);
        if (far < shortest && far < (int)strlen(words[i])) {
            shortest = far;
            nearest = words[i];
        }
    }
    return nearest;
}
