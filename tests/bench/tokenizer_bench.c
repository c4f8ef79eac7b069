/* Seconds to train a BPE on the lines of a file, and MB/s of encoding it.
 *
 *     build/tests/bench_tokenizer FILE [vocab_size]
 *
 * One JSON object, times in CPU seconds of one thread. */
#include "base/file.h"
#include "base/mem.h"
#include "model/text/tokenizer_trainer.h"
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
    int lines = 0, count;
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
    TRY(tokenizer_encode(tokenizer, (const char *)all.data, all.len, (int)all.len, ids, &count));
    const double encoded = cpu_s();
    printf(
        "{\"bench\": \"tokenizer\", \"lines\": %d, \"bytes\": %zu, \"vocab\": %d, \"train_s\": %.3f, \"tokens\": %d, "
        "\"encode_mb_per_s\": %.2f}\n",
        lines, all.len, tokenizer_vocab(tokenizer), trained - start, count,
        (double)all.len / 1e6 / (encoded - trained));
    return OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_tokenizer FILE [vocab_size]\n");
        return 2;
    }
    err_t e = bench(argv[1], argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2048);
    if (err_failed(e))
        fprintf(stderr, "%s\n", err_message(e));
    return err_failed(e);
}
