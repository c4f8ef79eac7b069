/* The error for a part of tokenizer.json that is not read. */
#include "base/mem.h"
#include "model/text/tokenizer_state.h"

enum { SHOWN = 60 };

err_t tokenizer_refuse(const char *name, const char *path, const json_t *found, const char *allowed)
{
    SCOPED_MEM char *text = found ? json_to_text(found) : mem_string("missing");
    return err_new(ERR_INVALID, "%s: %s is %.*s; it must be %s", name, path, SHOWN,
                   text ? text : "unreadable", allowed);
}
