#include "svc/recipe/recipe_listen.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/recipe/recipe_place.h"
#include <string.h>

enum { KINDS = 4, DAEMONS = 3 };
static const int adds[KINDS] = {0, ADDRESS_ADMIN, ADDRESS_PROBES, ADDRESS_METRICS};

struct row {
    const char *key, *given;
};

/* Its own address, or the one beside listen. */
static err_t resolve(const struct recipe *r, const struct row *listen, const struct row *own,
                     int add, struct recipe_listener *ret)
{
    const struct row *decides = *own->given ? own : listen;
    ret->key = decides->key;
    ret->given = decides->given;
    if (*own->given)
        return recipe_place(r, own->key, address_beside(own->given, "", 0, &ret->address));
    err_t failed = address_derive(listen->given, add, &ret->address);
    if (!err_failed(failed))
        return OK;
    err_free(failed);
    return recipe_wrong(r, listen->key,
                        "'%s' leaves no room for %s at port + %d; allowed: ports up to %d, or an "
                        "address of its own there",
                        listen->given, own->key, add, UINT16_MAX - add);
}

/* KINDS rows of a daemon; NULL: of this recipe they do not matter. */
static const char *daemon_rows(const struct recipe *r, size_t daemon, struct row ret[KINDS])
{
    const struct {
        const char *daemon;
        struct row row[KINDS];
    } daemons[] = {{"generator",
                    {{"generator.listen", r->generator.listen},
                     {"generator.admin", r->generator.admin},
                     {"generator.probes", r->generator.probes},
                     {"generator.metrics", r->generator.metrics}}},
                   {"rewarder",
                    {{"rewarder.listen", r->rewarder.listen},
                     {"rewarder.admin", r->rewarder.admin},
                     {"rewarder.probes", r->rewarder.probes},
                     {"rewarder.metrics", r->rewarder.metrics}}},
                   {"learner",
                    {{"learner.listen", r->learner.listen},
                     {"learner.admin", r->learner.admin},
                     {"learner.probes", r->learner.probes},
                     {"learner.metrics", r->learner.metrics}}}};
    memcpy(ret, daemons[daemon].row, sizeof daemons[daemon].row);
    return recipe_concerns(r, daemons[daemon].daemon) ? daemons[daemon].daemon : NULL;
}

bool recipe_concerns(const struct recipe *r, const char *daemon)
{
    return !r->daemon || strcmp(r->daemon, daemon) == 0;
}

err_t recipe_listeners(const struct recipe *r, struct recipe_listeners *ret)
{
    SCOPED_VALUE(recipe_listeners) all = {0};
    for (size_t daemon = 0; daemon < DAEMONS; daemon++) {
        struct row row[KINDS];
        const char *name = daemon_rows(r, daemon, row);
        for (size_t kind = 0; kind < KINDS && name; kind++) {
            struct recipe_listener *one = &all.at[all.count];
            one->daemon = name;
            one->kind = (enum recipe_listener_kind)kind;
            TRY(resolve(r, &row[0], &row[kind], adds[kind], one));
            all.count++;
        }
    }
    *ret = all;
    all = (struct recipe_listeners){0};
    return OK;
}

void recipe_listeners_done(struct recipe_listeners *all)
{
    for (size_t i = 0; i < all->count; i++)
        mem_free(all->at[i].address);
    *all = (struct recipe_listeners){0};
}

/* Probes say one word to anybody. */
err_t recipe_check_listen(const struct recipe *r)
{
    SCOPED_VALUE(recipe_listeners) all = {0};
    TRY(recipe_listeners(r, &all));
    for (size_t i = 0; i < all.count; i++) {
        const struct recipe_listener *one = &all.at[i];
        if (one->kind == LISTENS_PROBES || address_is_loopback(one->address) || r->net.insecure ||
            *r->net.tls)
            continue;
        return recipe_wrong(
            r, one->key,
            "'%s' is open beyond this machine without TLS; use 127.0.0.1, or net.tls, or net.insecure: "
            "true in a network you trust",
            one->given);
    }
    return OK;
}
