/* YAML text as a tree, for files people write: maps, lists and scalars, nothing else.
 *
 *     SCOPED(yaml_tree) root = NULL;
 *     TRY(yaml_tree_parse(text, len, "ring.yaml", &root));       -- INVALID: "ring.yaml:7: ..."
 *     const struct yaml_tree *lag = yaml_tree_member(root, "lag");    -- NULL: absent
 *
 * Hostile input is bounded: 1 MiB, depth 16, 1,024 members; anchors, aliases, tags, several
 * documents, duplicate, merge and compound keys are errors. A byte order mark of UTF-8 is skipped.
 * Any thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>

enum { YAML_BYTES = 1 << 20, YAML_DEPTH = 16, YAML_MEMBERS = 1024 };
enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_tree {
    enum yaml_kind kind;
    int line;              // from 1, where it begins; a map's member: where its key is
    char *text;            // of a scalar: UTF-8 without NUL
    bool quoted;           // a scalar that cannot be a number or null
    size_t count;          // members
    char **key;            // (count) of a map
    struct yaml_tree **at; // (count)
};

/* name: the text's name in errors. An empty text is an empty map. */
err_t yaml_tree_parse(const char *text, size_t len, const char *name, struct yaml_tree **ret);
const struct yaml_tree *yaml_tree_member(const struct yaml_tree *map, const char *key);
bool yaml_tree_is_null(const struct yaml_tree *yaml);          // nothing, ~ or null
const char *yaml_tree_kind_name(const struct yaml_tree *yaml); // "a list", "a map", "text"
struct yaml_tree *yaml_tree_copy(const struct yaml_tree *yaml);
int yaml_tree_depth(const struct yaml_tree *yaml); // 1: a scalar, or empty

/* Appends it in flow style, so that it reads back as the same. */
struct bytes;
void yaml_tree_put(const struct yaml_tree *yaml, struct bytes *ret);
void yaml_put_quoted(const char *text, struct bytes *ret); // a text alone, in double quotes
void yaml_tree_free(struct yaml_tree *yaml);
DEFINE_SCOPED(yaml_tree)
