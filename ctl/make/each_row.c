#include "ctl/make/each_row.h"
#include "base/file.h"
#include "base/scoped.h"
#include <stdio.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 30 };

err_t each_row(const char *file, row_line *line, void *arg)
{
    SCOPED_VALUE(bytes) all = {0};
    TRY(file_read(file, FILE_MAX_BYTES, &all));
    size_t number = 1;
    for (size_t at = json_mark((const char *)all.data, all.len), len; at < all.len;
         at += len + 1, number++) {
        const char *text = (const char *)all.data + at;
        const char *end = memchr(text, '\n', all.len - at);
        char name[512];
        SCOPED_JSON json_t *row = NULL;
        len = end ? (size_t)(end - text) : all.len - at;
        snprintf(name, sizeof name, "%.480s:%zu", file, number);
        TRY(json_parse_nul(text, len, name, &row));
        TRY(line(arg, row, name));
    }
    return fflush(stdout) ? err_new(ERR_UNAVAILABLE, "standard output cannot be written") : OK;
}
