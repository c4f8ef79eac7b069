/* certs issue: a certificate for one holder, or for all that `rlhfctl up` starts by a recipe. */
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/certs/certs.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include "svc/address.h"
#include "svc/recipe/recipe.h"
#include "svc/recipe/suggest.h"
#include "tls/certificate_text.h"
#include "tls/spiffe.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { DAYS = 365 };

struct issue {
    const char *directory, *domain, *run;
    struct argument_list hosts, sets;
    struct validity valid;
    struct key_pair ca;
    char *ca_domain;
};

static void issue_done(struct issue *issue)
{
    key_pair_done(&issue->ca);
    mem_free(issue->ca_domain);
}

static err_t check_host(const char *host)
{
    struct address unused;
    SCOPED_MEM char *whole = address_text(host, 1);
    err_t failed = address_parse(whole, &unused);
    const bool good = !err_failed(failed);
    err_free(failed);
    if (!good)
        return err_new(ERR_INVALID, "--host '%s': allowed: a host name or an IP address", host);
    return OK;
}

/* Any address is none that a client calls. */
static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void add_host(struct certificate_request *request, const char *host)
{
    for (size_t i = 0; i < request->host_count; i++)
        if (strcasecmp(request->hosts[i], host) == 0)
            return;
    if (*host && !is_wildcard(host) && request->host_count < CERTIFICATE_HOSTS)
        request->hosts[request->host_count++] = host;
}

/* addresses: at which others reach it, "host:port"; NULL and "" are none. */
static err_t issue_one(const struct issue *issue, const char *role, const char *name,
                       const char *const *addresses, size_t count)
{
    enum { ADDRESSES_MAX = 8 };
    struct address parsed[ADDRESSES_MAX];
    SCOPED_VALUE(key_pair) pair = {0};
    SCOPED_MEM char *identity =
        mem_printf("spiffe://%s/run/%s/%s/%s", issue->domain, issue->run, role, name);
    struct certificate_request request = {
        .identity = identity, .name = name, .valid = issue->valid};
    const bool serves = strcmp(role, "admin") != 0 && strcmp(role, "viewer") != 0;
    if (serves) {
        add_host(&request, "localhost");
        add_host(&request, "127.0.0.1");
        add_host(&request, "::1");
    }
    for (size_t i = 0; i < count && i < ADDRESSES_MAX; i++) {
        if (!addresses[i] || !*addresses[i])
            continue;
        TRY(address_parse(addresses[i], &parsed[i]));
        add_host(&request, parsed[i].host);
    }
    for (size_t i = 0; i < issue->hosts.count; i++)
        add_host(&request, issue->hosts.at[i]);
    TRY(err_wrap(authority_sign(&issue->ca, &request, &pair), "%s", name));
    TRY(certs_write_holder(issue->directory, name, &pair, &issue->ca.certificate));
    printf("%s/%s: %s until %s\n", issue->directory, name, identity,
           figure_time(issue->valid.until_ms).text);
    return OK;
}

/* ---- all of a recipe */

static err_t issue_learner(const struct issue *issue, const struct recipe *recipe)
{
    const char *const at[] = {recipe->learner.listen, recipe->generator.learner,
                              recipe->rewarder.learner};
    return issue_one(issue, "learner", "learner", at, sizeof at / sizeof *at);
}

/* Names as `rlhfctl up` gives them; the recipe's own, too, for a daemon that is started by hand. */
static err_t issue_rewarders(const struct issue *issue, const struct recipe *recipe)
{
    const char *const at[] = {recipe->rewarder.listen, recipe->generator.rewarder};
    const char *own = *recipe->rewarder.name ? recipe->rewarder.name : "rewarder";
    TRY(issue_one(issue, "rewarder", own, at, sizeof at / sizeof *at));
    for (int64_t i = 1; i < recipe->rewarder.count; i++) {
        SCOPED_MEM char *name = mem_printf("rewarder-%lld", (long long)i + 1);
        TRY(issue_one(issue, "rewarder", name, at, sizeof at / sizeof *at));
    }
    return OK;
}

static err_t issue_generators(const struct issue *issue, const struct recipe *recipe)
{
    const char *const at[] = {recipe->generator.listen, recipe->generator.address};
    if (*recipe->generator.name)
        TRY(issue_one(issue, "generator", recipe->generator.name, at, sizeof at / sizeof *at));
    for (int64_t i = 0; i < recipe->generator.count; i++) {
        SCOPED_MEM char *name = mem_printf("generator-%lld", (long long)i + 1);
        if (strcmp(name, recipe->generator.name) != 0)
            TRY(issue_one(issue, "generator", name, at, sizeof at / sizeof *at));
    }
    return OK;
}

static err_t issue_recipe(struct issue *issue, const char *file)
{
    SCOPED(recipe) recipe = NULL;
    const struct recipe_source source = {
        .file = file, .sets = issue->sets.at, .sets_count = issue->sets.count};
    TRY(recipe_read(&source, &recipe));
    issue->run = recipe->run.name;
    TRY(certs_name_check("run.name", issue->run));
    if (*recipe->generator.name)
        TRY(certs_name_check("generator.name", recipe->generator.name));
    if (*recipe->rewarder.name)
        TRY(certs_name_check("rewarder.name", recipe->rewarder.name));
    TRY(issue_learner(issue, recipe));
    TRY(issue_rewarders(issue, recipe));
    TRY(issue_generators(issue, recipe));
    TRY(issue_one(issue, "admin", "admin", NULL, 0));
    return issue_one(issue, "viewer", "viewer", NULL, 0);
}

/* ---- the command */

static err_t check_role(const char *role)
{
    enum { ROLES = 5 };
    const char *names[ROLES];
    enum identity_role unused;
    char all[100];
    if (identity_role_parse(role, &unused))
        return OK;
    for (int i = 0; i < ROLES; i++)
        names[i] = identity_role_name((enum identity_role)(1 << i));
    identity_roles_print((1u << ROLES) - 1, all, sizeof all);
    const char *meant = suggest(role, names, ROLES);
    return err_new(ERR_INVALID, "--role '%s': allowed: %s%s%s%s", role, all,
                   meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

/* The CA's own domain, unless another is asked for. */
static err_t begin(struct issue *issue)
{
    static const char scheme[] = "spiffe://";
    SCOPED_VALUE(certificates) roots = {0};
    SCOPED_MEM char *path = certs_path(issue->directory, "ca", "ca.crt");
    for (size_t i = 0; i < issue->hosts.count; i++)
        TRY(check_host(issue->hosts.at[i]));
    TRY(certs_read_ca(issue->directory, &issue->ca));
    TRY(certificates_read(&issue->ca.certificate, path, &roots));
    const char *identity = roots.at[0].identity;
    const bool has = strncmp(identity, scheme, strlen(scheme)) == 0;
    issue->ca_domain = mem_string(has ? identity + strlen(scheme) : "rlhfd");
    if (!issue->domain)
        issue->domain = issue->ca_domain;
    return certs_domain_check(issue->domain);
}

static err_t issue(struct issue *issue, const char *role, const char *name, const char *recipe)
{
    if (recipe && (role || name || issue->run))
        return err_new(ERR_INVALID,
                       "--recipe names all holders itself: no --role, --run, --name beside it");
    if (!recipe && !(role && name && issue->run))
        return err_new(ERR_INVALID, "--role, --run and --name are needed, or --recipe");
    if (issue->sets.count && !recipe)
        return err_new(ERR_INVALID, "--set changes a recipe: --recipe is missing");
    TRY(begin(issue));
    if (recipe)
        return issue_recipe(issue, recipe);
    TRY(check_role(role));
    TRY(certs_name_check("--run", issue->run));
    TRY(certs_name_check("--name", name));
    return issue_one(issue, role, name, NULL, 0);
}

err_t command_certs_issue(int argc, char **argv)
{
    const char *role = NULL, *name = NULL, *recipe = NULL;
    SCOPED_VALUE(issue) one = {0};
    struct certs_times times = {0};
    bool helped;
    const struct argument_flag rows[] = {
        {"role", "ROLE", "generator, rewarder, learner, admin (changes) or viewer (looks)",
         .text = &role},
        {"run", "RUN", "run.name of the recipe", .text = &one.run},
        {"name", "NAME", "of the holder: generator.name, a person", .text = &name},
        {"recipe", "FILE", "every daemon that `rlhfctl up` starts, an admin and a viewer",
         .text = &recipe},
        {"set", "KEY=VALUE", "a value of that recipe, as `up` would have it; may be repeated",
         .list = &one.sets},
        {"host", "HOST", "name or IP address at which it serves; may be repeated",
         .list = &one.hosts},
        CERTS_TIMES(times, "365"),
        {"domain", "D", "trust domain (the CA's)", .text = &one.domain}};
    const struct arguments arguments = {
        .usage = "certs issue DIR --role ROLE --run RUN --name NAME | --recipe FILE",
        .purpose =
            "Makes a key and a certificate in DIR/NAME, signed by DIR/ca. What was there is replaced.",
        .examples =
            "  rlhfctl certs issue certs --role generator --run sort --name generator-7 --host 10.0.0.7\n"
            "  rlhfctl certs issue certs --recipe recipe.yaml",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows,
        .words = &one.directory,
        .words_min = 1,
        .words_max = 1};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(certs_validity(&times, DAYS, &one.valid));
    return issue(&one, role, name, recipe);
}
