/* Peers of one kind as the run's holds see them (steer/learner_hold.h). Ingest reports rewarders,
 * leasing reports generators. Any thread: plain values. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { HOLD_NAME = 64, HOLD_WHY = 200 };

struct hold_peers {
    uint64_t connected;      // generators: those that were not sent away
    bool were;               // at least one was connected since this process began
    double gone_s;           // since the last one left, or since this process began
    char last[HOLD_NAME];    // the last one that left
    char refused[HOLD_NAME]; // the last refused one of the last minute; "": none
    char refused_why[HOLD_WHY];
    /* Rewarders: streams that were ended for their contents, with nothing usable in between */
    unsigned breaks;
};
