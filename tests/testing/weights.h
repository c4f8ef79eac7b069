/* The digest of the weights in a Hugging Face directory, counted from its files: a second witness beside what a learner
 * recorded. */
#pragma once
#include "base/hash.h"
#include "base/json.h"
#include "model/model.h"
#include "tensor/digest.h"
#include "testing/testing.h"

/* A text, owned by the caller. */
static inline json_t *weights_of_directory(const char *directory)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    char text[DIGEST_TEXT];
    assert_ok(backend_cpu_new(&(struct cpu_config){.threads = 1}, &be));
    assert_ok(model_load(be, directory, &model));
    const struct digest digest = weights_digest(model->values, 0, model->params->layout->elements);
    return json_string(digest_text(&digest, text));
}
