/* A scorer that is a program of the user's: processes that read a group as a line of JSON and
 * answer with a line of scores.
 *
 *     rewarder: {scorers: [{kind: program, command: [python3, ./reward.py, ./mine.py, f]}]}
 *
 *     {"id": "9f0c...:0", "prompt": "2+2=", "completions": ["4", "5"], "columns": {"answer": "4"}, ...}    (exchange.h)
 *     {"id": "9f0c...:0", "scores": [1, 0]}           null: the scorer does not apply to this completion
 *     {"id": "9f0c...:0", "error": "why"}             an attempt that failed
 *
 * A process has one group at a time, and lasts. One that breaks these rules, or its limits, is
 * ended, and another takes its place. docs/rewards.md has the levels of the sandbox. */
#pragma once
#include "rewarder/stage.h"

extern const struct stage_class scorer_program;
