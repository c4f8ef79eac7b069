#include "model/text/stops.h"
#include "base/mem.h"
#include "base/printable.h"
#include <string.h>

static err_t add_token(struct stops *stops, int32_t token)
{
    for (int i = 0; i < stops->tokens; i++)
        if (stops->token[i] == token)
            return OK;
    if (stops->tokens == ENGINE_STOPS_MAX)
        return err_new(ERR_INVALID, "more than %d stop tokens, the model's end tokens included",
                       ENGINE_STOPS_MAX);
    stops->token[stops->tokens++] = token;
    return OK;
}

err_t stops_new(const struct tokenizer *tokenizer, const struct model_config *config,
                const struct stop_names *names, struct stops **ret)
{
    SCOPED(stops) stops = mem_new(sizeof *stops);
    stops->tokenizer = tokenizer;
    stops->text = mem_array(names->texts, sizeof *stops->text);
    for (size_t i = 0; i < names->texts; i++) {
        const size_t len = strlen(names->text[i]);
        if (!len)
            return err_new(ERR_INVALID, "stop text %zu is empty", i);
        stops->longest = len > stops->longest ? len : stops->longest;
        stops->text[stops->texts++] = mem_string(names->text[i]);
    }
    for (size_t i = 0; i < names->tokens; i++) {
        const int id = tokenizer_id(tokenizer, names->token[i]);
        if (id < 0 || id >= config->V)
            return err_new(ERR_INVALID,
                           "stop token '%.100s' is not in the tokenizer; tokens are written as in "
                           "tokenizer.json",
                           names->token[i]);
        TRY(add_token(stops, id));
    }
    stops->named = stops->tokens;
    for (int i = 0; i < config->eos_count; i++)
        TRY(add_token(stops, config->eos[i]));
    *ret = STEAL(stops);
    return OK;
}

size_t stops_cut(const struct stops *stops, const void *text, size_t len)
{
    size_t first = len;
    for (size_t i = 0; i < stops->texts; i++) {
        const char *at = len ? memmem(text, len, stops->text[i], strlen(stops->text[i])) : NULL;
        if (at && (size_t)(at - (const char *)text) < first)
            first = (size_t)(at - (const char *)text);
    }
    return first;
}

/* Decodes as many of the last tokens as the longest text may reach into: a special token has no
 * bytes, so that may be more than its length. What an earlier token completed has ended it then. */
static err_t look(const struct stops *stops, const int32_t *token, int tokens, bool *ret)
{
    SCOPED_VALUE(bytes) last = {0};
    TRY(tokenizer_decode_part(stops->tokenizer, token + tokens - 1, 1, true, &last));
    *ret = false;
    for (size_t window = stops->longest, all = (size_t)tokens; last.len; window *= 2) {
        SCOPED_VALUE(bytes) text = {0};
        const size_t count = window < all ? window : all;
        TRY(tokenizer_decode_part(stops->tokenizer, token + all - count, count, true, &text));
        if (count < all && text.len < last.len + stops->longest - 1)
            continue;
        *ret = stops_cut(stops, text.data, text.len) < text.len;
        return OK;
    }
    return OK;
}

bool stops_reached(void *arg, const int32_t *token, int tokens)
{
    const struct stops *stops = arg;
    bool reached = false;
    if (stops->texts) // a token that cannot be decoded is reported with the finished completion
        err_free(look(stops, token, tokens, &reached));
    return reached;
}

err_t stops_text(const struct stops *stops, const struct engine_completion *c, struct bytes *ret)
{
    const int kept = c->finish == ENGINE_EOS ? c->tokens - 1 : c->tokens;
    SCOPED_VALUE(bytes) text = {0};
    TRY(tokenizer_decode(stops->tokenizer, c->token, (size_t)kept, true, &text));
    if (c->finish == ENGINE_STOP)
        text.len = stops_cut(stops, text.data, text.len);
    utf8_put(ret, text.data, text.len);
    return OK;
}

void stops_free(struct stops *stops)
{
    if (!stops)
        return;
    for (size_t i = 0; i < stops->texts; i++)
        mem_free(stops->text[i]);
    mem_free(stops->text);
    mem_free(stops);
}
