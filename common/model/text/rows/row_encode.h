/* A row of a dataset as tokens and the mask of its loss: what supervised training learns of it, and
 * the prompt that a generator completes.
 *
 *     SCOPED_VALUE(row_tokens) tokens = {0};
 *     TRY(row_encode(&rules, row, "train.jsonl:7", &tokens));
 *     tokens.at[0].id, tokens.at[0].loss, tokens.at[0].prompt_tokens
 *
 * Ids and masks are those of TRL 1.16 where rules.joined and rules.around are set, but for special
 * tokens that data spell (docs/datasets.md). Any thread. */
#pragma once
#include "model/text/chat/chat.h"
#include "model/text/rows/row_kind.h"

/* A model directory's chat template, if it has one that is read. */
struct row_chat {
    struct chat *chat;
    char *why; // there is none, in words; owned
};

struct row_rules {
    const struct tokenizer *tokenizer;
    const struct row_chat *chat; // without a template rows of messages are refused
    struct row_names names;
    bool special; // texts of special tokens become them (data.special_tokens)
    bool around;  // the post_processor's tokens around a text (data.add_special_tokens)
    /* Prompt and completion are one text, and the completion begins where its tokens leave the
     * prompt's (data.boundary: text). Else the prompt keeps the tokens that generation has. */
    bool joined;
    bool prompt_loss;    // a prompt's tokens count in the loss, too (completion_only_loss: false)
    bool assistant_only; // only tokens in {% generation %} count
    int end;             // the token behind a text that ends; -1: none
    int64_t now_s;       // the time that templates see
};

/* Prompt and completion, one after the other. */
struct row_sequence {
    int32_t *id;   // (tokens)
    uint8_t *loss; // (tokens) 1: counts in the loss
    int tokens, prompt_tokens;
};

struct row_tokens {
    struct row_kind kind;
    int sequences;
    /* With the same prompt: of a preference chosen, rejected; of ranked ones all. */
    struct row_sequence at[ROW_SIDES];
    double score[ROW_SIDES]; // of ranked ones
    bool label;              // of an unpaired preference
    /* Of steps: (tokens) the label at the last token of each, -1 elsewhere. NULL: no steps. */
    int8_t *step;
};

/* As a recipe has them; end is what tokenizer_end says. The rules borrow. */
struct recipe;
struct row_rules row_rules_of(const struct recipe *recipe, const struct tokenizer *tokenizer,
                              const struct row_chat *chat, int end);

/* A template that cannot be read is no error before a row needs it. */
struct row_chat row_chat_open(const char *directory);
void row_chat_done(struct row_chat *chat);

/* All of a row. A prompt-only row has a prompt and no completion. INVALID: "NAME: ...", and
 * the fault. */
err_t row_encode(const struct row_rules *rules, const json_t *row, const char *name,
                 struct row_tokens *ret);
void row_tokens_done(struct row_tokens *tokens);

/* Cuts an answer behind its last end token, where a generated one ends and its score is read:
 * templates write more behind the end of a message. One without an end stays as it is. */
void row_cut_behind_end(struct row_sequence *s, int end);

/* The prompt alone, as it is decoded from: of messages with the generation prompt, or going on with
 * the last message if that is the assistant's. The caller's. INVALID: the row has none. */
err_t row_prompt(const struct row_rules *rules, const json_t *row, const char *name,
                 int32_t **ret_ids, int *ret_count);
