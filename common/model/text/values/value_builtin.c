/* Arguments of builtins, by the parameters of their rows. */
#include "model/text/values/value_builtin.h"
#include "model/text/values/value_text.h"

const char *value_kind_name(const struct value *v)
{
    static const char *const names[] = {"nothing",
                                        "an undefined value",
                                        "None",
                                        "bool",
                                        "int",
                                        "float",
                                        "str",
                                        "list",
                                        "tuple",
                                        "dict",
                                        "range",
                                        "a generator",
                                        "a view of a dict",
                                        "a namespace",
                                        "a macro",
                                        "a function",
                                        "a loop",
                                        "a cycler",
                                        "a joiner"};
    if (v->kind == VALUE_TEXT && v->text->markup)
        return "Markup";
    return names[v->kind];
}

/* The position of a parameter; -1: there is none of that name. */
static int parameter(const struct builtin *builtin, const struct text *name)
{
    int i = 0;
    for (const char *at = builtin->params; *at; i++) {
        const size_t len = strcspn(at, " ");
        if (len == name->len && memcmp(at, name->data, len) == 0)
            return i;
        at += len + (at[len] == ' ');
    }
    return -1;
}

static int parameters(const struct builtin *builtin)
{
    int count = *builtin->params != 0;
    for (const char *at = builtin->params; *at; at++)
        count += *at == ' ';
    return count;
}

err_t builtin_apply(struct run *r, const struct builtin *builtin, const struct value *self,
                    const struct call *call, struct value *ret)
{
    struct value arg[BUILTIN_PARAMS] = {0};
    if (builtin->raw)
        return builtin->raw(r, self, call, ret);
    if (!builtin->call)
        return err_new(ERR_INVALID, "'%s' is not supported", builtin->name);
    const int most = parameters(builtin);
    if (call->count > most)
        return err_new(ERR_INVALID, "'%s' takes %d arguments at most, not %d", builtin->name, most,
                       call->count);
    for (int i = 0; i < call->count; i++)
        arg[i] = call->at[i];
    for (int i = 0; i < call->nameds; i++) {
        const int at = parameter(builtin, call->name[i].text);
        if (at < 0 || arg[at].kind != VALUE_MISSING)
            return err_new(ERR_INVALID, "'%s' has no argument '%.60s' here", builtin->name,
                           call->name[i].text->data);
        arg[at] = call->named[i];
    }
    for (int i = 0; i < builtin->least; i++)
        if (arg[i].kind == VALUE_MISSING)
            return err_new(ERR_INVALID, "'%s' needs %d arguments", builtin->name, builtin->least);
    return builtin->call(r, self, arg, ret);
}

err_t undefined_error(const struct value *v)
{
    return err_new(ERR_INVALID, "%s", v->hint);
}

err_t want_text(const struct value *v, const char *what, const struct text **ret)
{
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    if (v->kind != VALUE_TEXT)
        return err_new(ERR_INVALID, "%s must be a string, not %s", what, value_kind_name(v));
    *ret = v->text;
    return OK;
}

err_t want_int(const struct value *v, const char *what, int64_t *ret)
{
    if (v->kind == VALUE_UNDEFINED)
        return undefined_error(v);
    int64_t number;
    if (!value_is_int(v, &number))
        return err_new(ERR_INVALID, "%s must be a whole number, not %s", what, value_kind_name(v));
    *ret = number;
    return OK;
}
