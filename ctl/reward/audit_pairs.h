/* The pairs of preference rows as texts: what an audit of their labels looks at.
 *
 *     SCOPED_VALUE(audit_pairs) pairs = {0};
 *     TRY(audit_pairs_read(&recipe->data.train, &names, &pairs));
 *     pairs.at[0].winner, pairs.at[0].loser           -- by the label
 *
 * All texts stay in memory. Owner: one thread. */
#pragma once
#include "base/jsonl.h"
#include "model/text/rows/row_kind.h"
#include "svc/recipe/recipe_lists.h"

enum { AUDIT_PAIRS = 2000000, AUDIT_NAMES = 4096, AUDIT_NAME_BYTES = 256, AUDIT_LABELS = 1024 };

struct audit_pair {
    uint32_t file; // of audit_pairs.file
    bool swapped;  // most labels prefer `rejected`
    uint64_t row;  // from 0
    char *prompt, *winner, *loser;
    int winner_words, loser_words;
    int annotator, source; // of their names; -1: the row names none
    double preferred;      // share of its labels that prefer the winner: above 0.5
};

/* Values of a column of names, in the order of their first use. */
struct audit_names {
    char **at; // (count)
    size_t count;
};

struct audit_pairs {
    struct jsonl *file[MIXTURE_FILES];
    size_t files;
    struct audit_pair *at; // (count) in the order of files and lines
    size_t count, ties;    // ties: left out, half of their labels prefer either
    struct audit_names annotators, sources;
};

/* INVALID: a row that is no preference row, or a column of the wrong type; RANGE: too many rows or
 * names. */
err_t audit_pairs_read(const struct recipe_files *files, const struct row_names *names,
                       struct audit_pairs *ret);
void audit_pairs_done(struct audit_pairs *pairs);

/* The row once more, and its name "FILE:LINE", the caller's. */
err_t audit_pairs_row(const struct audit_pairs *pairs, size_t i, json_t **ret, char **ret_name);
