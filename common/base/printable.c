#include "base/printable.h"
#include <string.h>

size_t utf8_point(const char *text, size_t len, uint32_t *ret_point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    if (!len)
        return 0;
    const size_t bytes = p[0] < 0x80             ? 1
                         : (p[0] & 0xe0) == 0xc0 ? 2
                         : (p[0] & 0xf0) == 0xe0 ? 3
                         : (p[0] & 0xf8) == 0xf0 ? 4
                                                 : 0;
    if (!bytes || bytes > len)
        return 0;
    uint32_t point = bytes == 1 ? p[0] : p[0] & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (p[i] & 0x3f);
    }
    if (point < least[bytes] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *ret_point = point;
    return bytes;
}

bool utf8_is(const char *text)
{
    uint32_t point;
    for (size_t left = strlen(text), step; left; left -= step, text += step)
        if (!(step = utf8_point(text, left, &point)))
            return false;
    return true;
}

/* Bytes of the beginning of a character that stands here without its end, at least 1. */
static size_t part(const unsigned char *p, size_t len)
{
    const bool leads = p[0] >= 0xc2 && p[0] <= 0xf4;
    const size_t bytes = !leads ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    const unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    size_t n = 1;
    while (n < bytes && n < len && p[n] >= (n == 1 ? low : 0x80) && p[n] <= (n == 1 ? high : 0xbf))
        n++;
    return n;
}

void utf8_put(struct bytes *ret, const void *data, size_t len)
{
    const char *text = data;
    uint32_t point;
    for (size_t i = 0, step; i < len; i += step) {
        if ((step = utf8_point(text + i, len - i, &point))) {
            bytes_put(ret, text + i, step);
        } else {
            bytes_text(ret, "\xef\xbf\xbd");
            step = part((const unsigned char *)text + i, len - i);
        }
    }
}

bool printable_hides(uint32_t point)
{
    const bool turns = (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    const bool separates = point == 0x2028 || point == 0x2029;
    return point < ' ' || (point >= 0x7f && point < 0xa0) || turns || separates;
}

void printable(struct bytes *ret, const char *text, size_t len, const char *kept)
{
    uint32_t point;
    for (size_t i = 0, step; i < len; i += step) {
        step = utf8_point(text + i, len - i, &point);
        const bool stays = step && (!printable_hides(point) ||
                                    (point && point < 0x80 && strchr(kept, (int)point)));
        if (stays)
            bytes_put(ret, text + i, step);
        else if (step > 1)
            bytes_printf(ret, "\\u%04x", point);
        else
            bytes_printf(ret, "\\x%02x", (unsigned char)text[i]);
        step = step ? step : 1;
    }
}

char *printable_text(const char *text, const char *kept)
{
    struct bytes all = {0};
    printable(&all, text, strlen(text), kept);
    bytes_extend(&all, 0);
    return (char *)all.data;
}
