/* A launch as a step keeps it: between launch.h, which is C++, and steps.c. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif
/* A kernel, a copy or a fill; `bytes` of arguments follow, a multiple of STEP_ALIGN. */
enum { STEP_ALIGN = 16 };
struct step_launch {
    cudaError_t (*again)(const struct step_launch *, cudaStream_t);
    unsigned grid[3], block[3];
    unsigned shared, early, bytes, zero;
};

/* Room for head->bytes of arguments, zeroed; NULL: launches on this stream are not collected. */
void *steps_put(cudaStream_t stream, const struct step_launch *head);

/* Whether early launches overlap with the kernel before: from compute capability 9.0 on. */
bool launches_early(void);
#ifdef __cplusplus
}
#endif
