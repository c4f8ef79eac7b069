#include "rpc/text.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "wire/unpack.h"
#include <stdbool.h>
#include <string.h>

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

char *text_clean(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    if (len > max)
        for (len = max; len && continues(text[len]);)
            len--;
    char *copy = mem_new(len + 1);
    memcpy(copy, text, len);
    bool is_utf8 = wire_text_ok(copy, len);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
        else if (!is_utf8 && (unsigned char)*p >= 0x80)
            *p = '?';
    return copy;
}
