/* Units behind an answer: "12 cm^2", "3 \text{ km/h}".
 *
 *     math_unit_read((struct text_slice){"km/h", 4}, &unit);
 *     if (math_units_differ(&a, &b)) ...                     -- square metres are no metres
 *
 * Words that are no unit of the table, as in "5 apples", make one that fits any other. */
#pragma once
#include "rewarder/scorer.h"

enum { UNIT_DIMENSIONS = 6 };
struct math_unit {
    bool given, known;
    double factor; // of the dimension's own unit
    int power[UNIT_DIMENSIONS];
};

/* Reads a product of units. A unit that is there already is multiplied. */
void math_unit_read(struct text_slice text, struct math_unit *unit);
bool math_unit_is(struct text_slice word); // a name of the table

/* Both are known, and of different dimensions. */
bool math_units_differ(const struct math_unit *a, const struct math_unit *b);

/* A value in a times this is one in b; 1 unless both are known. */
double math_units_ratio(const struct math_unit *a, const struct math_unit *b);
