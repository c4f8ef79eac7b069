/* A dataset, as JSON lines or compressed by zstd. Either one line refuses it as INVALID, or every
 * row is read. The row's tokens are the tokenizer's then, and the mask is as long. */
#include "base/jsonl.h"
#include "base/mem.h"
#include "model/text/rows/row_encode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* INVALID and one line; a template may also meet its bounds. */
static void check_error(err_t e)
{
    must(err_code(e) == ERR_INVALID || err_code(e) == ERR_RANGE);
    must(!strchr(err_message(e), '\n'));
    err_free(e);
}

static void check_sequence(const struct tokenizer *tokenizer, const struct row_sequence *s)
{
    must(s->prompt_tokens >= 0 && s->prompt_tokens <= s->tokens);
    for (int i = 0; i < s->tokens; i++)
        must(s->id[i] >= 0 && s->id[i] < tokenizer_vocab(tokenizer) && s->loss[i] <= 1);
}

static void read_row(const struct row_rules *rules, const struct jsonl *file, uint64_t i)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(row_tokens) tokens = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM int32_t *ids = NULL;
    int count = 0;
    err_t e = jsonl_row(file, i, &text);
    must(!err_failed(e));
    e = json_parse((const char *)text.data, text.len, "row", &row);
    must(!err_failed(e));
    e = row_prompt(rules, row, "row", &ids, &count);
    if (err_failed(e))
        check_error(e);
    e = row_encode(rules, row, "row", &tokens);
    if (err_failed(e))
        check_error(e);
    for (int s = 0; s < tokens.sequences; s++)
        check_sequence(rules->tokenizer, &tokens.at[s]);
}

static const struct row_rules *rules(void)
{
    static const char directory[] = TEST_GOLDEN "/datasets/model";
    static struct row_chat chat;
    static struct tokenizer *tokenizer;
    static struct row_rules rules;
    if (tokenizer)
        return &rules;
    err_t e = tokenizer_load(directory, &tokenizer);
    must(!err_failed(e));
    chat = row_chat_open(directory);
    rules = (struct row_rules){.tokenizer = tokenizer,
                               .chat = &chat,
                               .names = {"prompt", "completion", "text"},
                               .end = tokenizer_eos(tokenizer)};
    return &rules;
}

static void read_rows(const struct jsonl *file)
{
    struct row_rules way = *rules();
    const uint64_t rows = jsonl_rows(file) < 32 ? jsonl_rows(file) : 32;
    for (uint64_t i = 0; i < rows; i++) {
        way.joined = i & 1;
        way.around = i & 2;
        way.special = i & 4;
        way.assistant_only = i & 8;
        read_row(&way, file, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED(jsonl) file = NULL;
    char path[64];
    const int fd = memfd_create("rows", MFD_CLOEXEC);
    must(fd >= 0);
    must(write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    err_t e = jsonl_open(path, &file);
    close(fd);
    if (err_failed(e))
        check_error(e);
    else
        read_rows(file);
    return 0;
}
