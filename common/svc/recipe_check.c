#include "svc/recipe_check.h"
#include "base/cpus.h"
#include "base/mem.h"
#include "svc/address.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    const struct recipe *recipe;
    const struct yaml_tree *root;
    const struct recipe_source *source;
};

static bool is_set_on_line(const struct recipe_source *source, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < source->sets_count; i++)
        if (strncmp(source->sets[i], key, len) == 0 && source->sets[i][len] == '=')
            return true;
    return false;
}

/* The line where key, or the nearest map above it, stands in the file; 0: nowhere. */
static int line_of(const struct yaml_tree *root, const char *key)
{
    SCOPED_MEM char *copy = mem_string(key);
    int line = 0;
    const struct yaml_tree *at = root;
    for (char *rest = copy; rest && at;) {
        at = yaml_tree_member(at, strsep(&rest, "."));
        line = at ? at->line : line;
    }
    return line;
}

/* An error at the place of key. */
__attribute__((format(printf, 3, 4))) static err_t wrong(const struct check *check, const char *key,
                                                         const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    err_t e = err_field(err_new(ERR_INVALID, "%s: %s", key, text), key, text);
    free(text);
    int line = line_of(check->root, key);
    if (is_set_on_line(check->source, key))
        return err_wrap(e, "--set");
    if (line)
        return err_wrap(e, "%s:%d", check->recipe->file, line);
    return *check->recipe->file ? err_wrap(e, "%s", check->recipe->file) : e;
}

static err_t check_replay(const struct check *check)
{
    const struct recipe *r = check->recipe;
    int64_t most = recipe_lag_most(r), least = (most + 1) * r->learner.groups;
    if (r->replay.max_uses > most + 1)
        return wrong(check, "replay.max_uses",
                     "%" PRId64 " is too many; a round trains a group once and in lag.max + 1 = "
                     "%" PRId64 " rounds it is too old",
                     r->replay.max_uses, most + 1);
    if (r->replay.max_groups >= least)
        return OK;
    return wrong(check, "replay.max_groups",
                 "%" PRId64
                 " is too few; it must be at least (lag.%s + 1) * learner.groups = (%" PRId64
                 " + 1) * %" PRId64 " = %" PRId64,
                 r->replay.max_groups, r->lag.max == RECIPE_COUNT_AUTO ? "auto_max" : "max", most,
                 r->learner.groups, least);
}

static err_t check_publish(const struct check *check)
{
    const struct recipe *r = check->recipe;
    if (r->publish.fanout && r->publish.transport != RECIPE_GRPC)
        return wrong(check, "publish.fanout",
                     "%" PRId64 " goes with publish.transport: grpc alone; NCCL needs no relays",
                     r->publish.fanout);
    bool steered = r->lag.max == RECIPE_COUNT_AUTO;
    int64_t least = steered ? r->lag.auto_min : r->lag.max;
    if (r->publish.every <= least + 1)
        return OK;
    return wrong(check, "publish.every",
                 "%" PRId64 " is too seldom; it must be at most lag.%s + 1 = %" PRId64
                 ", or generators wait for weights that never come",
                 r->publish.every, steered ? "auto_min" : "max", least + 1);
}

int64_t recipe_lag_target(const struct recipe *recipe)
{
    const struct recipe_lag *lag = &recipe->lag;
    if (lag->max != RECIPE_COUNT_AUTO)
        return lag->max;
    int64_t at = lag->auto_at < lag->auto_min ? lag->auto_min : lag->auto_at;
    return at < lag->auto_max ? at : lag->auto_max;
}

int64_t recipe_lag_most(const struct recipe *recipe)
{
    return recipe->lag.max == RECIPE_COUNT_AUTO ? recipe->lag.auto_max : recipe->lag.max;
}

static err_t check_band(const struct check *check, const char *key, const struct recipe_pair *band)
{
    if (band->at[0] <= band->at[1])
        return OK;
    return wrong(check, key, "[%g, %g] is no band; the first must not be above the second",
                 band->at[0], band->at[1]);
}

static err_t check_lag(const struct check *check)
{
    const struct recipe_lag *lag = &check->recipe->lag;
    int64_t most = recipe_lag_most(check->recipe);
    if (lag->auto_min > lag->auto_max)
        return wrong(check, "lag.auto_min",
                     "%" PRId64 " is too many; it must be at most lag.auto_max = %" PRId64,
                     lag->auto_min, lag->auto_max);
    if (lag->on_stale == RECIPE_STALE_KEEP && lag->hard_max < most)
        return wrong(check, "lag.hard_max",
                     "%" PRId64
                     " is too few; with on_stale: keep it must be at least lag.%s = %" PRId64,
                     lag->hard_max, lag->max == RECIPE_COUNT_AUTO ? "auto_max" : "max", most);
    TRY(check_band(check, "lag.auto_idle", &lag->auto_idle));
    TRY(check_band(check, "lag.auto_ess", &lag->auto_ess));
    return check_band(check, "lag.auto_kl", &lag->auto_kl);
}

static err_t check_group(const struct check *check)
{
    const struct recipe *r = check->recipe;
    if (r->generator.num_generations >= 2 || strcmp(r->learner.objective, "sft") == 0)
        return OK;
    return wrong(check, "generator.num_generations",
                 "%" PRId64
                 " is too few; learner.objective %s compares completions of one prompt: at least 2",
                 r->generator.num_generations, r->learner.objective);
}

static err_t check_updates(const struct check *check)
{
    const struct recipe *r = check->recipe;
    int64_t most = r->learner.groups * r->learner.epochs;
    if (r->learner.updates_per_round > most)
        return wrong(check, "learner.updates_per_round",
                     "%" PRId64 " is too many; each update needs a group: at most learner.groups * "
                     "learner.epochs = %" PRId64,
                     r->learner.updates_per_round, most);
    if (r->learner.updates_per_round % r->learner.epochs)
        return wrong(check, "learner.epochs",
                     "%" PRId64 " does not divide learner.updates_per_round = %" PRId64
                     ", which is epochs times minibatches",
                     r->learner.epochs, r->learner.updates_per_round);
    return OK;
}

static err_t check_reference(const struct check *check)
{
    const struct recipe *r = check->recipe;
    if (r->rewarder.reference != RECIPE_NO_REFERENCE)
        return OK;
    if (r->learner.kl.coef > 0)
        return wrong(check, "learner.kl.coef",
                     "%g needs a reference model; set rewarder.reference: frozen, or coef to 0",
                     r->learner.kl.coef);
    if (strcmp(r->learner.objective, "online_dpo") == 0)
        return wrong(check, "learner.objective",
                     "online_dpo needs a reference model; set rewarder.reference: frozen");
    return OK;
}

static err_t check_end(const struct check *check)
{
    const struct recipe *r = check->recipe;
    if (!r->run.rounds && !r->data.epochs)
        return wrong(check, "run.rounds",
                     "0, and data.epochs is 0 too: the run would never end; set one of them");
    if (!r->sft.steps && !r->sft.epochs)
        return wrong(check, "sft.steps",
                     "0, and sft.epochs is 0 too: training would never end; set one of them");
    return OK;
}

static err_t check_eval(const struct check *check)
{
    const struct recipe *r = check->recipe;
    if (!r->eval.every || *r->data.eval)
        return OK;
    return wrong(check, "eval.every", "%" PRId64 " needs data.eval, which is not set",
                 r->eval.every);
}

static err_t check_listen(const struct check *check)
{
    const struct recipe *r = check->recipe;
    const struct {
        const char *key, *listen;
    } daemons[] = {
        {"generator.listen", r->generator.listen},
        {"rewarder.listen", r->rewarder.listen},
        {"learner.listen", r->learner.listen},
    };
    for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++) {
        const char *key = daemons[i].key, *listen = daemons[i].listen;
        SCOPED_MEM char *http = NULL;
        err_t failed = address_derive(listen, ADDRESS_HTTP, &http); // the highest of its ports
        if (err_failed(failed)) {
            err_free(failed);
            return wrong(check, key,
                         "'%s' leaves no room for HTTP at port + %d; allowed: ports up to %d",
                         listen, ADDRESS_HTTP, UINT16_MAX - ADDRESS_HTTP);
        }
        if (!address_is_loopback(listen) && !r->net.insecure)
            return wrong(
                check, key,
                "'%s' is open beyond this machine without TLS; use 127.0.0.1, or net.insecure: true in a "
                "network you trust",
                listen);
    }
    return OK;
}

/* Which cores there are is known where the daemon runs. */
static err_t check_cpus(const struct check *check)
{
    const struct recipe *r = check->recipe;
    const struct {
        const char *key, *cpus;
    } lists[] = {{"generator.cpus", r->generator.cpus},
                 {"rewarder.cpus", r->rewarder.cpus},
                 {"learner.cpus", r->learner.cpus}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        cpu_set_t set;
        err_t failed = cpus_parse(lists[i].cpus, &set);
        if (!err_failed(failed))
            continue;
        SCOPED_MEM char *why = mem_string(err_message(failed));
        err_free(failed);
        return wrong(check, lists[i].key, "%s", why);
    }
    return OK;
}

bool recipe_refers_to_pairs(const struct recipe *recipe)
{
    return strcmp(recipe->learner.objective, "online_dpo") == 0 && !(recipe->learner.kl.coef > 0);
}

err_t recipe_check(const struct recipe *recipe, const struct yaml_tree *root,
                   const struct recipe_source *source)
{
    static err_t (*const checks[])(const struct check *check) = {
        check_replay, check_publish, check_lag,    check_group,     check_updates,
        check_end,    check_eval,    check_listen, check_reference, check_cpus,
    };
    const struct check check = {recipe, root, source};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        TRY(checks[i](&check));
    return OK;
}
