/* Texts for a peer: one bounded line of UTF-8, whatever they quote. Any thread. */
#pragma once
#include <stddef.h>

/* A copy of at most max bytes, cut between characters. Control characters become spaces. In a text
 * that is not UTF-8 each byte beyond ASCII becomes '?'. */
char *text_clean(const char *text, size_t max);
