/* Findings of the audit. */
#include "learner/store/audit/auditing.h"
#include <stdarg.h>

void audit_broken(struct walk *walk, const char *format, ...)
{
    walk->audit->errors++;
    if (!walk->out)
        return;
    va_list args;
    va_start(args, format);
    fputs("error=\"", walk->out);
    vfprintf(walk->out, format, args);
    fputs("\"\n", walk->out);
    va_end(args);
}

bool audit_readable(struct walk *walk, err_t e, const char *what, uint64_t number)
{
    if (!err_failed(e))
        return true;
    audit_broken(walk, "%s %llu: %s", what, (unsigned long long)number, err_message(e));
    err_free(e);
    return false;
}

void audit_stored(struct walk *walk, const struct slot *slot, const struct round_group *of)
{
    bool found = false;
    uint8_t key[KEY_GROUP];
    SCOPED_VALUE(bytes) value = {0};
    SCOPED(group) group = NULL;
    uint64_t number = of ? of->slot : slot->number;
    const struct digest *content = of ? &of->content : &slot->summary.content;
    key_group(of ? of->age : slot->state == SLOT_STORED ? slot->age : QUARANTINE_AGE, number, key);
    if (!audit_readable(walk, db_get(walk->db, DB_GROUPS, key, sizeof key, &value, &found), "slot",
                        number))
        return;
    if (!found)
        audit_broken(walk, "slot %llu: its group's bytes are missing", (unsigned long long)number);
    else
        audit_readable(walk, stored_decode(value.data, value.len, content, &group), "slot", number);
}
