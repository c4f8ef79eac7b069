"""Mistakes: what, in which file of common/tensor/cuda, which test runs it (tests/cuda/NAME_test.cpp, :PATTERN of its functions; or
NAME_test.c, which opens the module), the edits, and what the checked build has to say. The rows with `few` stand for a kind, and are
tried in every run of the tests.

Texts are those of the source without comments; any white space matches any other."""

RACE = "race: "
NEVER_WRITTEN = "that nobody wrote"
UNDER_WAY = "asynchronous copy .* is under way"
BITS = "values differ"
ANY = ""


def mistake(what, file, test, says, *edits, few=False):
    return {"what": what, "file": file, "test": test, "says": says, "edits": edits, "few": few}


MISTAKES = [
    # ---- products by mma.sync
    mistake("gemm: no barrier behind the wait for copies", "gemm.cu", "gemm:chains", RACE + "|" + UNDER_WAY,
            ("copy_wait<T::STAGES - 2>(); __syncthreads();", "copy_wait<T::STAGES - 2>();")),
    mistake("gemm: no wait for copies", "gemm.cu", "gemm:chains", UNDER_WAY,
            ("copy_wait<T::STAGES - 2>(); __syncthreads();", "__syncthreads();"), few=True),
    mistake("gemm: waits for one group too few", "gemm.cu", "gemm:chains", UNDER_WAY,
            ("copy_wait<T::STAGES - 2>(); __syncthreads();", "copy_wait<T::STAGES - 1>(); __syncthreads();")),
    mistake("gemm: loads over the stage in use", "gemm.cu", "gemm:chains", RACE + "|" + UNDER_WAY,
            ("load<T>(a, w, shared + next * T::STAGE,", "load<T>(a, w, shared + stage * T::STAGE,")),
    mistake("gemm: rows of x behind the last are read", "gemm.cu", "gemm:chains", "cp.async reads|reads .* bytes at|" + RACE,
            ("i < columns * 8 ? from + i * 16 : a.x, i < columns * 8);", "from + i * 16, true);")),
    mistake("gemm: the chunk of K follows M", "gemm.cu", "gemm:chains", BITS,
            ("if ((step + 1) % CHUNK && step + 1 < w.steps)",
             "if ((step + 1) % (a.M < 64 ? CHUNK : CHUNK / 2) && step + 1 < w.steps)")),
    mistake("gemm: a part is not computed", "gemm.cu", "gemm:chains", BITS,
            ("(a.row_blocks * a.token_blocks * a.parts)", "(a.row_blocks * a.token_blocks * a.parts - (a.parts > 1))")),
    mistake("gemm: the last block does not wait for the others' stores", "gemm.cu", "gemm:chains", "another block of the launch",
            ("last = last_block(&a.counter[w.place], a.parts);",
             "last = atomicAdd(&a.counter[w.place], 1u) == (unsigned)a.parts - 1;")),
    mistake("gemm: counts its part before all have stored it", "gemm.cu", "gemm:chains", "another block of the launch",
            ("__syncthreads(); if (threadIdx.x == 0) last =", "if (threadIdx.x == 0) last =")),
    mistake("gemm: stores rows behind the last", "gemm_tile.h", "gemm:chains", "of an allocation of|" + RACE,
            ("if (t < a.M && out + i * 8 < w.N)", "if (out + i * 8 < w.N)")),

    # ---- products by wgmma
    mistake("hopper: full stages are not waited for", "gemm_hopper.cu", "hopper:chains", ANY,
            ("barrier_wait(&full[at.stage], at.round);", "")),
    mistake("hopper: empty stages are not waited for", "gemm_hopper.cu", "hopper:chains", ANY,
            ("if (step >= T::STAGES) barrier_wait(&empty[at.stage], at.round ^ 1);", "")),
    mistake("hopper: a stage is free before its products are done", "gemm_hopper.cu", "hopper:chains", ANY,
            ("wgmma_wait<1>();", "")),
    mistake("hopper: sums are read before they are waited for", "gemm_hopper.cu", "hopper:chains", ANY,
            ("wgmma_wait<0>();", "")),
    mistake("hopper: no wgmma.fence", "gemm_hopper.cu", "hopper:chains", "without a wgmma.fence", ("wgmma_fence();", "")),
    mistake("hopper: wrong parity", "gemm_hopper.cu", "hopper:chains", ANY,
            ("barrier_wait(&full[at.stage], at.round);", "barrier_wait(&full[at.stage], at.round ^ 1);")),
    mistake("hopper: expects too few bytes", "gemm_hopper.cu", "hopper:chains", ANY,
            ("barrier_expect(&full[at.stage], bytes);", "barrier_expect(&full[at.stage], bytes - 128);")),
    mistake("hopper: barriers are not made known", "gemm_hopper.cu", "hopper:chains", ANY,
            ("clear<T>(a, w, shared); __syncthreads();", "clear<T>(a, w, shared);")),
    mistake("hopper: zeros without a proxy fence", "gemm_hopper.cu", "hopper:chains", "without fence.proxy.async",
            ("proxy_fence();", "")),
    mistake("hopper: rows that no copy writes are not cleared", "gemm_hopper.cu", "hopper:chains", NEVER_WRITTEN,
            ("if (group < T::TILES) clear<T>(a, w, shared);", "")),
    mistake("hopper: tiles of x are not swizzled", "gemm_pack.cu", "hopper:chains", BITS, ("((c ^ m) & 7) * 16", "(c & 7) * 16")),

    # ---- rows
    mistake("reduction: no barrier", "device.h", "rows:norms", RACE + "|" + NEVER_WRITTEN,
            ("scratch[threadIdx.x / 32] = x; __syncthreads(); float sum", "scratch[threadIdx.x / 32] = x; float sum")),
    mistake("reduction: scratch used again without a barrier", "row_part.h", "rows:logps", RACE,
            ("(ret.moment, scratch[2])", "(ret.moment, scratch[1])")),
    mistake("reduction: scratch one float too short", "norm.cu", "rows:norms", "of shared memory",
            ("SHARED(float[WARPS], sums);", "SHARED(float[WARPS - 1], sums);")),
    mistake("reduction: a barrier that some threads skip", "norm.cu", "rows:norms", "is stuck|a barrier was left",
            ("const float r = inverse_root(row_sum<T>(sum, sums), a.C, a.eps);",
             "if (T > 32 && threadIdx.x >= 96) return; const float r = inverse_root(row_sum<T>(sum, sums), a.C, a.eps);")),
    mistake("reduction: a sum by float atomics", "norm.cu", "rows:norms", ANY,
            ("return block_sum<T>(x, scratch);",
             "{ if (threadIdx.x == 0) scratch[0] = 0.0f; __syncthreads(); atomicAdd(scratch, x); __syncthreads();"
             " return scratch[0]; }")),
    mistake("norm: misaligned vectors", "norm.cu", "rows:norms", "not a multiple|misaligned",
            ("a.wide = fours_in(a.x, a.C) && fours_in(a.y, a.C);", "a.wide = true;")),
    mistake("rows: a vector over the row's end", "fours.h", "rows", ANY,
            ("if (wide && i + 4 <= count) { *(float4 *)(p + i) = v;", "if (i < count) { *(float4 *)(p + i) = v;")),
    mistake("logp: a local array overrun", "row_part.h", "rows:logps", "runtime error|out of bounds",
            ("e < PART_EACH; e++) ret.max", "e < PART_EACH + 1; e++) ret.max")),
    mistake("draw: reads a part before it is chosen", "token_draw.cu", "draw", RACE + "|" + NEVER_WRITTEN,
            ("__syncthreads(); const int part = state.at;", "const int part = state.at;")),
    mistake("draw: a scan without its barrier", "draw_row.h", "draw", RACE + "|" + NEVER_WRITTEN,
            ("if (lane == 31) warp[w] = x; __syncthreads();", "if (lane == 31) warp[w] = x;")),
    mistake("digest: lanes leave before a warp operation", "digest.cu", "rows_op", "have ended",
            ("for (int with = 16; with; with /= 2)", "if (mine >= count) return; for (int with = 16; with; with /= 2)")),
    mistake("digest: two blocks write to one place", "digest.cu", "rows_op", "another block of the launch|" + BITS,
            ("part[2 * blockIdx.x] = sum.high;", "part[blockIdx.x] = sum.high;")),

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
    mistake("attention: walks without a barrier behind the keys' wait", "attention_walk.cu", "attention:common",
            RACE + "|" + UNDER_WAY,
            ("copy_wait<buffers<D> - 2>(); __syncthreads(); load(i + buffers<D> - 1);",
             "copy_wait<buffers<D> - 2>(); load(i + buffers<D> - 1);")),
    mistake("attention: splits wait for one group too few", "attention_split.cu", "attention:common", UNDER_WAY,
            ("copy_wait<buffers<D> - 2>();", "copy_wait<buffers<D> - 1>();")),
    mistake("attention: the last chunk is not folded", "attention_split.cu", "attention:common", BITS,
            ("min(item.chunks - begin, D)", "min(item.chunks - begin - 1, D)")),
    mistake("attention: keys behind the last are read", "attention_tile.h", "attention:common", NEVER_WRITTEN,
            ("r < rows ? from + r * D + c * 8 : from, r < rows)", "from + r * D + c * 8, true)")),
    mistake("attention: a step's own key is forgotten", "attention_split.cu", "attention:common", NEVER_WRITTEN,
            ("if (fresh >= 0)", "if (fresh > 999)")),
    mistake("attention: maxima before the others' are there", "attention_split.cu", "attention:common", RACE + "|" + NEVER_WRITTEN,
            ("= m; } __syncthreads();", "= m; }")),
    mistake("attention: a page before its copy has come", "attention_split.cu", "attention:common", "asynchronous copy",
            ("copy_wait<buffers<D> - 2>();", ""), few=True),
    mistake("attention: a page over one in use", "attention_walk.cu", "attention:common", "asynchronous copy|" + RACE,
            ("copy_wait<buffers<D> - 2>(); __syncthreads(); load(i + buffers<D>);", "copy_wait<buffers<D> - 2>(); load(i + buffers<D>);")),
    mistake("attention: two blocks write a step's key", "attention_split.cu", "attention:groups", "another block of the launch",
            ("sh.work.tile == 0);", "true);")),
    mistake("attention: chunks from the first page on", "attention_walk.cu", "attention:windows", "values differ",
            ("(p + 1) % (KV_CHUNK / PAGE_KEYS) == 0", "(p + 1 - begin) % (KV_CHUNK / PAGE_KEYS) == 0")),

    # ---- the module's glue
    mistake("get: does not wait for what the owner began", "reader.c", "module", ANY,
            ("TRY_CUDA(cudaStreamWaitEvent(cuda->reader.stream, cuda->reader.written, 0));", ""), few=True),
    mistake("get: copies out before the bytes have come", "reader.c", "module", ANY,
            ("TRY_CUDA(cudaEventSynchronize(r->copied[done / HALF % 2]));", "")),
    mistake("staging: writes over what is still to be copied", "staging.c", "module", ANY,
            ("TRY_CUDA(cudaEventSynchronize(s->done[s->at]));", "")),
]
