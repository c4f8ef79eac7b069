/* A fixed number of pages, each with a count of its holders, and a list of the free ones. The
 * memory itself is the backend's (struct kv_pages).
 *
 *     int32_t page = pages_take(pages);     -- one holder; -1: none is free
 *     pages_hold(pages, page);              -- two
 *     pages_drop(pages, page);              -- one; at none it is free
 *
 * Owner: one thread. */
#pragma once
#include "base/scoped.h"
#include <stdint.h>

struct pages;
struct pages *pages_new(int count);
int pages_free_count(const struct pages *pages);
int32_t pages_take(struct pages *pages);
void pages_hold(struct pages *pages, int32_t page);
void pages_drop(struct pages *pages, int32_t page);
uint32_t pages_holders(const struct pages *pages, int32_t page);
void pages_free(struct pages *pages);
DEFINE_SCOPED(pages)
