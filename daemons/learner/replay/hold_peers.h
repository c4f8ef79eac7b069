/* Connections of one kind of worker, from which learner_hold finds the cause that holds the run up
 * (steer/learner_hold.h). Ingest reports rewarders, leasing reports generators. Any thread: plain
 * values. */
#pragma once
#include "wire/waiting.h"
#include <stdbool.h>
#include <stdint.h>

enum { HOLD_NAME = 64, HOLD_WHY = 200 };

struct hold_peers {
    uint64_t connected;      // generators: those that were not sent away
    bool were;               // at least one has connected since this process began
    double gone_s;           // since the last one left, or since this process began
    char last[HOLD_NAME];    // the last one that left
    char refused[HOLD_NAME]; // the last one refused within a minute; "": none
    char refused_why[HOLD_WHY];
    /* Rewarders alone: streams in a row that the learner ended because of unusable contents */
    unsigned breaks;
    char held_by[HOLD_NAME]; // rewarders: one whose stage does not answer; "": none
    char held[WAITING_TEXT];
};
