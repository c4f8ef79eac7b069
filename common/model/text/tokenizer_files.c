/* The files of a tokenizer. We read tokenizer.json and one of the next two; the others are for
 * transformers. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/text/tokenizer_state.h"

enum { FILE_MAX = 64 << 20, CONFIG_MAX = 4 << 20 };

const char *tokenizer_file(unsigned i)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "chat_template.jinja"};
    return i < sizeof names / sizeof *names ? names[i] : NULL;
}

static const char no_config[] = "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}";

err_t tokenizer_parse(const char *json, size_t json_len, const char *config, size_t config_len,
                      const char *name, struct tokenizer **ret)
{
    SCOPED(tokenizer) t = mem_new(sizeof *t);
    t->eos = t->bos = t->pad = t->unk = -1;
    bytes_put(&t->json, json, json_len);
    bytes_put(&t->config, config ? config : no_config, config ? config_len : sizeof no_config - 1);
    TRY(tokenizer_read(t, name));
    *ret = STEAL(t);
    return OK;
}

/* tokenizer_config.json; without it, what special_tokens_map.json says; without both, nothing. */
static err_t read_config(const char *directory, struct bytes *ret)
{
    SCOPED_MEM char *path = file_join(directory, "tokenizer_config.json");
    if (file_exists(path))
        return file_read(path, CONFIG_MAX, ret);
    SCOPED_MEM char *map = file_join(directory, "special_tokens_map.json");
    if (!file_exists(map))
        return OK;
    SCOPED_JSON json_t *names = NULL;
    TRY(json_read_file(map, CONFIG_MAX, &names));
    json_object_set_new(names, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    SCOPED_MEM char *text = json_to_text(names);
    bytes_text(ret, text);
    return OK;
}

err_t tokenizer_load(const char *directory, struct tokenizer **ret)
{
    SCOPED_MEM char *path = file_join(directory, "tokenizer.json");
    SCOPED_VALUE(bytes) json = {0}, config = {0};
    TRY(file_read(path, FILE_MAX, &json));
    TRY(read_config(directory, &config));
    return tokenizer_parse((const char *)json.data, json.len, (const char *)config.data, config.len,
                           path, ret);
}

err_t tokenizer_save(const struct tokenizer *t, const char *directory)
{
    SCOPED_MEM char *json = file_join(directory, "tokenizer.json");
    SCOPED_MEM char *config = file_join(directory, "tokenizer_config.json");
    TRY(file_write(json, t->json.data, t->json.len));
    return file_write(config, t->config.data, t->config.len);
}

err_t tokenizer_copy(const char *from, const char *to)
{
    for (unsigned i = 0; tokenizer_file(i); i++) {
        SCOPED_MEM char *path = file_join(from, tokenizer_file(i));
        SCOPED_MEM char *target = file_join(to, tokenizer_file(i));
        if (file_exists(path))
            TRY(file_copy(path, target));
    }
    return OK;
}
