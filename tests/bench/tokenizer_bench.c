/* Seconds to train a BPE on the lines of a file, and MB/s of encoding it; or MB/s of a directory's
 * tokenizer, line by line, the best of some rounds.
 *
 *     build/tests/bench_tokenizer FILE [vocab_size | DIRECTORY [rounds]]
 *
 * One JSON object, times in CPU seconds of one thread. */
#include "base/file.h"
#include "base/mem.h"
#include "model/text/tokenizer_trainer.h"
#include "testing/encode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static err_t bench(const char *path, int vocab_size)
{
    static const char *const special[] = {"<pad>", "<eos>"};
    SCOPED_VALUE(bytes) all = {0};
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    int lines = 0, count = 0;
    TRY(file_read(path, 1 << 30, &all));
    TRY(tokenizer_trainer_new(
        &(struct tokenizer_training){
            .vocab_size = vocab_size, .byte_alphabet = true, .special = special, .specials = 2},
        &trainer));
    const double start = cpu_s();
    for (const char *line = (const char *)all.data, *end; (end = strchr(line, '\n'));
         line = end + 1, lines++)
        tokenizer_trainer_feed(trainer, line, (size_t)(end + 1 - line));
    TRY(tokenizer_trainer_finish(trainer, &tokenizer));
    const double trained = cpu_s();
    SCOPED_MEM int32_t *ids = mem_array(all.len + 1, sizeof *ids);
    TRY(encode_text(tokenizer, (const char *)all.data, all.len, (int)all.len, ids, &count));
    const double encoded = cpu_s();
    printf(
        "{\"bench\": \"tokenizer\", \"lines\": %d, \"bytes\": %zu, \"vocab\": %d, \"train_s\": %.3f, \"tokens\": %d, "
        "\"encode_mb_per_s\": %.2f}\n",
        lines, all.len, tokenizer_vocab(tokenizer), trained - start, count,
        (double)all.len / 1e6 / (encoded - trained));
    return OK;
}

/* A round over all lines; its tokens. */
static err_t encode_lines(const struct tokenizer *tokenizer, const struct bytes *all, int *ret)
{
    int tokens = 0;
    for (size_t at = 0, len; at < all->len; at += len + 1) {
        const char *line = (const char *)all->data + at, *end = memchr(line, '\n', all->len - at);
        SCOPED_MEM int32_t *ids = NULL;
        int count = 0;
        len = end ? (size_t)(end - line) : all->len - at;
        TRY(tokenizer_encode(tokenizer, &(struct tokenizer_text){line, len, NULL, 0, true}, &ids,
                             &count));
        tokens += count;
    }
    *ret = tokens;
    return OK;
}

static err_t bench_directory(const char *path, const char *directory, int rounds)
{
    SCOPED_VALUE(bytes) all = {0};
    SCOPED(tokenizer) tokenizer = NULL;
    double best = 0;
    int tokens = 0;
    TRY(file_read(path, 1 << 30, &all));
    const double start = cpu_s();
    TRY(tokenizer_load(directory, &tokenizer));
    const double load = cpu_s() - start;
    for (int i = 0; i < rounds; i++) {
        const double before = cpu_s();
        TRY(encode_lines(tokenizer, &all, &tokens));
        const double took = cpu_s() - before;
        best = !i || took < best ? took : best;
    }
    printf("{\"bench\": \"tokenizer\", \"directory\": \"%s\", \"bytes\": %zu, \"tokens\": %d, "
           "\"load_s\": %.3f, \"encode_mb_per_s\": %.2f}\n",
           directory, all.len, tokens, load, (double)all.len / 1e6 / best);
    return OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_tokenizer FILE [vocab_size | DIRECTORY [rounds]]\n");
        return 2;
    }
    const bool directory = argc > 2 && strspn(argv[2], "0123456789") < strlen(argv[2]);
    err_t e = directory
                  ? bench_directory(argv[1], argv[2], argc > 3 ? (int)strtol(argv[3], NULL, 10) : 5)
                  : bench(argv[1], argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2048);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    return err_failed(e);
}
