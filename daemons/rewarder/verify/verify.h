/* The scorer `verify`: 1 if a completion's answer is right, else 0. */
#pragma once
#include "rewarder/stage.h"

extern const struct stage_class scorer_verify;
