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

    # ---- rows of logits
    mistake("logp: a part reads behind the row", "row_part.h", "rows:logps", "of an allocation of",
            ("V, wide, MINUS_INFINITY)", "V + 1, wide, MINUS_INFINITY)")),
    mistake("draw: bins are read while they fill", "draw_cut.h", "draw:ties", RACE,
            ("amount(weight, 0)); } } __syncthreads();", "amount(weight, 0)); } }")),
    mistake("draw: sums without an atomic", "draw_row.h", "draw:ties", RACE,
            ("old = atomicAdd(half, low)", "old = *half; *half = old + low")),
    mistake("draw: a search's result before it is there", "draw_sum.h", "draw:ties", RACE + "|" + NEVER_WRITTEN,
            ("state.amount = each[e]; } left -= each[e]; } } __syncthreads();", "state.amount = each[e]; } left -= each[e]; } }")),
    mistake("draw: ties to the last of them", "draw_cut.h", "draw:ties", "differ",
            ("ret.last = state.at;", "ret.last = NOWHERE;")),
    mistake("draw: marks of the part before", "draw_row.h", "draw:every_rule", "V ",
            ("row.mark[(size_t)part * MARK_WORDS + at / 32]", "row.mark[at / 32]")),

    # ---- attention
    mistake("attention: keys behind the last are read", "attention_tile.h", "attention:common", NEVER_WRITTEN,
            ("r < rows ? from + r * D + c * 8 : from, r < rows)", "from + r * D + c * 8, true)"), few=True),
    mistake("attention: a step's own key is forgotten", "attention_split.cu", "attention:common", NEVER_WRITTEN,
            ("if (fresh >= 0)", "if (fresh > 999)")),
    mistake("attention: maxima before the others' are there", "attention_split.cu", "attention:common", RACE + "|" + NEVER_WRITTEN,
            ("= m; } __syncthreads();", "= m; }")),
    mistake("attention: a page before its copy has come", "attention_split.cu", "attention:common", "asynchronous copy",
            ("copy_wait<buffers<D> - 2>();", "")),
    mistake("attention: a page over one in use", "attention_walk.cu", "attention:common", "asynchronous copy|" + RACE,
            ("copy_wait<buffers<D> - 2>(); __syncthreads(); load(i + buffers<D>);", "copy_wait<buffers<D> - 2>(); load(i + buffers<D>);")),
    mistake("attention: two blocks write a step's key", "attention_split.cu", "attention:groups", "another block of the launch",
            ("item.tile == 0", "true")),
    mistake("attention: chunks from the first page on", "attention_walk.cu", "attention:windows", "values differ",
            ("(p + 1) % (KV_CHUNK / PAGE_KEYS) == 0", "(p + 1 - begin) % (KV_CHUNK / PAGE_KEYS) == 0")),
]
