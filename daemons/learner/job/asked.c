#include "learner/job/asked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/mixture.h"
#include "learner/settings.h"
#include <errno.h>
#include <stdlib.h>

err_t job_require_run(const struct recipe *recipe)
{
    return *recipe->directory ? OK
                              : err_new(ERR_INVALID, "--run DIR is missing: the run to work on");
}

err_t job_version(const struct job_options *options, uint64_t *ret)
{
    char *end = NULL;
    const char *text = options->version ? options->version : "";
    errno = 0;
    unsigned long long version = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno)
        return err_new(ERR_INVALID, "--at '%.40s': a whole number is needed, 0 or more", text);
    *ret = version;
    return OK;
}

err_t job_open_store(const struct recipe *recipe, bool rest, struct store **ret)
{
    SCOPED_MEM char *directory = file_join(recipe->directory, "store");
    SCOPED_MEM char *current = file_join(directory, "CURRENT");
    SCOPED(mixture) data = NULL;
    if (!file_exists(current))
        return err_new(ERR_NOT_FOUND, "store '%s': there is none", directory);
    TRY(recipe_require(recipe, "data.train"));
    TRY(recipe_train_rows(recipe, &data));
    struct store_options options = {.run = recipe->run.name,
                                    .data = mixture_digest(data),
                                    .rows = mixture_rows(data),
                                    .seed = (uint64_t)recipe->run.seed,
                                    .shuffle = recipe->data.shuffle,
                                    .rest = rest};
    struct store_rules rules = settings_store(recipe);
    return store_open(directory, &options, &rules, clock_ms(), ret);
}
