/* Tries from the inside all that a program must not be able to do.
 *
 *     rlhfd-sandbox --level restricted --work DIR --read PROGRAM -- PROGRAM --trial      -- ends with 0, or says what it could do
 */
#pragma once

int trial_run(void);
