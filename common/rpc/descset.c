#include "rpc/descset.h"
#include "base/mem.h"
#include "rpc/scan.h"
#include <stdlib.h>
#include <string.h>

enum { NESTING_MAX = 16, FILES_MAX = 4096, SYMBOLS_MAX = 1 << 20 };

/* Field numbers of google/protobuf/descriptor.proto. */
enum { SET_FILE = 1 };
enum {
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_IMPORT = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7
};
enum {
    MESSAGE_FIELD = 2,
    MESSAGE_MESSAGE = 3,
    MESSAGE_ENUM = 4,
    MESSAGE_EXTENSION = 6,
    MESSAGE_ONEOF = 8
};
enum { ENUM_VALUE = 2, SERVICE_METHOD = 2, ANY_NAME = 1 };

/* What a descriptor's field defines: nothing, a name, or a name with more inside. */
enum kind { KIND_NONE, KIND_LEAF, KIND_MESSAGE, KIND_ENUM, KIND_SERVICE };

static enum kind kind_in(enum kind parent, uint32_t number)
{
    switch (parent) {
    case KIND_MESSAGE:
        if (number == MESSAGE_MESSAGE)
            return KIND_MESSAGE;
        if (number == MESSAGE_ENUM)
            return KIND_ENUM;
        return number == MESSAGE_FIELD || number == MESSAGE_EXTENSION || number == MESSAGE_ONEOF
                   ? KIND_LEAF
                   : KIND_NONE;
    case KIND_ENUM:
        return number == ENUM_VALUE ? KIND_LEAF : KIND_NONE;
    case KIND_SERVICE:
        return number == SERVICE_METHOD ? KIND_LEAF : KIND_NONE;
    default:
        return KIND_NONE;
    }
}

static enum kind kind_in_file(uint32_t number)
{
    switch (number) {
    case FILE_MESSAGE:
        return KIND_MESSAGE;
    case FILE_ENUM:
        return KIND_ENUM;
    case FILE_SERVICE:
        return KIND_SERVICE;
    case FILE_EXTENSION:
        return KIND_LEAF;
    default:
        return KIND_NONE;
    }
}

static struct reader bytes_field(struct reader in, uint32_t number)
{
    struct scan_field field;
    while (scan_field(&in, &field))
        if (field.is_bytes && field.number == number)
            return field.bytes;
    return (struct reader){(const uint8_t *)"", 0};
}

static err_t malformed(void)
{
    return err_new(ERR_INVALID, "descriptor set: malformed");
}

static err_t add_symbol(struct descset *set, const char *scope, struct reader name,
                        const char **ret)
{
    if (set->symbol_count == SYMBOLS_MAX || !name.left)
        return malformed();
    if ((set->symbol_count & (set->symbol_count - 1)) == 0) // doubles at powers of two
        set->symbols =
            mem_grow(set->symbols, (size_t)set->symbol_count * 2 + 1, sizeof *set->symbols);
    char *full =
        mem_printf("%s%s%.*s", scope, *scope ? "." : "", (int)name.left, (const char *)name.data);
    set->symbols[set->symbol_count++] = (struct descset_symbol){full, set->file_count};
    *ret = full;
    return OK;
}

static err_t add_nested(struct descset *set, const char *scope, struct reader in, enum kind kind,
                        int depth)
{
    if (depth > NESTING_MAX)
        return malformed();
    const char *name = NULL;
    TRY(add_symbol(set, scope, bytes_field(in, ANY_NAME), &name));
    if (kind == KIND_ENUM)
        name = scope; // values are siblings of their enum
    struct scan_field field;
    while (scan_field(&in, &field)) {
        const enum kind inner = field.is_bytes ? kind_in(kind, field.number) : KIND_NONE;
        if (inner != KIND_NONE)
            TRY(add_nested(set, name, field.bytes, inner, depth + 1));
    }
    return in.left ? malformed() : OK;
}

static err_t add_file(struct descset *set, struct reader in)
{
    struct descset_file file = {
        .bytes = in, .name = bytes_field(in, FILE_NAME), .package = bytes_field(in, FILE_PACKAGE)};
    if (descset_file_named(set, file.name.data, file.name.left) >= 0)
        return OK;
    if (set->file_count == FILES_MAX)
        return malformed();
    SCOPED_MEM char *package =
        mem_printf("%.*s", (int)file.package.left, (const char *)file.package.data);
    struct scan_field field;
    while (scan_field(&in, &field)) {
        const enum kind kind = field.is_bytes ? kind_in_file(field.number) : KIND_NONE;
        if (kind != KIND_NONE)
            TRY(add_nested(set, package, field.bytes, kind, 0));
        else if (field.is_bytes && field.number == FILE_IMPORT &&
                 file.import_count < DESCSET_IMPORTS)
            file.imports[file.import_count++] = field.bytes;
    }
    if (in.left)
        return malformed();
    set->files = mem_grow(set->files, (size_t)set->file_count + 1, sizeof *set->files);
    set->files[set->file_count++] = file;
    return OK;
}

err_t descset_new(const void *data, size_t len, struct descset **ret)
{
    SCOPED(descset) set = mem_new(sizeof *set);
    struct reader in = {data, len};
    struct scan_field field;
    while (scan_field(&in, &field))
        if (field.is_bytes && field.number == SET_FILE)
            TRY(add_file(set, field.bytes));
    if (in.left)
        return malformed();
    *ret = STEAL(set);
    return OK;
}

int descset_file_named(const struct descset *set, const void *name, size_t len)
{
    for (int i = 0; i < set->file_count; i++)
        if (set->files[i].name.left == len && memcmp(set->files[i].name.data, name, len) == 0)
            return i;
    return -1;
}

int descset_file_of_symbol(const struct descset *set, const char *symbol)
{
    for (int i = 0; i < set->symbol_count; i++)
        if (strcmp(set->symbols[i].name, symbol) == 0)
            return set->symbols[i].file;
    return -1;
}

void descset_free(struct descset *set)
{
    if (!set)
        return;
    for (int i = 0; i < set->symbol_count; i++)
        free(set->symbols[i].name);
    free(set->symbols);
    free(set->files);
    free(set);
}
