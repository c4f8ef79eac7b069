/* What a person can do when the weights in memory are not those that training made, for the line that ends the learner.
 *
 *     TRY(fault_told(&start, trainees_verify(&start.trainees)));
 *
 * Any thread. */
#pragma once
#include "learner/train/restart.h"

/* Takes e and returns it; DATA_LOSS with the way on: another start. */
err_t fault_told(const struct restart *start, err_t e);
