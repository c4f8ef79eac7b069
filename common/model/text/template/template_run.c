/* Statements, and a rendering as a whole. */
#include "model/text/template/template_run.h"
#include "base/mem.h"
#include "model/text/template/template_tables.h"

/* ---- names */

static err_t body(struct run *r, const struct nodes *nodes);

static err_t assign_member(struct run *r, const struct node *target, struct value value)
{
    struct value ns;
    TRY(run_eval(r, &(struct node){.kind = NODE_NAME, .line = target->line, .name = target->name},
                 &ns));
    if (ns.kind != VALUE_NAMESPACE)
        return err_new(ERR_INVALID, "only a namespace() has members that can be set");
    if (target->value.text->data[0] == '_')
        return err_new(ERR_INVALID, "a namespace keeps no member that begins with '_'");
    return dict_set(r, ns.dict, target->value, value);
}

static err_t assign(struct run *r, const struct node *target, struct value value)
{
    if (target->kind == NODE_NSREF)
        return assign_member(r, target, value);
    if (target->kind == NODE_NAME) {
        scope_set(r, r->scope, target->name, value);
        return OK;
    }
    struct list items;
    TRY(value_items(r, &value, &items));
    if (items.count != (size_t)target->list.count)
        return err_new(ERR_INVALID, "%zu values for %d names", items.count, target->list.count);
    for (int i = 0; i < target->list.count; i++)
        TRY(assign(r, target->list.at[i], items.at[i]));
    return OK;
}

/* ---- loops */

/* The next value that the loop's filter lets through, into items. */
static err_t pull(struct run *r, struct loop *loop, bool *ret_more)
{
    struct scope *scope = r->scope;
    *ret_more = false;
    while (!*ret_more && loop->source_at < loop->source.count) {
        const struct value value = loop->source.at[loop->source_at++];
        struct value passes = value_bool(true);
        if (loop->node->c) {
            r->scope = scope_new(r, loop->scope);
            TRY(assign(r, loop->node->a, value));
            TRY(run_eval(r, loop->node->c, &passes));
            r->scope = scope;
        }
        *ret_more = value_truth(&passes);
        if (*ret_more)
            TRY(list_push(r, &loop->items, value));
    }
    return OK;
}

/* One round; the body's scope is used again where nothing keeps it. */
static err_t round_of(struct run *r, const struct node *node, struct loop *loop,
                      struct scope **inner)
{
    if (!*inner || (*inner)->kept)
        *inner = scope_new(r, loop->scope);
    (*inner)->count = 0;
    r->scope = *inner;
    scope_set(r, r->scope, NAME_LOOP, (struct value){.kind = VALUE_LOOP, .loop = loop});
    TRY(assign(r, node->a, loop->items.at[loop->at]));
    TRY(body(r, &node->list));
    r->scope = loop->scope;
    return OK;
}

static err_t loop_body(struct run *r, const struct node *node, struct loop *loop)
{
    struct scope *inner = NULL;
    for (bool more = true; r->flow != FLOW_BREAK; loop->at++) {
        r->flow = FLOW_ON;
        if (loop->at == loop->items.count)
            TRY(pull(r, loop, &more));
        if (!more)
            break;
        TRY(run_work(r, 0));
        TRY(round_of(r, node, loop, &inner));
    }
    r->flow = FLOW_ON;
    return OK;
}

static err_t loop_over(struct run *r, const struct node *node, struct value values, int depth)
{
    struct loop *loop = room_take(&r->room, sizeof *loop);
    struct scope *scope = r->scope;
    *loop = (struct loop){.node = node, .scope = scope, .depth = depth};
    TRY(value_items(r, &values, &loop->source));
    TRY(loop_body(r, node, loop));
    r->scope = scope;
    if (loop->items.count || !node->other.count)
        return OK;
    r->scope = scope_new(r, scope);
    TRY(body(r, &node->other));
    r->scope = scope;
    return OK;
}

/* ---- statements */

static err_t capture_on(struct run *r, struct scope *scope, const struct nodes *nodes,
                        struct builder *out)
{
    struct scope *outer_scope = r->scope;
    struct builder *outer = r->out;
    r->scope = scope;
    r->out = out;
    TRY(body(r, nodes));
    r->scope = outer_scope;
    r->out = outer;
    return OK;
}

static err_t capture(struct run *r, struct scope *scope, const struct nodes *nodes,
                     const struct text **ret)
{
    struct builder out = {.room = &r->room};
    TRY(capture_on(r, scope, nodes, &out));
    return builder_text(&out, ret);
}

static err_t output(struct run *r, const struct node *node)
{
    for (int i = 0; i < node->list.count; i++) {
        struct value value;
        TRY(run_eval(r, node->list.at[i], &value));
        TRY(value_put(r, r->out, &value));
        if (r->out->over)
            return builder_text(r->out, &(const struct text *){NULL});
    }
    return OK;
}

static err_t choose(struct run *r, const struct node *node)
{
    struct value test;
    while (true) {
        TRY(run_eval(r, node->b, &test));
        if (value_truth(&test))
            return body(r, &node->list);
        if (!node->flag)
            return body(r, &node->other);
        node = node->other.at[0];
    }
}

/* The result of a filter or call block; jinja2 joins it with the other texts as it is. */
static err_t put_text(struct run *r, const struct value *value)
{
    if (value->kind != VALUE_TEXT)
        return err_new(ERR_INVALID, "a filter or call block must give a string, not %s",
                       value_kind_name(value));
    return value_put(r, r->out, value);
}

static err_t set_block(struct run *r, const struct node *node)
{
    const struct text *text;
    struct scope *inner = scope_new(r, r->scope), *scope = r->scope;
    TRY(capture(r, inner, &node->list, &text));
    if (r->flow != FLOW_ON)
        return OK;
    struct value value = value_text(text);
    if (node->b) {
        r->scope = inner;
        TRY(run_block_filter(r, node->b, value, &value));
        r->scope = scope;
    }
    return node->kind == NODE_SET_BLOCK ? assign(r, node->a, value) : put_text(r, &value);
}

static err_t with(struct run *r, const struct node *node)
{
    struct scope *outer = r->scope, *inner = scope_new(r, outer);
    for (int i = 0; i < node->other.count; i += 2) {
        struct value value;
        TRY(run_eval(r, node->other.at[i + 1], &value));
        r->scope = inner;
        TRY(assign(r, node->other.at[i], value));
        r->scope = outer;
    }
    r->scope = inner;
    TRY(body(r, &node->list));
    r->scope = outer;
    return OK;
}

/* The bytes that its body writes are the assistant's. */
static err_t generation(struct run *r, const struct node *node)
{
    struct scope *scope = r->scope;
    const size_t begin = r->out->len;
    r->scope = scope_new(r, scope);
    TRY(body(r, &node->list));
    r->scope = scope;
    for (size_t i = begin; i < r->out->len; i++)
        r->out->from[i] |= TEMPLATE_GENERATION;
    return OK;
}

static struct value macro_value(struct run *r, const struct node *node)
{
    struct macro *macro = room_take(&r->room, sizeof *macro);
    const struct signature *s = node->signature;
    *macro = (struct macro){.node = node,
                            .scope = r->scope,
                            .caller = s->caller,
                            .varargs = s->varargs,
                            .kwargs = s->kwargs};
    if (node->kind == NODE_MACRO)
        macro->name = text_string(&r->room, r->t->names[node->name]);
    for (struct scope *scope = r->scope; scope; scope = scope->parent)
        scope->kept = true;
    return (struct value){.kind = VALUE_MACRO, .macro = macro};
}

static err_t call_block(struct run *r, const struct node *node)
{
    struct value value;
    const struct value caller = macro_value(r, node);
    TRY(run_call_with(r, node->a, &caller, &value));
    return put_text(r, &value);
}

static err_t one(struct run *r, const struct node *node)
{
    struct value value;
    switch (node->kind) {
    case NODE_OUTPUT:
        return output(r, node);
    case NODE_IF:
        return choose(r, node);
    case NODE_FOR:
        TRY(run_eval(r, node->b, &value));
        return loop_over(r, node, value, 0);
    case NODE_SET:
        TRY(run_eval(r, node->b, &value));
        return assign(r, node->a, value);
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK:
        return set_block(r, node);
    case NODE_MACRO:
        scope_set(r, r->scope, node->name, macro_value(r, node));
        return OK;
    case NODE_CALL_BLOCK:
        return call_block(r, node);
    case NODE_WITH:
        return with(r, node);
    case NODE_GENERATION:
        return generation(r, node);
    case NODE_BREAK:
        r->flow = FLOW_BREAK;
        return OK;
    default:
        r->flow = FLOW_CONTINUE;
        return OK;
    }
}

static err_t body(struct run *r, const struct nodes *nodes)
{
    TRY(run_enter(r));
    for (int i = 0; i < nodes->count && r->flow == FLOW_ON; i++) {
        err_t e = one(r, nodes->at[i]);
        if (err_failed(e) && !r->failed_line)
            r->failed_line = nodes->at[i]->line;
        TRY(e);
    }
    run_leave(r);
    return OK;
}

/* ---- a rendering */

static err_t macro_body(struct run *r, const struct node *node)
{
    return body(r, &node->list);
}

static const struct run_ways ways = {builtin_find, pull, run_call, macro_body, loop_over};

static err_t render(struct run *r, const struct template_input *input)
{
    for (size_t i = 0; i < input->variables; i++) {
        const struct template_variable *variable = &input->variable[i];
        const int name = template_name(r->t, variable->name, strlen(variable->name));
        struct value value;
        if (name < 0)
            continue;
        TRY(err_wrap(template_value(r, variable, &value), "%s", variable->name));
        scope_set(r, r->scope, name, value);
    }
    TRY(body(r, &r->t->body));
    return r->out->over ? builder_text(r->out, &(const struct text *){NULL}) : OK;
}

err_t template_render(const struct template *t, const struct template_input *input,
                      struct template_text *ret)
{
    struct scope root = {0};
    struct run r = {.t = t,
                    .room = {.most = RUN_MEMORY},
                    .steps = input->steps ? input->steps : RUN_STEPS,
                    .now_s = input->now_s,
                    .ways = &ways,
                    .scope = &root};
    struct builder out = {.room = &r.room};
    r.out = &out;
    err_t e = render(&r, input);
    if (!err_failed(e)) {
        *ret = (struct template_text){
            .data = mem_new(out.len + 1), .from = mem_new(out.len + 1), .len = out.len};
        if (out.len) {
            memcpy(ret->data, out.data, out.len);
            memcpy(ret->from, out.from, out.len);
        }
    }
    room_done(&r.room);
    return template_shown(err_wrap(e, "%s:%d", t->name, r.failed_line ? r.failed_line : 1));
}

void template_text_done(struct template_text *text)
{
    mem_free(text->data);
    mem_free(text->from);
    *text = (struct template_text){0};
}
