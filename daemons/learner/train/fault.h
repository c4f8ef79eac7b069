/* The line that ends a learner whose weights in memory are not those that training made. Its text
 * tells a person the way on.
 *
 *     TRY(fault_told(&start, trainees_verify(&start.trainees)));
 *
 * Any thread. */
#pragma once
#include "learner/train/restart.h"

/* Takes e and returns it; DATA_LOSS with the way on: another start. */
err_t fault_told(const struct restart *start, err_t e);
