#include "model/text/prompt_row.h"
#include "base/mem.h"
#include <inttypes.h>

/* Of a row, which is itself bounded (JSONL_LINE_BYTES). */
static err_t encode(const struct prompt_rules *rules, const json_t *row, const char *name,
                    struct prompt_row *prompt)
{
    TRY(row_prompt(&rules->rows, row, name, &prompt->token, &prompt->tokens));
    if (prompt->tokens < 1 || prompt->tokens > rules->most)
        return err_new(ERR_RANGE,
                       "%s: a prompt of %d tokens; 1 to %" PRId64
                       " are allowed (data.max_prompt_tokens)",
                       name, prompt->tokens, rules->most);
    return OK;
}

static err_t read_row(const struct prompt_rules *rules, const json_t *row, const char *name,
                      struct prompt_row *prompt)
{
    TRY(encode(rules, row, name, prompt));
    const int64_t room = rules->context - prompt->tokens;
    if (room < 1)
        return err_new(ERR_RANGE, "%s: a prompt of %d tokens leaves no room in %" PRId64, name,
                       prompt->tokens, rules->context);
    int64_t max_tokens = rules->max_tokens;
    TRY(json_get_int_or(row, name, "max_tokens", 1, room, &max_tokens));
    TRY(json_get_bool_or(row, name, "ignore_eos", &prompt->ignore_eos));
    prompt->max_tokens = (int)(max_tokens < room ? max_tokens : room);
    return OK;
}

err_t prompt_row_read(const struct prompt_rules *rules, const json_t *row, const char *name,
                      struct prompt_row *ret)
{
    SCOPED_VALUE(prompt_row) prompt = {0};
    TRY(read_row(rules, row, name, &prompt));
    *ret = prompt;
    prompt.token = NULL;
    return OK;
}

void prompt_row_done(struct prompt_row *prompt)
{
    mem_free(prompt->token);
}
