#include "model/text/charsmap.h"
#include "base/mem.h"
#include "model/text/unicode.h"
#include <string.h>
#include <utf8proc.h>

enum { SHORT = 6 /* bytes; shorter ones are looked up whole */ };

/* Units of darts-clone: offset, label, whether a value follows (sentencepiece's
 * third_party/darts_clone/darts.h). */
struct charsmap {
    struct bytes data; // the map's bytes
    uint32_t *unit;    // (units)
    size_t units;
    const char *text; // (len) what stands for them, each ended by a zero
    size_t len;
    bool same[128]; // an ASCII character that the map does not begin with
};

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

static bool decode_base64(const char *text, struct bytes *ret)
{
    uint32_t bits = 0;
    int held = 0;
    for (; *text && *text != '='; text++) {
        const int digit = digit_of(*text);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes_u8(ret, (uint8_t)(bits >> held));
        }
    }
    return strspn(text, "=") == strlen(text);
}

static uint32_t little(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The text for the shortest beginning of key that the map has, as `tokenizers` takes it; false:
 * none. */
static bool look_up(const struct charsmap *map, const char *key, size_t len, size_t *ret)
{
    uint32_t node = 0, unit = map->unit[0];
    node ^= unit >> 10 << ((unit & 512) >> 6);
    for (size_t i = 0; i < len && key[i]; i++) {
        const uint32_t byte = (uint8_t)key[i];
        node ^= byte;
        if (node >= map->units || ((unit = map->unit[node]) & 0x800000ff) != byte)
            return false;
        node ^= unit >> 10 << ((unit & 512) >> 6);
        if (unit & 256) {
            *ret = node < map->units ? map->unit[node] & 0x7fffffff : map->len;
            return *ret <= map->len;
        }
    }
    return false;
}

err_t charsmap_new(const char *base64, struct charsmap **ret)
{
    SCOPED(charsmap) map = mem_new(sizeof *map);
    if (!decode_base64(base64, &map->data) || map->data.len < 8)
        return err_new(ERR_INVALID, "it is not base64 of a map");
    const size_t size = little(map->data.data);
    if (size % 4 || size < 4 || size > map->data.len - 4)
        return err_new(ERR_INVALID, "its trie of %zu bytes does not fit into %zu", size,
                       map->data.len);
    map->units = size / 4;
    map->unit = mem_array(map->units, sizeof *map->unit);
    for (size_t i = 0; i < map->units; i++)
        map->unit[i] = little(map->data.data + 4 + 4 * i);
    bytes_u8(&map->data, 0); // the last text may lack its zero
    map->text = (const char *)map->data.data + 4 + size;
    map->len = map->data.len - 5 - size;
    uint32_t code;
    for (size_t at = 0; at < map->len;
         at += (size_t)unicode_next(map->text + at, map->len - at, &code))
        if (unicode_next(map->text + at, map->len - at, &code) && code == UNICODE_INVALID)
            return err_new(ERR_INVALID, "its texts are not UTF-8");
    size_t found;
    for (int c = 1; c < 128; c++)
        map->same[c] = !look_up(map, &(char){(char)c}, 1, &found);
    *ret = STEAL(map);
    return OK;
}

static bool put(const struct charsmap *map, const char *text, size_t len, struct bytes *ret)
{
    size_t found;
    if (!look_up(map, text, len, &found))
        return false;
    bytes_text(ret, map->text + found);
    return true;
}

/* Where what a reader takes for one character ends. */
static size_t character_end(const char *text, size_t len)
{
    uint32_t code, next;
    utf8proc_int32_t state = 0;
    size_t at = (size_t)unicode_next(text, len, &code);
    while (at < len && code != UNICODE_INVALID) {
        const size_t bytes = (size_t)unicode_next(text + at, len - at, &next);
        if (next == UNICODE_INVALID || utf8proc_grapheme_break_stateful(
                                           (utf8proc_int32_t)code, (utf8proc_int32_t)next, &state))
            break;
        at += bytes;
        code = next;
    }
    return at;
}

void charsmap_run(const struct charsmap *map, const char *text, size_t len, struct bytes *ret)
{
    uint32_t code;
    for (size_t at = 0, end; at < len; at = end) {
        const uint8_t byte = (uint8_t)text[at];
        if (byte < 0x80 && map->same[byte] && byte != '\r' &&
            (at + 1 == len || (uint8_t)text[at + 1] < 0x80)) {
            bytes_u8(ret, byte);
            end = at + 1;
            continue;
        }
        end = at + character_end(text + at, len - at);
        if (end - at < SHORT && put(map, text + at, end - at, ret))
            continue;
        for (size_t one = at, next; one < end; one = next) {
            next = one + (size_t)unicode_next(text + one, end - one, &code);
            if (!put(map, text + one, next - one, ret))
                bytes_put(ret, text + one, next - one);
        }
    }
}

void charsmap_digest(const struct charsmap *map, struct bytes *ret)
{
    bytes_put(ret, map->data.data, map->data.len);
}

void charsmap_free(struct charsmap *map)
{
    if (!map)
        return;
    bytes_done(&map->data);
    mem_free(map->unit);
    mem_free(map);
}
