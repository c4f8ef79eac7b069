/* Figures of `rlhfctl reward eval` as tables for people, as JSON, as CSV. Owner: the main
 * thread. */
#pragma once
#include "ctl/reward/eval/curve.h"
#include "ctl/reward/eval/eval_figures.h"

void eval_print(const struct eval_data *data, const struct eval_figures *figures);
/* The caller's; null where something was not measured, or is not defined. */
json_t *eval_json(const struct eval_data *data, const struct eval_figures *figures);
void eval_print_csv(const struct eval_figures *figures); // best of k

void curve_print(const struct curve *curve);
json_t *curve_json(const struct curve *curve);
void curve_print_csv(const struct curve *curve);

/* Figures by name, at their places in a struct. */
struct named_figure {
    const char *name;
    size_t place; // of a struct estimate
};
extern const struct named_figure pair_names[], answer_names[], league_names[];
const struct estimate *named_estimate(const struct named_figure *named, const void *of);

/* "0.712", "-": not finite; and "0.690 to 0.735", "": there is none. */
struct eval_cell {
    char text[64];
};
struct eval_cell cell_number(double value);
struct eval_cell cell_interval(const struct estimate *estimate);

void csv_number(double value); // ",0.5"; ",": not finite
void csv_estimate(const struct estimate *estimate);

json_t *json_finite(double value);                      // or null
json_t *json_estimate(const struct estimate *estimate); // {"value", "low", "high"}
