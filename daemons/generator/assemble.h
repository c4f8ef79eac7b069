/* A group under way: from the lease to the last completion. Owner: the compute thread. */
#pragma once
#include "model/engine/engine.h"
#include "model/text/stops.h"
#include "svc/recipe/recipe.h"
#include "wire/lease.h"
#include "wire/rollout.h"

struct assembly {
    struct assembly *next;
    uint64_t tag;        // names it in the engine
    struct group *group; // completions that are not there yet have no tokens
    uint32_t missing;    // of them
    struct stamp *stamp; // (completions) what the engine says of each one's tokens
    int max_tokens;
    bool ignore_eos;
};

/* What ends completions, as the recipe has it. INVALID: generator.stop_tokens. */
err_t assembly_stops(const struct recipe *recipe, const struct model_config *config,
                     const struct tokenizer *tokenizer, struct stops **ret);

/* Takes the grant (struct and row). model: the one that decodes it. */
struct assembly *assembly_new(struct lease_grant *grant, const char *run, const char *generator,
                              const struct model *model, uint32_t completions, float temperature);
void assembly_set_prompt(struct assembly *a, const int32_t *ids, int count); // copies

/* Copies a finished completion in, with its decoded text. */
err_t assembly_add(struct assembly *a, const struct engine_completion *c,
                   const struct stops *stops);

/* The finished group; a is gone. */
struct group *assembly_finish(struct assembly *a);
void assembly_free(struct assembly *a);

/* Lists of them, oldest first. */
void assembly_append(struct assembly **list, struct assembly *a);
struct assembly *assembly_find(struct assembly *list, uint64_t tag); // NULL: none
struct assembly *assembly_find_id(struct assembly *list, const struct digest *id);
/* Out of the list; it must be there */
struct assembly *assembly_take(struct assembly **list, uint64_t tag);
