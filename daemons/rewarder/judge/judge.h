/* The scorer `judge`: a language model behind an OpenAI-compatible server, which is asked about
 * completions or about pairs of them.
 *
 *     rewarder: {scorers: [{kind: judge, url: "http://judge:8000/v1/chat/completions",
 *                           compare: pairs, labels: ["A=1", "B=0"], template: "..."}]}
 *
 * Requests and their retries are fetch.h's. An answer without a verdict is a fault, and a fault
 * fails the group: no number is made up. */
#pragma once
#include "rewarder/stage.h"

extern const struct stage_class scorer_judge;
