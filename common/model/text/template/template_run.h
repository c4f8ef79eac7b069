/* Inside template only: a rendering. template_run.c walks statements, template_call.c macros and
 * template_eval.c expressions; what values can do is text/values'. */
#pragma once
#include "model/text/template/template_tree.h"
#include "model/text/values/value_ops.h"

struct binding {
    int name;
    struct value value;
};
struct scope {
    struct scope *parent; // NULL: the root
    struct binding *at;
    int count, capacity;
    bool kept; // a macro that was defined inside needs it
};

struct scope *scope_new(struct run *r, struct scope *parent);
void scope_set(struct run *r, struct scope *scope, int name, struct value value);

err_t run_eval(struct run *r, const struct node *node, struct value *ret);
/* The filters of a filter or set block on its text. */
err_t run_block_filter(struct run *r, const struct node *node, struct value in, struct value *ret);
/* The call that a node writes; caller: that of a call block, or NULL. */
err_t run_call_with(struct run *r, const struct node *node, const struct value *caller,
                    struct value *ret);
err_t run_call(struct run *r, const struct value *callee, const struct call *call,
               struct value *ret);

err_t template_value(struct run *r, const struct template_variable *variable, struct value *ret);
