/* A model's identity beside its weights: its family, its shapes and numbers, its end tokens, its
 * tokenizer, its chat template. Two daemons whose models differ in any of these mean other texts
 * by the same tokens.
 *
 *     TRY(model_identity("sft", hello_put, &hello));
 *         -- "model.config", "family=llama V=29 C=32 ..."; "model.tokenizer", "5f1c..."
 *
 * Any thread. */
#pragma once
#include "base/err.h"

/* Calls fn with a few keys and values. NOT_FOUND, INVALID: config.json. Without a tokenizer.json:
 * "none"; MODEL_CHAT_TEMPLATE only where there is a template. */
#define MODEL_CHAT_TEMPLATE "model.chat_template"
err_t model_identity(const char *directory,
                     void (*fn)(void *arg, const char *key, const char *value), void *arg);
