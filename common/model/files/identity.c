#include "model/files/identity.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/files/config.h"
#include <string.h>

enum { TOKENIZER_BYTES_MAX = 1 << 28 };

/* Options that a plain model of its family does not have. */
static void put_options(const struct model_config *c, struct bytes *out)
{
    const struct rope *r = &c->rope;
    if (r->kind)
        bytes_printf(out,
                     " rope=%d factor=%.12g original=%d turns=%.12g,%.12g,%.12g,%.12g "
                     "attention=%.12g,%.12g,%.12g whole=%d",
                     r->kind, r->factor, r->original, r->low, r->high, r->beta_fast, r->beta_slow,
                     r->attention, r->mscale, r->mscale_all, r->whole);
    if (c->rotary != 1)
        bytes_printf(out, " rotary=%.12g", c->rotary);
    if (c->windowed && c->window)
        bytes_printf(out, " window=%d from=%d", c->window, c->window_from);
    if (c->activation != c->family->activation)
        bytes_printf(out, " activation=%s", config_activation_word(c->activation));
    if (c->order != c->family->order)
        bytes_printf(out, " order=%d", c->order);
}

static void put_config(const struct model_config *c, struct bytes *out)
{
    bytes_printf(
        out,
        "family=%s V=%d C=%d F=%d L=%d H=%d K=%d D=%d positions=%d eps=%.12g theta=%.12g tied=%d eos=",
        c->family->model_type, c->V, c->C, c->F, c->L, c->H, c->K, c->D, c->max_positions,
        c->norm_eps, c->rope.theta, c->tied);
    for (int i = 0; i < c->eos_count; i++)
        bytes_printf(out, "%s%d", i ? "," : "", c->eos[i]);
    put_options(c, out);
}

/* The bytes of a file, if it is there, which become part of hash under its name. */
static err_t put_file(const char *directory, const char *name, struct hash *hash, struct bytes *ret)
{
    SCOPED_MEM char *path = file_join(directory, name);
    if (!file_exists(path))
        return OK;
    TRY(file_read(path, TOKENIZER_BYTES_MAX, ret));
    hash_put(hash, name, strlen(name) + 1);
    hash_put(hash, ret->data, ret->len);
    return OK;
}

/* Templates stand in files of their own, or in tokenizer_config.json, which also has the texts of
 * the special tokens that they write. */
static err_t put_template(const char *directory, struct hash *hash, bool *ret_has)
{
    static const char more[] = "additional_chat_templates";
    SCOPED_VALUE(bytes) config = {0}, map = {0}, template = {0};
    SCOPED_VALUE(file_names) names = {0};
    SCOPED_MEM char *folder = file_join(directory, more);
    TRY(put_file(directory, "tokenizer_config.json", hash, &config));
    TRY(put_file(directory, "special_tokens_map.json", hash, &map));
    TRY(put_file(directory, "chat_template.jinja", hash, &template));
    TRY(put_file(directory, "chat_template.json", hash, &template));
    if (file_exists(folder))
        TRY(file_names(folder, &names));
    for (size_t i = 0; i < names.count; i++)
        TRY(put_file(folder, names.at[i], hash, &template));
    *ret_has = template.len || (config.len && strstr((char *)config.data, "\"chat_template\""));
    return OK;
}

err_t model_identity(const char *directory,
                     void (*fn)(void *arg, const char *key, const char *value), void *arg)
{
    struct model_config config;
    char digest[DIGEST_TEXT];
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(bytes) tokenizer = {0};
    SCOPED_MEM char *path = file_join(directory, "tokenizer.json");
    TRY(config_read(directory, &config));
    put_config(&config, &text);
    fn(arg, "model.config", (const char *)text.data);
    if (file_exists(path))
        TRY(file_read(path, TOKENIZER_BYTES_MAX, &tokenizer));
    const struct digest sum = hash128(tokenizer.data, tokenizer.len, 0);
    fn(arg, "model.tokenizer", tokenizer.len ? digest_text(&sum, digest) : "none");
    bool has = false;
    struct hash *hash = hash_begin();
    err_t failed = put_template(directory, hash, &has);
    const struct digest template = hash_end(hash);
    TRY(failed);
    if (has)
        fn(arg, MODEL_CHAT_TEMPLATE, digest_text(&template, digest));
    return OK;
}
