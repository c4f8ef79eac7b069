#include "model/text/unigram.h"
#include "base/mem.h"
#include "model/text/trie.h"
#include "model/text/unicode.h"
#include <math.h>
#include <string.h>

static const double UNKNOWN_PENALTY = 10; // below the lowest score (sentencepiece's kUnkPenalty)

struct unigram {
    struct trie *trie;
    double *score; // (capacity) by id
    int capacity;
    double lowest;
};

struct unigram *unigram_new(void)
{
    struct unigram *u = mem_new(sizeof *u);
    u->trie = trie_new();
    u->lowest = INFINITY;
    return u;
}

void unigram_token(struct unigram *u, const void *data, size_t len, int id, double score,
                   bool found)
{
    if (id >= u->capacity) {
        u->capacity = 2 * id + 64;
        u->score = mem_grow(u->score, (size_t)u->capacity, sizeof *u->score);
    }
    u->score[id] = score;
    u->lowest = score < u->lowest ? score : u->lowest;
    if (found)
        trie_put(u->trie, data, len, id);
}

double unigram_score(const struct unigram *u, int id)
{
    return u->score[id];
}

/* The best way to a place in the word. */
struct way {
    double score;
    size_t from;
    int id; // -1: unknown
    bool known;
};

static void offer(struct way *to, double score, size_t from, int id)
{
    if (!to->known || score > to->score)
        *to = (struct way){score, from, id, true};
}

static void forward(const struct unigram *u, const char *word, size_t len, struct way *way)
{
    uint32_t code;
    for (size_t at = 0, one; at < len; at += one) {
        bool single = false;
        int node = 0;
        one = (size_t)unicode_next(word + at, len - at, &code);
        for (size_t end = at; end < len; end++) {
            if ((node = trie_step(u->trie, node, (uint8_t)word[end])) < 0)
                break;
            const int id = trie_value(u->trie, node);
            if (id < 0)
                continue;
            offer(&way[end + 1], u->score[id] + way[at].score, at, id);
            single = single || end + 1 - at == one;
        }
        if (!single)
            offer(&way[at + one], u->lowest - UNKNOWN_PENALTY + way[at].score, at, -1);
    }
}

int unigram_word(const struct unigram *u, const char *word, size_t len,
                 struct unigram_piece *ret_piece)
{
    enum { SHORT = 256 };
    struct way few[SHORT + 1];
    SCOPED_MEM struct way *many = len > SHORT ? mem_array(len + 1, sizeof *many) : NULL;
    struct way *way = many ? many : few;
    if (!many)
        memset(few, 0, (len + 1) * sizeof *few);
    forward(u, word, len, way);
    int count = 0;
    for (size_t end = len; end; end = way[end].from) {
        if (count && ret_piece[count - 1].id < 0 && way[end].id < 0)
            ret_piece[count - 1].begin = way[end].from;
        else
            ret_piece[count++] = (struct unigram_piece){way[end].from, end, way[end].id};
    }
    for (int i = 0; i < count / 2; i++) {
        const struct unigram_piece last = ret_piece[count - 1 - i];
        ret_piece[count - 1 - i] = ret_piece[i];
        ret_piece[i] = last;
    }
    return count;
}

void unigram_free(struct unigram *u)
{
    if (!u)
        return;
    trie_free(u->trie);
    mem_free(u->score);
    mem_free(u);
}
