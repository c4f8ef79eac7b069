/* The ends of a completion besides its length: end tokens, and texts that may begin and end inside
 * tokens.
 *
 *     TRY(stops_new(tokenizer, &config, &names, &stops));
 *     request.stop = stops->token, request.stops = stops->tokens;
 *     request.stopped = stops_reached, request.stopped_arg = stops;
 *     ...
 *     TRY(stops_text(stops, completion, &text));
 *
 * A text counts wherever it appears in the decoded completion, special tokens left out; the token
 * that completes it is the completion's last. Any thread: nothing changes once made. */
#pragma once
#include "base/bytes.h"
#include "model/engine/engine.h"
#include "model/files/config.h"
#include "model/text/tokenizer.h"

/* Borrowed during stops_new. */
struct stop_names {
    char *const *text; // (texts) none of them empty
    size_t texts;
    char *const *token; // (tokens) as tokenizer.json writes them
    size_t tokens;
};

struct stops {
    const struct tokenizer *tokenizer; // borrowed
    int32_t token[ENGINE_STOPS_MAX];   // those named, then the model's
    int tokens, named;
    char **text;
    size_t texts, longest; // longest: bytes
};

/* INVALID: a name that is no token, or more tokens than ENGINE_STOPS_MAX. */
err_t stops_new(const struct tokenizer *tokenizer, const struct model_config *config,
                const struct stop_names *names, struct stops **ret);

/* An engine_stopped: whether the last of the tokens completes a stop text. */
bool stops_reached(void *stops, const int32_t *token, int tokens);

/* Where the first stop text begins in text; len if there is none. */
size_t stops_cut(const struct stops *stops, const void *text, size_t len);

/* Appends a finished completion's text: without the end token, and up to the stop text that ended
 * it. This is the one way from tokens to the text that is scored, in a ring and apart. The text is
 * UTF-8, as JSON has it: a cut character becomes U+FFFD. */
err_t stops_text(const struct stops *stops, const struct engine_completion *completion,
                 struct bytes *ret);
void stops_free(struct stops *stops);
DEFINE_SCOPED(stops)
