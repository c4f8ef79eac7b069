#include "svc/recipe/yaml_tree.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* What is open while events come: the outermost first. */
struct build {
    yaml_parser_t parser;
    const char *name, *text;
    size_t len;
    struct yaml_tree *root; // owned
    struct yaml_tree *open[YAML_DEPTH];
    size_t depth;
    char *key; // of the innermost map, read and waiting for its value; owned
    int key_line;
    int documents;
};

static int line_of(const yaml_mark_t *mark)
{
    return (int)mark->line + 1;
}

static err_t wrong(const struct build *build, int line, const char *what)
{
    return err_new(ERR_INVALID, "%s:%d: %s", build->name, line, what);
}

/* Whether white space with a tab begins the line. */
static bool is_indented_by_tab(const struct build *build, int line)
{
    const char *at = build->text, *end = build->text + build->len;
    for (; line > 1 && at; line--) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    while (at && at < end && *at == ' ')
        at++;
    return at && at < end && *at == '\t';
}

static err_t parser_error(const struct build *build)
{
    const yaml_parser_t *parser = &build->parser;
    const char *problem = parser->problem ? parser->problem : "unreadable";
    int line = line_of(&parser->problem_mark);
    if (is_indented_by_tab(build, line))
        return wrong(build, line, "not YAML: a tab indents the line; allowed: spaces");
    if (!parser->context)
        return err_new(ERR_INVALID, "%s:%d: not YAML: %s", build->name, line, problem);
    return err_new(ERR_INVALID, "%s:%d: not YAML: %s, %s from line %d", build->name, line, problem,
                   parser->context, line_of(&parser->context_mark));
}

/* A map's scalar where a key is due. */
static err_t take_key(struct build *build, struct yaml_tree *map, const char *text, int line)
{
    if (strcmp(text, "<<") == 0)
        return wrong(build, line, "merge keys (<<) are not allowed");
    if (yaml_tree_member(map, text))
        return err_new(ERR_INVALID, "%s:%d: '%.100s' is given twice", build->name, line, text);
    build->key = mem_string(text);
    build->key_line = line;
    return OK;
}

/* Hands node to the innermost open map or list; the tree owns it from here, unless this fails. */
static err_t attach(struct build *build, struct yaml_tree *node)
{
    if (!build->root) {
        build->root = node;
        return OK;
    }
    struct yaml_tree *parent = build->open[build->depth - 1];
    if (parent->count == YAML_MEMBERS)
        return wrong(build, node->line, "more than 1024 members in one place");
    if (parent->kind == YAML_MAP) {
        parent->key = mem_grow(parent->key, parent->count + 1, sizeof *parent->key);
        parent->key[parent->count] = STEAL(build->key);
        node->line = build->key_line;
    }
    parent->at = mem_grow(parent->at, parent->count + 1, sizeof *parent->at);
    parent->at[parent->count++] = node;
    return OK;
}

static bool wants_key(const struct build *build)
{
    return build->depth && build->open[build->depth - 1]->kind == YAML_MAP && !build->key;
}

static err_t on_scalar(struct build *build, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    int line = line_of(&event->start_mark);
    if (event->data.scalar.anchor)
        return wrong(build, line, "anchors (&name) are not allowed");
    if (event->data.scalar.tag)
        return wrong(build, line, "tags (!name) are not allowed");
    if (strlen(text) != event->data.scalar.length)
        return wrong(build, line, "text with a NUL character");
    if (wants_key(build))
        return take_key(build, build->open[build->depth - 1], text, line);
    SCOPED(yaml_tree) node = mem_new(sizeof *node);
    node->kind = YAML_SCALAR;
    node->line = line;
    node->text = mem_string(text);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    TRY(attach(build, node));
    STEAL(node);
    return OK;
}

static err_t on_open(struct build *build, enum yaml_kind kind, const void *anchor, const void *tag,
                     const yaml_mark_t *mark)
{
    int line = line_of(mark);
    if (anchor)
        return wrong(build, line, "anchors (&name) are not allowed");
    if (tag)
        return wrong(build, line, "tags (!name) are not allowed");
    if (wants_key(build))
        return wrong(build, line, "a key must be plain text");
    if (build->depth == YAML_DEPTH)
        return wrong(build, line, "nested more than 16 deep");
    SCOPED(yaml_tree) node = mem_new(sizeof *node);
    node->kind = kind;
    node->line = line;
    TRY(attach(build, node));
    build->open[build->depth++] = STEAL(node);
    return OK;
}

static err_t on_event(struct build *build, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (build->documents++)
            return wrong(build, line_of(&event->start_mark),
                         "a second document; there must be one");
        return OK;
    case YAML_ALIAS_EVENT:
        return wrong(build, line_of(&event->start_mark), "aliases (*name) are not allowed");
    case YAML_SCALAR_EVENT:
        return on_scalar(build, event);
    case YAML_MAPPING_START_EVENT:
        return on_open(build, YAML_MAP, event->data.mapping_start.anchor,
                       event->data.mapping_start.tag, &event->start_mark);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(build, YAML_LIST, event->data.sequence_start.anchor,
                       event->data.sequence_start.tag, &event->start_mark);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        build->depth--;
        return OK;
    default:
        return OK;
    }
}

static err_t build_tree(struct build *build)
{
    for (bool ended = false; !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&build->parser, &event))
            return parser_error(build);
        ended = event.type == YAML_STREAM_END_EVENT;
        err_t failed = on_event(build, &event);
        yaml_event_delete(&event);
        TRY(failed);
    }
    if (!build->root) {
        build->root = mem_new(sizeof *build->root);
        build->root->kind = YAML_MAP;
        build->root->line = 1;
    }
    return OK;
}

/* Editors put a byte order mark first, which libyaml takes for text where UTF-8 is demanded. */
static err_t skip_mark(const char **text, size_t *len, const char *name)
{
    static const char utf8[] = "\xef\xbb\xbf";
    if (*len >= 2 && (memcmp(*text, "\xff\xfe", 2) == 0 || memcmp(*text, "\xfe\xff", 2) == 0))
        return err_new(ERR_INVALID, "%s: is UTF-16; allowed: UTF-8", name);
    if (*len >= 3 && memcmp(*text, utf8, 3) == 0) {
        *text += 3;
        *len -= 3;
    }
    return OK;
}

err_t yaml_tree_parse(const char *text, size_t len, const char *name, struct yaml_tree **ret)
{
    if (len > YAML_BYTES)
        return err_new(ERR_INVALID, "%s: longer than the 1 MiB allowed", name);
    TRY(skip_mark(&text, &len, name));
    struct build build = {.name = name, .text = text, .len = len};
    if (!yaml_parser_initialize(&build.parser))
        return err_new(ERR_EXHAUSTED, "%s: no memory to read it", name);
    yaml_parser_set_encoding(&build.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&build.parser, (const unsigned char *)text, len);
    err_t failed = build_tree(&build);
    yaml_parser_delete(&build.parser);
    free(build.key);
    if (err_failed(failed)) {
        yaml_tree_free(build.root);
        return failed;
    }
    *ret = build.root;
    return OK;
}

const struct yaml_tree *yaml_tree_member(const struct yaml_tree *map, const char *key)
{
    for (size_t i = 0; map->kind == YAML_MAP && i < map->count; i++)
        if (strcmp(map->key[i], key) == 0)
            return map->at[i];
    return NULL;
}

bool yaml_tree_is_null(const struct yaml_tree *yaml)
{
    return yaml->kind == YAML_SCALAR && !yaml->quoted &&
           (!*yaml->text || strcmp(yaml->text, "~") == 0 || strcmp(yaml->text, "null") == 0);
}

const char *yaml_tree_kind_name(const struct yaml_tree *yaml)
{
    return yaml->kind == YAML_LIST ? "a list" : yaml->kind == YAML_MAP ? "a map" : "text";
}

/* At most YAML_DEPTH deep. */
void yaml_tree_free(struct yaml_tree *yaml)
{
    if (!yaml)
        return;
    for (size_t i = 0; i < yaml->count; i++) {
        yaml_tree_free(yaml->at[i]);
        if (yaml->key)
            free(yaml->key[i]);
    }
    free(yaml->at);
    free(yaml->key);
    free(yaml->text);
    free(yaml);
}
