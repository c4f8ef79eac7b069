/* Inside template only: what a source is parsed into. template_lex.c cuts it into tokens; of them
 * template_parse.c, template_expression.c and template_operand.c make this tree. */
#pragma once
#include "model/text/template/template.h"
#include "model/text/template/template_lex.h"
#include "model/text/values/value.h"
#include "model/text/values/value_room.h"

enum node_kind {
    /* expressions */
    NODE_CONST,   // value
    NODE_NAME,    // name
    NODE_TUPLE,   // list; the last two and names are targets of set and for, too
    NODE_LIST,    // list
    NODE_DICT,    // list: key, value, key, ...
    NODE_COND,    // a if b else c; c may be NULL
    NODE_OR,      // a, b
    NODE_AND,     // a, b
    NODE_NOT,     // a
    NODE_COMPARE, // a, then list by ops
    NODE_BINARY,  // a, b by op
    NODE_CONCAT,  // list
    NODE_NEG,     // a
    NODE_POS,     // a
    NODE_MEMBER,  // a, name: a.name
    NODE_ITEM,    // a[b]
    NODE_SLICE,   // a[list: start, stop, step], each may be NULL
    NODE_CALL,    // a(args)
    NODE_FILTER,  // a|builtin(args); a is NULL in filter and set blocks
    NODE_TEST,    // a is builtin(args)
    NODE_NSREF,   // name, value: ns.x as a target
    /* statements */
    NODE_OUTPUT,       // list
    NODE_IF,           // b: the test; list; other: else
    NODE_FOR,          // a: the target; b: the values; c: the filter or NULL; list; other: else
    NODE_SET,          // a = b
    NODE_SET_BLOCK,    // a: the target; b: a filter or NULL; list
    NODE_MACRO,        // name, signature, list
    NODE_CALL_BLOCK,   // a: the call; signature, list
    NODE_FILTER_BLOCK, // b: the filter; list
    NODE_WITH,         // other: target, value, ...; list
    NODE_GENERATION,   // list
    NODE_BREAK,
    NODE_CONTINUE,
};

struct nodes {
    struct node **at;
    int count, capacity;
};

struct arguments_given {
    struct nodes plain;
    struct nodes named;  // the values
    struct value *names; // (named.count) texts
    struct node *star, *stars;
};

struct signature {
    int *name;             // (count)
    struct node **initial; // (count) NULL: none
    int count;
    bool caller, varargs, kwargs; // the body asks for them
};

struct node {
    enum node_kind kind;
    int line, name;
    enum token_kind op;   // BINARY
    enum token_kind *ops; // COMPARE: (list.count)
    bool flag;            // FOR: recursive; IF: other is an elif
    struct value value;   // CONST; MEMBER: the name as a text; UNKNOWN filter: its name
    struct node *a, *b, *c;
    struct nodes list, other;
    struct arguments_given *args;
    struct signature *signature;
    const struct builtin
        *builtin; // FILTER, TEST; NULL: none of that name, an error if it is reached
};

/* Names are numbers in a tree, of which these come first. */
enum { NAME_LOOP, NAME_CALLER, NAME_VARARGS, NAME_KWARGS, NAMES_KNOWN };

struct template
{
    char *name; // of the source
    struct room room;
    struct nodes body;
    const char **names; // (name_count) in the room
    int name_count, name_capacity;
};

/* The number of a name; -1: the template does not use it. */
int template_name(const struct template *t, const char *name, size_t len);

/* The same error in one line, whatever a template has put into it. */
err_t template_shown(err_t e);

/* An error at a line of the source. */
err_t template_error(const struct template *t, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
