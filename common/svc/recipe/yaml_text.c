/* A tree as text again. */
#include "base/bytes.h"
#include "base/mem.h"
#include "base/printable.h"
#include "svc/recipe/yaml_tree.h"
#include <string.h>

/* Double-quoted; what YAML takes for a line break or refuses to read (its production "printable")
 * is escaped. */
void yaml_put_quoted(const char *text, struct bytes *ret)
{
    bytes_u8(ret, '"');
    while (*text) {
        uint32_t point;
        size_t len = utf8_point(text, 4, &point);
        if (!len)
            break; // no setter lets it in
        bool plain =
            (point >= ' ' && point < 0x7f) || (point >= 0xa0 && point < 0xfffe) || point > 0xffff;
        if (point == '"' || point == '\\')
            bytes_printf(ret, "\\%c", *text);
        else if (!plain || point == 0x2028 || point == 0x2029 || point == 0xfeff)
            bytes_printf(ret, "\\u%04x", point);
        else
            bytes_put(ret, text, len);
        text += len;
    }
    bytes_u8(ret, '"');
}

/* Whether a scalar may stand without quotes: numbers, flags and words do. */
static bool is_plain(const char *text)
{
    return *text &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789_.+-")] &&
           strcmp(text, "-") != 0 && strncmp(text, "---", 3) != 0 && strcmp(text, "...") != 0;
}

static void put_scalar(const struct yaml_tree *yaml, struct bytes *ret)
{
    if (yaml_tree_is_null(yaml))
        bytes_text(ret, "~");
    else if (!yaml->quoted && is_plain(yaml->text))
        bytes_text(ret, yaml->text);
    else
        yaml_put_quoted(yaml->text, ret);
}

/* At most YAML_DEPTH deep. */
void yaml_tree_put(const struct yaml_tree *yaml, struct bytes *ret)
{
    if (yaml->kind == YAML_SCALAR) {
        put_scalar(yaml, ret);
        return;
    }
    bytes_u8(ret, yaml->kind == YAML_MAP ? '{' : '[');
    for (size_t i = 0; i < yaml->count; i++) {
        bytes_text(ret, i ? ", " : "");
        if (yaml->kind == YAML_MAP) {
            yaml_put_quoted(yaml->key[i], ret);
            bytes_text(ret, ": ");
        }
        yaml_tree_put(yaml->at[i], ret);
    }
    bytes_u8(ret, yaml->kind == YAML_MAP ? '}' : ']');
}

struct yaml_tree *yaml_tree_copy(const struct yaml_tree *yaml)
{
    struct yaml_tree *copy = mem_copy(yaml, sizeof *yaml);
    copy->text = yaml->text ? mem_string(yaml->text) : NULL;
    copy->at = mem_array(yaml->count, sizeof *copy->at);
    copy->key = yaml->key ? mem_array(yaml->count, sizeof *copy->key) : NULL;
    for (size_t i = 0; i < yaml->count; i++) {
        copy->at[i] = yaml_tree_copy(yaml->at[i]);
        if (yaml->key)
            copy->key[i] = mem_string(yaml->key[i]);
    }
    return copy;
}

int yaml_tree_depth(const struct yaml_tree *yaml)
{
    int below = 0;
    for (size_t i = 0; i < yaml->count; i++) {
        const int depth = yaml_tree_depth(yaml->at[i]);
        below = depth > below ? depth : below;
    }
    return below + 1;
}
