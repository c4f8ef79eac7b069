/* Names that statements set. */
#include "model/text/template/template_run.h"

struct scope *scope_new(struct run *r, struct scope *parent)
{
    struct scope *scope = room_take(&r->room, sizeof *scope);
    scope->parent = parent;
    return scope;
}

void scope_set(struct run *r, struct scope *scope, int name, struct value value)
{
    for (int i = 0; i < scope->count; i++) {
        if (scope->at[i].name == name) {
            scope->at[i].value = value;
            return;
        }
    }
    if (scope->count == scope->capacity) {
        scope->capacity = scope->capacity ? scope->capacity * 2 : 4;
        struct binding *at = room_take(&r->room, (size_t)scope->capacity * sizeof *at);
        if (scope->count)
            memcpy(at, scope->at, (size_t)scope->count * sizeof *at);
        scope->at = at;
    }
    scope->at[scope->count++] = (struct binding){name, value};
}
