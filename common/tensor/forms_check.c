#include "tensor/forms_check.h"

err_t weight_forms_check(const struct weight_form *form, int count)
{
    for (int i = 0; i < count; i++) {
        if (form[i].N < 1 || form[i].K < 1)
            return err_new(ERR_INVALID, "weight of %d x %d: both must be positive", form[i].N,
                           form[i].K);
        if (!form[i].rows && !form[i].packed)
            return err_new(ERR_INVALID, "weight of %d x %d: neither row-major nor packed",
                           form[i].N, form[i].K);
    }
    return OK;
}
