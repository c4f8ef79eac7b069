#include "model/text/tokenizer.h"
#include "base/mem.h"
#include "model/files/config.h"
#include "model/text/tokenizer_state.h"
#include <string.h>

int tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab;
}

int tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

int tokenizer_id(const struct tokenizer *t, const char *token)
{
    for (int i = 0; i < t->addeds; i++)
        if (!strcmp(t->added[i].content, token))
            return t->added[i].id;
    SCOPED_VALUE(bytes) raw = {0};
    if (!t->byte_level)
        return bpe_find(t->bpe, token, strlen(token));
    return bpe_unspell_text(token, strlen(token), &raw) ? bpe_find(t->bpe, raw.data, raw.len) : -1;
}

const void *tokenizer_token(const struct tokenizer *t, int id, size_t *ret_len)
{
    if (id < 0 || id >= t->vocab)
        return NULL;
    if (t->added_of[id] >= 0) {
        *ret_len = strlen(t->added[t->added_of[id]].content);
        return t->added[t->added_of[id]].content;
    }
    return bpe_has(t->bpe, id) ? bpe_bytes(t->bpe, id, ret_len) : NULL;
}

int tokenizer_before(const struct tokenizer *t, const int32_t **ret)
{
    *ret = t->before;
    return t->befores;
}

int tokenizer_after(const struct tokenizer *t, const int32_t **ret)
{
    *ret = t->after;
    return t->afters;
}

static void put_text(struct bytes *all, const char *text)
{
    bytes_be32(all, text ? (uint32_t)strlen(text) : UINT32_MAX);
    bytes_text(all, text ? text : "");
}

static void put_pattern(struct bytes *all, const struct pattern *p)
{
    const uint8_t options[] = {(uint8_t)p->kind, (uint8_t)p->known, (uint8_t)p->property};
    bytes_put(all, options, sizeof options);
    put_text(all, p->text);
}

/* The steps before the model. */
static void put_steps(const struct tokenizer *t, struct bytes *all)
{
    for (int i = 0; i < t->normal.steps; i++) {
        const struct normal_step *s = &t->normal.step[i];
        const uint8_t options[] = {(uint8_t)s->kind, (uint8_t)s->form, s->left, s->right};
        bytes_put(all, options, sizeof options);
        put_text(all, s->text);
        put_pattern(all, &s->pattern);
        if (s->map)
            charsmap_digest(s->map, all);
    }
    for (int i = 0; i < t->pres; i++) {
        const struct pre_step *s = &t->pre[i];
        const uint8_t options[] = {(uint8_t)s->kind, s->regex,    s->splits,
                                   s->prefix,        s->at_first, (uint8_t)s->cut.behavior,
                                   s->cut.invert};
        bytes_put(all, options, sizeof options);
        put_text(all, s->space);
        put_pattern(all, &s->cut.pattern);
    }
}

static void put_added(const struct added *a, struct bytes *all)
{
    const uint8_t options[] = {a->special, a->normalized, a->single_word, a->lstrip, a->rstrip};
    bytes_be32(all, (uint32_t)a->id);
    put_text(all, a->match);
    bytes_put(all, options, sizeof options);
}

struct digest tokenizer_digest(const struct tokenizer *t)
{
    SCOPED_VALUE(bytes) all = {0};
    const uint8_t options[] = {!!t->unigram, t->byte_level, t->ignore_merges, t->fuse_unk,
                               t->falls_back};
    bytes_put(&all, options, sizeof options);
    bytes_be32(&all, (uint32_t)t->unk);
    put_steps(t, &all);
    for (int id = 0; id < bpe_vocab(t->bpe); id++) {
        size_t len;
        const uint8_t *data = bpe_bytes(t->bpe, id, &len);
        bytes_be32(&all, (uint32_t)len);
        bytes_put(&all, data, len);
        if (t->unigram && len)
            bytes_f64(&all, unigram_score(t->unigram, id));
    }
    for (int rank = 0, a, b; rank < bpe_merges(t->bpe); rank++) {
        bpe_merge_at(t->bpe, rank, &a, &b);
        bytes_be32(&all, (uint32_t)a);
        bytes_be32(&all, (uint32_t)b);
    }
    for (int i = 0; i < t->addeds; i++)
        put_added(&t->added[i], &all);
    return hash128(all.data, all.len, 0);
}

static bool ends_here(const struct tokenizer *t, int id)
{
    return id == t->eos || tokenizer_is_special(t, id);
}

err_t tokenizer_check(const struct tokenizer *t, const struct model_config *config)
{
    bool good = !config->eos_count;
    if (t->vocab > config->V)
        return err_new(ERR_PRECONDITION,
                       "another vocabulary's tokenizer: it has %d tokens, the model %d", t->vocab,
                       config->V);
    for (int i = 0; i < config->eos_count; i++) {
        if (!tokenizer_has(t, config->eos[i]))
            return err_new(ERR_PRECONDITION,
                           "%s: 'eos_token_id' %d has no token: the tokenizer has %d",
                           config->eos_file, config->eos[i], t->vocab);
        good = good || ends_here(t, config->eos[i]);
    }
    if (good)
        return OK;
    return err_new(ERR_PRECONDITION,
                   "another vocabulary's tokenizer: its end token is %d, the model's is %d (%s); "
                   "one that ends a model must be it or special",
                   t->eos, config->eos[0], config->eos_file);
}

int tokenizer_end(const struct tokenizer *t, const struct model_config *config)
{
    int special = -1;
    for (int i = config->eos_count; i-- > 0;) {
        if (config->eos[i] == t->eos)
            return t->eos;
        if (ends_here(t, config->eos[i]))
            special = config->eos[i];
    }
    return special >= 0 || !config->eos_count ? special : config->eos[0];
}

static void free_steps(struct tokenizer *t)
{
    normal_done(&t->normal);
    for (int i = 0; i < t->pres; i++) {
        cuts_done(&t->pre[i].cut.pattern);
        mem_free(t->pre[i].space);
    }
    for (int i = 0; i < t->decodes; i++) {
        cuts_done(&t->decode[i].pattern);
        mem_free(t->decode[i].text);
    }
    mem_free(t->pre);
    mem_free(t->decode);
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->bpe)
        bpe_free(t->bpe);
    unigram_free(t->unigram);
    free_steps(t);
    for (int i = 0; i < t->addeds; i++) {
        mem_free(t->added[i].content);
        mem_free(t->added[i].match);
    }
    for (int i = 0; i < ADDED_STAGES; i++)
        trie_free(t->find[i]);
    mem_free(t->added);
    mem_free(t->added_of);
    mem_free(t->before);
    mem_free(t->after);
    bytes_done(&t->json);
    bytes_done(&t->config);
    mem_free(t);
}
