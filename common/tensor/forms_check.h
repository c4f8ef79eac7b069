/* The check of new weights' forms, which every backend makes before it takes memory for them.
 *
 *     TRY(weight_forms_check(form, count)); */
#pragma once
#include "tensor/backend.h"

/* INVALID: a shape that is not positive, or a weight that is neither row-major nor packed. */
err_t weight_forms_check(const struct weight_form *form, int count);
