/* The inside of a sandbox, for the files of this room. */
#pragma once
#include "rewarder/sandbox/sandbox.h"
#include <sys/types.h>

enum { SANDBOX_TAIL = 2048, SANDBOX_TOLD = 420 };

struct sandbox {
    pid_t pid;                // of rlhfd-sandbox; 0: it has ended
    int in, out, err, report; // our ends, not blocking; -1: closed
    char tail[SANDBOX_TAIL];  // of its standard error
    size_t tail_len;
    char told[SANDBOX_TOLD]; // by rlhfd-sandbox
    size_t told_len;
};
