/* Each stage of the recipe as metrics: how long its answers take, and how often it fails.
 *
 *     stage_figures_register(list);
 *     stage_figures_ended(2, 0.04, false);      -- list->at[2] answered after 40 ms
 *
 * The labels are the stages' places in the recipe, "rewarder.scorers[0]". Owner: the loop's thread;
 * a process has one list. */
#pragma once
#include "rewarder/stage_list.h"

void stage_figures_register(const struct stage_list *list);
void stage_figures_ended(size_t stage, double seconds, bool failed);
void stage_figures_open(size_t stage, bool is_open); // whether it does not answer at all
