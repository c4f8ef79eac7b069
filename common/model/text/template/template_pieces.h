/* Inside template only: what methods of str and filters have in common. */
#pragma once
#include "model/text/values/value_ops.h"

extern const struct text text_space; // one of them

/* The text itself, Markup too; else str(v). */
err_t soft_text(struct run *r, const struct value *v, const struct text **ret);

/* chars: a text, or NONE or MISSING for white space */
err_t text_strip(struct run *r, const struct text *text, const struct value *chars, bool left,
                 bool right, struct value *ret);
err_t text_replace(struct run *r, const struct text *text, const struct text *old,
                   const struct text *new, int64_t count, struct value *ret);
err_t text_lines(struct run *r, const struct text *text, bool keep, struct list *ret);
err_t text_justify(struct run *r, const struct text *text, int64_t width, const struct text *fill,
                   char align, struct value *ret);
