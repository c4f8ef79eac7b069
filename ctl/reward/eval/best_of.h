/* Best of k (Stiennon 2020; PPE, Frick 2024): the gold score of the answer that a reward model
 * picks out of k. A prompt's figure is the mean over all ways to draw k of its n answers.
 *
 *     best_of_k(score, gold, n, ties, most, value);      -- value[k - 1]: of k = 1 to `most`, at most n
 *
 * Answers with the same score are picked as often as one another (BEST_OF_MEAN), or the one with
 * the lowest gold is (BEST_OF_PESSIMISTIC). Any thread; pure. */
#pragma once
#include <stddef.h>

enum best_of_ties { BEST_OF_MEAN, BEST_OF_PESSIMISTIC };

/* score, gold: (n) finite. ret: (most); past n NaN. With score = gold: the best that any model
 * reaches. */
void best_of_k(const double *score, const double *gold, size_t n, enum best_of_ties ties,
               size_t most, double *ret);

/* KL of best-of-k from the policy that draws, in nats: log k - (k - 1) / k (Stiennon 2020). The
 * true one is at most that (Beirami 2024). */
double best_of_kl(size_t k);
