/* The inside of struct weight, for the files that multiply by it or change it. */
#pragma once
#include "tensor/cuda/cuda.h"

struct weight_block; // the memory that many share

struct weight {
    int N, K;
    bf16 *rows;   // (N,K), borrowed; NULL: not held so
    void *packed; // as gemm.h has it, in block; NULL: not held so
    bool precise; // products take x unrounded
    struct weight_block *block;
};
