/* One rendering: the memory of its values, and the bounds on what it may take.
 *
 *     TRY(run_work(r, text->len));          -- RANGE: too many steps
 *     TRY(run_enter(r)); ...; run_leave(r); -- RANGE: too deep
 */
#pragma once
#include "model/text/values/value_builtin.h"
#include "model/text/values/value_room.h"

enum {
    RUN_TEXT_BYTES = 16 << 20,    // of any text
    RUN_MEMORY = 256 << 20,       // bytes of all values
    RUN_STEPS = 20 * 1000 * 1000, // a piece of a text counts by its bytes
    RUN_DEPTH = 800,              // of expressions, statements, calls and values within one another
};

struct builder;
struct loop;
struct node;
struct scope;
struct template;

/* The functions above values, which template_run.c sets. */
struct run_ways {
    const struct builtin *(*find)(enum builtin_table table, const char *name, size_t len);
    /* The next item of a loop into its items; *ret_more false: there is none. */
    err_t (*pull)(struct run *r, struct loop *loop, bool *ret_more);
    err_t (*call)(struct run *r, const struct value *callee, const struct call *call,
                  struct value *ret);
    err_t (*body)(struct run *r, const struct node *node); // a macro's or call block's
    err_t (*loop)(struct run *r, const struct node *node, struct value values, int depth);
};

struct run {
    struct room room;
    uint64_t steps; // left
    int depth;
    int64_t now_s; // of strftime_now
    const struct run_ways *ways;

    /* of template alone */
    const struct template *t;
    int failed_line;
    enum { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;
    struct builder *out;
    struct scope *root, *scope;
};

err_t run_work(struct run *r, size_t bytes); // a piece of work on so many bytes or items
err_t run_room(struct run *r, size_t size);  // RANGE: too much memory
err_t run_enter(struct run *r);              // a level deeper
static inline void run_leave(struct run *r)
{
    r->depth--;
}
