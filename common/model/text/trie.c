#include "model/text/trie.h"
#include "base/mem.h"
#include <string.h>

/* An edge: from a node by a byte to another. Open addressing; to 0 is an empty place. */
struct edge {
    uint64_t key; // node << 8 | byte
    int32_t to;
};

struct trie {
    int root[256];  // the first node's edges: most walks end there. 0: none
    int32_t *value; // (capacity) -1: none
    struct edge *edge;
    uint64_t mask;
    int nodes, capacity;
};

struct trie *trie_new(void)
{
    struct trie *trie = mem_new(sizeof *trie);
    trie->nodes = 1;
    trie->capacity = 64;
    trie->value = mem_array(64, sizeof *trie->value);
    trie->value[0] = -1;
    trie->mask = 127;
    trie->edge = mem_array(128, sizeof *trie->edge);
    return trie;
}

static struct edge *place(struct edge *edge, uint64_t mask, uint64_t key)
{
    uint64_t at = (key * 0x9E3779B97F4A7C15u >> 24) & mask;
    while (edge[at].to && edge[at].key != key)
        at = (at + 1) & mask;
    return &edge[at];
}

static void grow(struct trie *trie)
{
    const uint64_t mask = 4 * (uint64_t)trie->capacity - 1;
    struct edge *edge = mem_array(mask + 1, sizeof *edge);
    for (uint64_t i = 0; i <= trie->mask; i++)
        if (trie->edge[i].to)
            *place(edge, mask, trie->edge[i].key) = trie->edge[i];
    mem_free(trie->edge);
    trie->edge = edge;
    trie->mask = mask;
    trie->capacity *= 2;
    trie->value = mem_grow(trie->value, (size_t)trie->capacity, sizeof *trie->value);
}

static int add_edge(struct trie *trie, int node, uint8_t byte)
{
    if (trie->nodes == trie->capacity)
        grow(trie);
    const uint64_t key = (uint64_t)node << 8 | byte;
    *place(trie->edge, trie->mask, key) = (struct edge){key, trie->nodes};
    if (!node)
        trie->root[byte] = trie->nodes;
    trie->value[trie->nodes] = -1;
    return trie->nodes++;
}

void trie_put(struct trie *trie, const void *data, size_t len, int value)
{
    const uint8_t *byte = data;
    int node = 0;
    for (size_t i = 0; i < len; i++) {
        const int next = trie_step(trie, node, byte[i]);
        node = next >= 0 ? next : add_edge(trie, node, byte[i]);
    }
    if (trie->value[node] < 0)
        trie->value[node] = value;
}

int trie_step(const struct trie *trie, int node, uint8_t byte)
{
    if (!node)
        return trie->root[byte] ? trie->root[byte] : -1;
    const struct edge *edge = place(trie->edge, trie->mask, (uint64_t)node << 8 | byte);
    return edge->to ? edge->to : -1;
}

int trie_value(const struct trie *trie, int node)
{
    return trie->value[node];
}

void trie_free(struct trie *trie)
{
    if (!trie)
        return;
    mem_free(trie->value);
    mem_free(trie->edge);
    mem_free(trie);
}
