#include "learner/store/terms.h"
#include "base/mem.h"
#include "learner/store/inner.h"
#include <stdlib.h>
#include <string.h>

enum { KEY_TERM = 3, MAGIC = 'N' };

static void key_term(size_t place, uint8_t ret[KEY_TERM])
{
    ret[0] = 't';
    ret[1] = (uint8_t)(place >> 8);
    ret[2] = (uint8_t)place;
}

/* ---- records */

static void term_encode(const struct term *term, struct bytes *ret)
{
    bytes_u8(ret, MAGIC);
    bytes_u8(ret, STORE_FORMAT);
    bytes_be64(ret, term->term);
    bytes_be64(ret, term->nonce);
    bytes_be32(ret, term->pasts);
    for (uint32_t i = 0; i < term->pasts; i++)
        bytes_be64(ret, term->past[i]);
    bytes_be32(ret, (uint32_t)strlen(term->name));
    bytes_text(ret, term->name);
}

static err_t term_decode(const struct db_row *row, struct term *ret)
{
    struct reader in = {row->value, row->value_len};
    struct term term = {0};
    uint8_t magic, format;
    uint32_t len = 0;
    const uint8_t *name = NULL;
    bool good = read_u8(&in, &magic) && magic == MAGIC && read_u8(&in, &format) &&
                format >= STORE_FORMAT_OLDEST && format <= STORE_FORMAT &&
                read_be64(&in, &term.term) && read_be64(&in, &term.nonce) &&
                read_be32(&in, &term.pasts) && term.pasts <= TERMS_PAST;
    for (uint32_t i = 0; good && i < term.pasts; i++)
        good = read_be64(&in, &term.past[i]);
    if (!good || !read_be32(&in, &len) || !len || len > NAME_MAX_BYTES ||
        !read_bytes(&in, len, &name) || memchr(name, 0, len) || in.left)
        return err_new(ERR_DATA_LOSS, "damaged term record");
    term.name = mem_new(len + 1);
    memcpy(term.name, name, len);
    *ret = term;
    return OK;
}

/* Names are heard of in the order of their terms, as far as is known. */
err_t terms_load(struct db *db, struct terms *ret)
{
    uint8_t from[KEY_TERM];
    key_term(0, from);
    SCOPED_VALUE(terms) terms = {0};
    SCOPED(db_cursor) cursor = NULL;
    db_seek(db, DB_META, from, sizeof from, &cursor);
    for (struct db_row row; db_next(cursor, &row) && row.key_len == KEY_TERM && *row.key == 't';) {
        struct term term;
        TRY(term_decode(&row, &term));
        terms.at = mem_grow(terms.at, terms.count + 1, sizeof *terms.at);
        terms.at[terms.count++] = term;
        key_term(terms.count - 1, from);
        if (memcmp(row.key, from, KEY_TERM) != 0 || terms.count > TERMS_MAX)
            return err_new(ERR_DATA_LOSS, "a term record is missing");
        terms.at[terms.count - 1].heard = term.term;
        terms.last = term.term > terms.last ? term.term : terms.last;
    }
    TRY(db_cursor_error(cursor));
    terms.heards = terms.last;
    *ret = terms;
    terms = (struct terms){0};
    return OK;
}

void terms_done(struct terms *terms)
{
    for (size_t i = 0; i < terms->count; i++)
        free(terms->at[i].name);
    free(terms->at);
    *terms = (struct terms){0};
}

/* ---- joining */

static struct term *find(const struct terms *terms, const char *name)
{
    for (size_t i = 0; i < terms->count; i++)
        if (strcmp(terms->at[i].name, name) == 0)
            return &terms->at[i];
    return NULL;
}

static bool is_past(const struct term *term, uint64_t nonce)
{
    for (uint32_t i = 0; i < term->pasts; i++)
        if (term->past[i] == nonce)
            return true;
    return false;
}

/* The place of the name heard of least lately that holds no lease; NULL: all hold some. */
static struct term *forgettable(const struct store *store)
{
    struct term *found = NULL;
    for (size_t i = 0; i < store->terms.count; i++) {
        struct term *term = &store->terms.at[i];
        const struct store_holder holder = {term->name, term->term};
        if ((!found || term->heard < found->heard) && !store_leased(store, &holder))
            found = term;
    }
    return found;
}

/* A place for a name that is not known. */
static struct term *make_room(struct store *store, const char *name)
{
    struct terms *terms = &store->terms;
    struct term *term = NULL;
    if (terms->count < TERMS_MAX) {
        terms->at = mem_grow(terms->at, terms->count + 1, sizeof *terms->at);
        term = &terms->at[terms->count++];
    } else {
        term = forgettable(store);
        if (!term)
            return NULL;
        free(term->name);
    }
    *term = (struct term){.name = mem_string(name)};
    return term;
}

static err_t grant_term(struct store *store, struct term *term, uint64_t nonce)
{
    uint8_t key[KEY_TERM];
    SCOPED_VALUE(bytes) value = {0};
    if (term->term) {
        memmove(&term->past[1], &term->past[0], (TERMS_PAST - 1) * sizeof term->past[0]);
        term->past[0] = term->nonce;
        term->pasts += term->pasts < TERMS_PAST;
    }
    term->nonce = nonce;
    term->term = ++store->terms.last;
    term_encode(term, &value);
    key_term((size_t)(term - store->terms.at), key);
    db_put(store->db, DB_META, key, sizeof key, value.data, value.len);
    store->changed = true;
    return store_commit(store);
}

err_t store_join(struct store *store, const char *generator, uint64_t nonce, int64_t now_ms,
                 struct join *ret)
{
    TRY(store_begin(store, now_ms));
    TRY(holder_check(&(struct store_holder){generator, nonce}));
    if (!nonce)
        return err_new(ERR_INVALID,
                       "generator '%s': its incarnation is 0: a random number is needed",
                       generator);
    struct term *term = find(&store->terms, generator);
    if (term && is_past(term, nonce)) {
        *ret = (struct join){JOIN_SUPERSEDED, term->term};
        return OK;
    }
    const bool again = term && term->nonce == nonce;
    if (!term)
        term = make_room(store, generator);
    if (!term) {
        *ret = (struct join){JOIN_FULL, 0};
        return OK;
    }
    if (!again)
        TRY(grant_term(store, term, nonce));
    term->heard = ++store->terms.heards;
    *ret = (struct join){again ? JOIN_AGAIN : JOIN_NEW, term->term};
    return OK;
}
