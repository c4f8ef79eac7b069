/* The digest of the weights in a Hugging Face directory, counted from its files: a second witness
 * beside what a learner recorded. */
#pragma once
#include "base/hash.h"
#include "base/json.h"
#include "testing/models.h"

/* A text, owned by the caller. */
static inline json_t *weights_of_directory(const char *directory)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    char text[DIGEST_TEXT];
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load(be, directory, &model));
    const struct digest digest = weights_digest_of(model);
    return json_string(digest_text(&digest, text));
}
