/* One value by a format of %, of format() or of round. */
#pragma once
#include "model/text/values/value_ops.h"

struct format_spec {
    uint32_t fill; // 0: a space, or a zero where zero says so
    char align;    // '<', '>', '^', '='; 0: the value's own
    char sign;     // '+', ' '; 0: for negative numbers alone
    char group;    // ',' or '_' between thousands; 0: none
    char type;     // of %, or of format(); 0: str()
    bool alternate, zero;
    int width, precision; // precision: -1: none
};

enum { FORMAT_WIDTH = 100000, FORMAT_PRECISION = 300 };

err_t format_number(struct run *r, struct builder *out, const struct value *v,
                    const struct format_spec *spec);
err_t format_padded(struct run *r, struct builder *out, const struct text *text,
                    const struct format_spec *spec);
/* A decimal number at text[*at]; -1: too large */
int format_digits(const struct text *text, size_t *at, int most);
