/* Loops that do one thing as fast as the device can: what other figures are shares of. Launchers;
 * `times` is how often each warp repeats. */
#pragma once
#include "tensor/cuda/device.h"

/* Operations (two of each multiply-add) of one launch. */
double peak_mma_operations(int blocks, int times);
cudaError_t peak_mma(cudaStream_t stream, float *out, int blocks, int times);
double peak_wgmma_operations(int blocks, int times);
cudaError_t peak_wgmma(cudaStream_t stream, float *out, int blocks, int times); // sm_90a alone
