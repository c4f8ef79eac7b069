/* Expressions: names, operators, and calls with what they are given. */
#include "model/text/template/template_run.h"

/* ---- names */

static err_t name(struct run *r, const struct node *node, struct value *ret)
{
    for (const struct scope *scope = r->scope; scope; scope = scope->parent) {
        for (int i = 0; i < scope->count; i++) {
            if (scope->at[i].name == node->name) {
                *ret = scope->at[i].value;
                return OK;
            }
        }
    }
    const char *word = r->t->names[node->name];
    const struct builtin *found = r->ways->find(BUILTIN_GLOBALS, word, strlen(word));
    if (found) {
        struct function *function = room_take(&r->room, sizeof *function);
        function->builtin = found;
        *ret = (struct value){.kind = VALUE_FUNCTION, .function = function};
        return OK;
    }
    *ret = value_undefined(room_printf(&r->room, "'%s' is undefined", word));
    return OK;
}

/* ---- operators */

static err_t compare_one(struct run *r, enum token_kind op, const struct value *a,
                         const struct value *b, bool *ret)
{
    int order;
    if (op == TOKEN_IN || op == TOKEN_NOT_IN) {
        TRY(value_contains(r, b, a, ret));
        *ret ^= op == TOKEN_NOT_IN;
        return OK;
    }
    if (op == TOKEN_EQ || op == TOKEN_NE) {
        TRY(value_equal(r, a, b, ret));
        *ret ^= op == TOKEN_NE;
        return OK;
    }
    TRY(value_order(r, a, b, &order));
    *ret = order != ORDER_NONE && (op == TOKEN_LT   ? order < 0
                                   : op == TOKEN_LE ? order <= 0
                                   : op == TOKEN_GT ? order > 0
                                                    : order >= 0);
    return OK;
}

static err_t compare(struct run *r, const struct node *node, struct value *ret)
{
    struct value left, right;
    bool holds = true;
    TRY(run_eval(r, node->a, &left));
    for (int i = 0; holds && i < node->list.count; i++, left = right) {
        TRY(run_eval(r, node->list.at[i], &right));
        TRY(compare_one(r, node->ops[i], &left, &right, &holds));
    }
    *ret = value_bool(holds);
    return OK;
}

static err_t concat(struct run *r, const struct node *node, struct value *ret)
{
    struct builder out = {.room = &r->room};
    const struct text *text;
    for (int i = 0; i < node->list.count; i++) {
        struct value value;
        TRY(run_eval(r, node->list.at[i], &value));
        TRY(value_put(r, &out, &value));
    }
    TRY(builder_text(&out, &text));
    *ret = value_text(text);
    return OK;
}

static err_t either(struct run *r, const struct node *node, struct value *ret)
{
    TRY(run_eval(r, node->a, ret));
    return value_truth(ret) == (node->kind == NODE_AND) ? run_eval(r, node->b, ret) : OK;
}

static err_t condition(struct run *r, const struct node *node, struct value *ret)
{
    TRY(run_eval(r, node->b, ret));
    if (value_truth(ret))
        return run_eval(r, node->a, ret);
    if (node->c)
        return run_eval(r, node->c, ret);
    *ret = value_undefined("an 'if' inside an expression is false, and has no 'else'");
    return OK;
}

static err_t sequence(struct run *r, const struct node *node, struct value *ret)
{
    struct list *list = list_new(r, (size_t)node->list.count);
    for (int i = 0; i < node->list.count; i++) {
        TRY(run_eval(r, node->list.at[i], &list->at[i]));
        list->count++;
    }
    *ret = value_list(list);
    if (node->kind == NODE_TUPLE)
        ret->kind = VALUE_TUPLE;
    return OK;
}

static err_t dict(struct run *r, const struct node *node, struct value *ret)
{
    struct dict *dict = dict_new(r);
    for (int i = 0; i < node->list.count; i += 2) {
        struct value key, value;
        TRY(run_eval(r, node->list.at[i], &key));
        TRY(run_eval(r, node->list.at[i + 1], &value));
        TRY(dict_set(r, dict, key, value));
    }
    *ret = value_dict(dict);
    return OK;
}

static err_t slice(struct run *r, const struct node *node, struct value *ret)
{
    struct value on, bound[3];
    TRY(run_eval(r, node->a, &on));
    for (int i = 0; i < 3; i++) {
        bound[i] = value_none();
        if (node->list.at[i])
            TRY(run_eval(r, node->list.at[i], &bound[i]));
    }
    return value_slice(r, &on, bound, ret);
}

/* ---- calls */

struct arguments {
    struct list plain, names, named;
};

static err_t spread(struct run *r, const struct arguments_given *given, struct arguments *all)
{
    struct value value;
    struct list more;
    if (given->star) {
        TRY(run_eval(r, given->star, &value));
        TRY(value_items(r, &value, &more));
        for (size_t i = 0; i < more.count; i++)
            TRY(list_push(r, &all->plain, more.at[i]));
    }
    if (!given->stars)
        return OK;
    TRY(run_eval(r, given->stars, &value));
    if (value.kind != VALUE_DICT)
        return err_new(ERR_INVALID, "behind ** belongs a mapping, not %s", value_kind_name(&value));
    for (size_t i = 0; i < value.dict->count; i++) {
        const struct text *name;
        TRY(want_text(&value.dict->at[i].key, "the name of an argument behind **", &name));
        TRY(list_push(r, &all->names, value_text(name)));
        TRY(list_push(r, &all->named, value.dict->at[i].value));
    }
    return OK;
}

static err_t unique_names(struct run *r, const struct list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        TRY(run_work(r, i));
        for (size_t k = 0; k < i; k++)
            if (text_equal(names->at[i].text, names->at[k].text))
                return err_new(ERR_INVALID, "an argument is given twice");
    }
    return OK;
}

/* The arguments of a call, and a caller behind them where there is one. */
static err_t arguments(struct run *r, const struct node *node, const struct value *caller,
                       struct arguments *all, struct call *ret)
{
    const struct arguments_given *given = node->args;
    for (int i = 0; given && i < given->plain.count; i++) {
        struct value value;
        TRY(run_eval(r, given->plain.at[i], &value));
        TRY(list_push(r, &all->plain, value));
    }
    for (int i = 0; given && i < given->named.count; i++) {
        struct value value;
        TRY(run_eval(r, given->named.at[i], &value));
        TRY(list_push(r, &all->names, given->names[i]));
        TRY(list_push(r, &all->named, value));
    }
    if (given)
        TRY(spread(r, given, all));
    if (caller) {
        TRY(list_push(r, &all->names, value_text(text_string(&r->room, "caller"))));
        TRY(list_push(r, &all->named, *caller));
    }
    if (given && given->stars)
        TRY(unique_names(r, &all->names));
    *ret = (struct call){all->plain.at, (int)all->plain.count, all->names.at, all->named.at,
                         (int)all->named.count};
    return OK;
}

err_t run_call_with(struct run *r, const struct node *node, const struct value *caller,
                    struct value *ret)
{
    struct arguments all = {0};
    struct call call;
    struct value callee;
    TRY(run_eval(r, node->a, &callee));
    TRY(arguments(r, node, caller, &all, &call));
    return r->ways->call(r, &callee, &call, ret);
}

static err_t unknown(const struct node *node)
{
    return err_new(ERR_INVALID, "no %s named '%.60s'",
                   node->kind == NODE_FILTER ? "filter" : "test", node->value.text->data);
}

static err_t run_filter(struct run *r, const struct node *node, struct value in, struct value *ret)
{
    struct arguments all = {0};
    struct call call;
    if (node->a)
        TRY(run_eval(r, node->a, &in));
    if (!node->builtin)
        return unknown(node);
    TRY(arguments(r, node, NULL, &all, &call));
    return builtin_apply(r, node->builtin, &in, &call, ret);
}

/* A filter block's innermost filter has no value of its own. */
static err_t filters(struct run *r, const struct node *node, const struct value *in,
                     struct value *ret)
{
    struct value value = *in;
    if (node->a && node->a->kind == NODE_FILTER)
        TRY(filters(r, node->a, in, &value));
    struct node alone = *node;
    alone.a = NULL;
    return run_filter(r, &alone, value, ret);
}

err_t run_block_filter(struct run *r, const struct node *node, struct value in, struct value *ret)
{
    return filters(r, node, &in, ret);
}

static err_t test(struct run *r, const struct node *node, struct value *ret)
{
    struct arguments all = {0};
    struct call call;
    struct value in;
    TRY(run_eval(r, node->a, &in));
    if (!node->builtin)
        return unknown(node);
    TRY(arguments(r, node, NULL, &all, &call));
    return builtin_apply(r, node->builtin, &in, &call, ret);
}

/* ---- all of them */

static err_t operation(struct run *r, const struct node *node, struct value *ret)
{
    struct value a, b;
    TRY(run_eval(r, node->a, &a));
    switch (node->kind) {
    case NODE_NOT:
        *ret = value_bool(!value_truth(&a));
        return OK;
    case NODE_NEG:
        return value_negate(&a, ret);
    case NODE_POS:
        if (a.kind == VALUE_UNDEFINED)
            return undefined_error(&a);
        if (!value_is_number(&a))
            return err_new(ERR_INVALID, "+ before %s", value_kind_name(&a));
        *ret = a.kind == VALUE_BOOL ? value_int(a.truth) : a;
        return OK;
    case NODE_MEMBER:
        return value_member(r, &a, node->value.text, ret);
    case NODE_ITEM:
        TRY(run_eval(r, node->b, &b));
        return value_item(r, &a, &b, ret);
    default:
        TRY(run_eval(r, node->b, &b));
        return value_binary(r, (enum value_operator)(node->op - TOKEN_ADD), &a, &b, ret);
    }
}

static err_t eval(struct run *r, const struct node *node, struct value *ret)
{
    switch (node->kind) {
    case NODE_CONST:
        *ret = node->value;
        return OK;
    case NODE_NAME:
        return name(r, node, ret);
    case NODE_TUPLE:
    case NODE_LIST:
        return sequence(r, node, ret);
    case NODE_DICT:
        return dict(r, node, ret);
    case NODE_COND:
        return condition(r, node, ret);
    case NODE_OR:
    case NODE_AND:
        return either(r, node, ret);
    case NODE_COMPARE:
        return compare(r, node, ret);
    case NODE_CONCAT:
        return concat(r, node, ret);
    case NODE_SLICE:
        return slice(r, node, ret);
    case NODE_CALL:
        return run_call_with(r, node, NULL, ret);
    case NODE_FILTER:
        return run_filter(r, node, value_none(), ret);
    case NODE_TEST:
        return test(r, node, ret);
    default:
        return operation(r, node, ret);
    }
}

err_t run_eval(struct run *r, const struct node *node, struct value *ret)
{
    TRY(run_enter(r));
    err_t e = eval(r, node, ret);
    if (err_failed(e) && !r->failed_line)
        r->failed_line = node->line;
    run_leave(r);
    return e;
}
