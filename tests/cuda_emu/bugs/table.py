"""Mistakes: what, in which file of common/tensor/cuda, which test runs it (tests/cuda/NAME_test.cpp, :PATTERN of its functions), the
edits, and what the checked build has to say. The rows with `few` stand for a kind, and are tried in every run of the tests.

Texts are those of the source without comments; any white space matches any other."""

RACE = "race: "
NEVER_WRITTEN = "that nobody wrote"


def mistake(what, file, test, says, *edits, few=False):
    return {"what": what, "file": file, "test": test, "says": says, "edits": edits, "few": few}


MISTAKES = [
    mistake("reduction: no barrier", "device.h", "rows:norms", RACE + "|" + NEVER_WRITTEN,
            ("scratch[threadIdx.x / 32] = x; __syncthreads(); float sum", "scratch[threadIdx.x / 32] = x; float sum")),

    # ---- AdamW, and the host
    mistake("adamw: lanes leave before a warp operation", "adamw.cu", "rows:optimizers", "have ended",
            ("if (i < count) {", "if (i >= count) return; {"), few=True),
    mistake("adamw: one element too many", "adamw.cu", "rows:optimizers", "of an allocation of",
            ("if (i < count) {", "if (i <= count) {")),
    mistake("adamw: a count without an atomic", "adamw.cu", "rows:optimizers", RACE,
            ("atomicAdd(changed, (unsigned long long)mine);", "*changed += mine;"), few=True),
    mistake("adamw: pieces of two blocks overlap", "adamw.cu", "rows:optimizers", "another block of the launch",
            ("blockIdx.x * (size_t)THREADS + threadIdx.x", "blockIdx.x * (size_t)(THREADS - 1) + threadIdx.x")),
    mistake("adamw: the host reads device memory", "adamw.cu", "rows:optimizers", "the host reads device memory",
            ("return launch(adamw_kernel", "if (changed[0] == 77) return cudaErrorInvalidValue; return launch(adamw_kernel"),
            few=True),
    mistake("adamw: the kernel reads the host's memory", "adamw.cu", "rows:optimizers", "which is not device memory",
            ("return launch(adamw_kernel", "grad = (const float *)calloc(count, 4); return launch(adamw_kernel")),
]
