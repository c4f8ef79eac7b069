/* Calls: of macros, of builtins, of a recursive loop. */
#include "model/text/template/template_run.h"

/* The argument of this name, if it is given; used says which were taken. */
static const struct value *named(const struct call *call, const char *name, bool *used)
{
    for (int i = 0; i < call->nameds; i++) {
        if (text_is(call->name[i].text, name)) {
            used[i] = true;
            return &call->named[i];
        }
    }
    return NULL;
}

static err_t parameter(struct run *r, const struct signature *s, int i, const struct value *found)
{
    struct value value;
    if (found) {
        value = *found;
    } else if (s->initial[i]) {
        TRY(run_eval(r, s->initial[i], &value));
    } else {
        value = value_undefined(
            room_printf(&r->room, "parameter '%s' was not provided", r->t->names[s->name[i]]));
    }
    scope_set(r, r->scope, s->name[i], value);
    return OK;
}

/* varargs, kwargs and caller, where the body asks for them; else what is left over is too much. */
static err_t leftovers(struct run *r, const struct signature *s, const struct call *call,
                       bool *used)
{
    struct list *more = list_new(r, 0);
    struct dict *names = dict_new(r);
    if (s->caller) {
        const struct value *caller = named(call, "caller", used);
        scope_set(r, r->scope, NAME_CALLER,
                  caller ? *caller : value_undefined("No caller defined"));
    }
    for (int i = s->count; i < call->count; i++)
        TRY(list_push(r, more, call->at[i]));
    for (int i = 0; i < call->nameds; i++) {
        if (used[i])
            continue;
        if (!s->kwargs)
            return err_new(ERR_INVALID, "the macro takes no argument named '%.60s'",
                           call->name[i].text->data);
        TRY(dict_set(r, names, call->name[i], call->named[i]));
    }
    if (more->count && !s->varargs)
        return err_new(ERR_INVALID, "the macro takes not more than %d arguments", s->count);
    if (s->varargs)
        scope_set(r, r->scope, NAME_VARARGS, (struct value){.kind = VALUE_TUPLE, .list = more});
    if (s->kwargs)
        scope_set(r, r->scope, NAME_KWARGS, value_dict(names));
    return OK;
}

/* Arguments into the scope at hand. Those that are given are bound before defaults look at them. */
static err_t bind(struct run *r, const struct signature *s, const struct call *call)
{
    bool *used = room_take(&r->room, (size_t)call->nameds + 1);
    const struct value **found = room_take(&r->room, (size_t)(s->count + 1) * sizeof *found);
    for (int i = 0; i < s->count; i++) {
        found[i] = i < call->count ? &call->at[i] : named(call, r->t->names[s->name[i]], used);
        if (found[i])
            scope_set(r, r->scope, s->name[i], *found[i]);
    }
    TRY(leftovers(r, s, call, used));
    for (int i = 0; i < s->count; i++)
        TRY(parameter(r, s, i, found[i]));
    return OK;
}

/* The text that a macro or call block writes. */
static err_t macro(struct run *r, const struct macro *macro, const struct call *call,
                   struct value *ret)
{
    struct builder out = {.room = &r->room}, *outer = r->out;
    struct scope *scope = r->scope;
    const struct text *text;
    r->out = &out;
    r->scope = scope_new(r, macro->scope);
    TRY(bind(r, macro->node->signature, call));
    TRY(r->ways->body(r, macro->node));
    r->scope = scope;
    r->out = outer;
    TRY(builder_text(&out, &text));
    *ret = value_text(text);
    return OK;
}

/* loop(values) of a loop that is recursive: the same body, one deeper. */
static err_t recurse(struct run *r, const struct loop *loop, const struct call *call,
                     struct value *ret)
{
    struct builder out = {.room = &r->room}, *outer = r->out;
    struct scope *scope = r->scope;
    const struct text *text;
    if (!loop->node->flag)
        return err_new(ERR_INVALID, "only a loop that is 'recursive' can be called");
    if (call->count != 1 || call->nameds)
        return err_new(ERR_INVALID, "loop() takes one argument");
    r->out = &out;
    r->scope = loop->scope;
    TRY(r->ways->loop(r, loop->node, call->at[0], loop->depth + 1));
    r->out = outer;
    r->scope = scope;
    TRY(builder_text(&out, &text));
    *ret = value_text(text);
    return OK;
}

/* joiner(): nothing the first time, then its text. */
static err_t join(struct cycler *joiner, const struct call *call, struct value *ret)
{
    if (call->count || call->nameds)
        return err_new(ERR_INVALID, "a joiner takes no argument");
    *ret = joiner->at++ ? joiner->items.at[0] : value_text(&text_empty);
    return OK;
}

err_t run_call(struct run *r, const struct value *callee, const struct call *call,
               struct value *ret)
{
    switch (callee->kind) {
    case VALUE_FUNCTION:
        return builtin_apply(r, callee->function->builtin, &callee->function->self, call, ret);
    case VALUE_MACRO:
        return macro(r, callee->macro, call, ret);
    case VALUE_LOOP:
        return recurse(r, callee->loop, call, ret);
    case VALUE_JOINER:
        return join(callee->cycler, call, ret);
    case VALUE_UNDEFINED:
        return undefined_error(callee);
    default:
        return err_new(ERR_INVALID, "%s cannot be called", value_kind_name(callee));
    }
}
