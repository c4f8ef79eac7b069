/* A scorer behind HTTP: reward servers as other trainers call them.
 *
 *     rewarder: {scorers: [{kind: http, shape: openrlhf, url: "http://rewards:5000/get_reward"}]}
 *
 * Requests and their retries are fetch.h's, shapes are shape.h's. A group's scores come from as
 * many requests as its shape needs; the first that fails for good fails the group. */
#pragma once
#include "rewarder/stage.h"

extern const struct stage_class scorer_http;
