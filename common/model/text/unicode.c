#include "model/text/unicode.h"
#include "model/text/unicode_table.h"

/* Length of a sequence by its first byte, and the smallest code that may be written so long (RFC
 * 3629). */
static int sequence_length(uint8_t first, uint32_t *ret_smallest)
{
    if (first >= 0xc2 && first <= 0xdf)
        return *ret_smallest = 0x80, 2;
    if (first >= 0xe0 && first <= 0xef)
        return *ret_smallest = 0x800, 3;
    if (first >= 0xf0 && first <= 0xf4)
        return *ret_smallest = 0x10000, 4;
    return 1;
}

int unicode_next(const char *text, size_t len, uint32_t *ret_code)
{
    const uint8_t *byte = (const uint8_t *)text;
    *ret_code = byte[0];
    if (byte[0] < 0x80)
        return 1;
    *ret_code = UNICODE_INVALID;
    uint32_t smallest = 0;
    int length = sequence_length(byte[0], &smallest);
    if (length == 1 || (size_t)length > len)
        return 1;
    uint32_t code = byte[0] & (0x7f >> length);
    for (int i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 1;
        code = code << 6 | (byte[i] & 0x3f);
    }
    if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 1;
    *ret_code = code;
    return length;
}

size_t unicode_last(const char *text, size_t len, uint32_t *ret_code)
{
    for (size_t back = len < 4 ? len : 4; back; back--)
        if ((size_t)unicode_next(text + len - back, back, ret_code) == back &&
            *ret_code != UNICODE_INVALID)
            return len - back;
    *ret_code = UNICODE_INVALID;
    return len - 1;
}

int unicode_put(uint32_t code, char out[4])
{
    if (code < 0x80)
        return out[0] = (char)code, 1;
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(0xf00 >> length | code);
    return length;
}

static bool in_ranges(const struct unicode_range *range, int count, uint32_t code)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (range[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && range[low].first <= code;
}

enum unicode_category unicode_category(uint32_t code)
{
    if (code < UNICODE_FLAT)
        return (enum unicode_category)(
            unicode_block[unicode_block_of[code / UNICODE_BLOCK] * UNICODE_BLOCK +
                          code % UNICODE_BLOCK] -
            'A');
    for (int i = 0; i < unicode_run_count; i++)
        if (code >= unicode_run[i].first && code <= unicode_run[i].last)
            return (enum unicode_category)(unicode_run[i].category - 'A');
    return UNICODE_CN;
}

bool unicode_is(enum unicode_property property, uint32_t code)
{
    const struct unicode_set *set = &unicode_sets[property];
    return code < UNICODE_INVALID &&
           (set->mask >> unicode_category(code) & 1) != in_ranges(set->odd, *set->odds, code);
}

static enum unicode_class ascii_class(uint32_t code)
{
    if ((code | 0x20) >= 'a' && (code | 0x20) <= 'z')
        return UNICODE_LETTER;
    if (code >= '0' && code <= '9')
        return UNICODE_NUMBER;
    return code == ' ' || (code >= 9 && code <= 13) ? UNICODE_SPACE : UNICODE_OTHER;
}

enum unicode_class unicode_class(uint32_t code)
{
    if (code < 0x80)
        return ascii_class(code);
    const enum unicode_category category = unicode_category(code);
    if (category <= UNICODE_LO)
        return UNICODE_LETTER;
    if (category >= UNICODE_ND && category <= UNICODE_NO)
        return UNICODE_NUMBER;
    return (category >= UNICODE_ZS && category <= UNICODE_ZP) || code == 0x85 ? UNICODE_SPACE
                                                                              : UNICODE_OTHER;
}

bool unicode_is_inert(uint32_t code, bool compatible)
{
    return unicode_category(code) == UNICODE_CN ||
           in_ranges(unicode_inert, unicode_inert_count, code) ||
           (compatible &&
            in_ranges(unicode_inert_compatible, unicode_inert_compatible_count, code));
}
