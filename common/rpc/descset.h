/* Private to common/rpc: an index of a FileDescriptorSet: its files and the symbols they define.
 * The files themselves stay opaque bytes. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"

enum { DESCSET_IMPORTS = 64 };

struct descset_file {
    struct reader bytes, name, package; // borrowed from the set
    struct reader imports[DESCSET_IMPORTS];
    int import_count;
};

struct descset_symbol {
    char *name; // "package.Message.field"
    int file;
};

struct descset {
    struct descset_file *files;
    struct descset_symbol *symbols;
    int file_count, symbol_count;
};

/* Borrows data. INVALID: malformed, or over the bounds. */
err_t descset_new(const void *data, size_t len, struct descset **ret);
int descset_file_named(const struct descset *set, const void *name, size_t len); // -1: none
int descset_file_of_symbol(const struct descset *set, const char *symbol);       // -1: none
void descset_free(struct descset *set);
DEFINE_SCOPED(descset)
