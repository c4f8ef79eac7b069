"""Each rule of rules.py, broken once in code that nvcc compiles: self_test.py NVCC TOOLS. Status 77: no nvcc."""
import os
import subprocess
import sys
import tempfile

import rules

# Line by line: what a fault says of it, or None.
PLANTED = [
    ("#include <cuda_runtime.h>", None),
    ("__global__ void a(float *x) { x[0] = __expf(x[0]); }", "ex2.approx.f32"),
    ("__global__ void b(float *x) { atomicAdd(x, x[1]); }", "adds in the order of arrival"),
    ("__global__ void c(float *x) { x[0] = x[1] * x[2] + x[3]; }", "no fma"),
    ("__global__ void d(float *x) { x[0] = __fdividef(x[1], x[2]); }", "div.approx.f32"),
    ("__global__ void e(float *x) { x[0] = __fmaf_rn(x[1], x[2],", None),
    ("    x[3]); }", None),
    ("__global__ void f(float *x) { x[0] = x[1] / x[2]; x[3] = sqrtf(x[4]); x[5] = (float)((int)x[6] / (int)x[7]); }", None),
    ("__global__ void g(double *x) { atomicAdd(x, x[1]); }", "adds in the order of arrival"),
]
SPILLING = """
__global__ void __launch_bounds__(1024) spilling(float *x)
{
    float keep[160];
#pragma unroll
    for (int i = 0; i < 160; i++)
        keep[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 160; i++)
        x[(159 - i) * 1024 + threadIdx.x] = keep[i] * keep[(i + 1) % 160];
}
"""
LOG_OF_SERIAL = "ptxas info    : (C7518) Potential Performance Loss: wgmma.mma_async instructions are serialized due to ..."

failures = 0


def expect(truth, what):
    global failures
    if not truth:
        print("FAILED:", what)
        failures += 1


def compiled(nvcc, directory, name, text, *options):
    source, to = os.path.join(directory, name + ".cu"), os.path.join(directory, name + ".o")
    with open(source, "w") as file:
        file.write(text)
    run = subprocess.run([nvcc, "-c", "-std=c++17", "-Xptxas=-v", *options, "-o", to, source], capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return to, run.stderr


def test_ptx(nvcc, directory):
    # Without -fmad=false: what a forgotten option does.
    source, to = os.path.join(directory, "planted.cu"), os.path.join(directory, "planted.ptx")
    with open(source, "w") as file:
        file.write("\n".join(line for line, _ in PLANTED) + "\n")
    expect(rules.ptx_of(nvcc, source, to, directory, ()).wait() == 0, "nvcc -ptx")
    text = open(to).read()
    faults = list(rules.faults_of_ptx(text, rules.source_reader()))
    for number, (line, fault) in enumerate(PLANTED, 1):
        here = [one for one in faults if f"planted.cu:{number}:" in one]
        if fault:
            expect(any(fault in one for one in here), f"no fault '{fault}' for: {line}")
        else:
            expect(not here, f"{here} for: {line}")
    expect(list(rules.faults_of_ptx(text.replace(".loc", "//"), rules.source_reader())) != [], "faults without places")
    flushed = os.path.join(directory, "flushed.ptx")
    rules.ptx_of(nvcc, source, flushed, directory, ("-ftz=true",)).wait()
    expect(any(".ftz" in one for one in rules.faults_of_ptx(open(flushed).read(), rules.source_reader())), "-ftz=true is not seen")
    expect(not list(rules.faults_of_block_sizes(text, {"_Z1aPf": 64})), "64 registers fit")
    expect(list(rules.faults_of_block_sizes(text, {"_Z1aPf": 65})), "65 registers without __launch_bounds__")


def test_ptxas(nvcc, directory):
    _, log = compiled(nvcc, directory, "spilling", SPILLING, "-gencode=arch=compute_80,code=sm_80")
    expect(any("spilled" in one for one in rules.faults_of_log(log)), "a spill is not seen in:\n" + log)
    expect(not list(rules.faults_of_log(log.replace(" bytes spill", " bytes no spill"))), "a log without spills")
    expect(list(rules.faults_of_log(LOG_OF_SERIAL)), "wgmma one by one is not seen")
    allowed, rules.SPILLS = rules.SPILLS, {"spilling": (4096, "planted")}
    expect(not list(rules.faults_of_log(log)), "an allowed spill")
    kernels = list(rules.kernels_of_log(log))
    expect(not list(rules.faults_of_allowed(kernels)), "an allowed spill that is needed")
    expect(list(rules.faults_of_allowed([])), "an allowed spill that nothing needs")
    rules.SPILLS = allowed


def test_module(nvcc, directory):
    real = ["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90a,code=sm_90a", "-gencode=arch=compute_100,code=sm_100"]
    small = "__global__ void k(float *x) { x[0] = 1; }"
    for options, fault in ((real, None), (real[1:], "expected"), (real + ["-gencode=arch=compute_100,code=compute_100"], "PTX"),
                           (real[1:2], "no file")):
        to, _ = compiled(nvcc, directory, "small", small, *options)
        faults = list(rules.faults_of_module(open(to, "rb").read()))
        expect(any(fault in one for one in faults) if fault else not faults, f"{options}: {faults}")
    expect(list(rules.faults_of_module(b"no module")), "no code at all")


def test_sass(nvcc, directory, tools):
    program = next((p for p in (os.path.join(tools, "cuobjdump"), rules.shutil.which("cuobjdump")) if p and os.path.exists(p)), None)
    if not program:
        print("no cuobjdump: the rules of machine code are not broken here")
        return
    to, _ = compiled(nvcc, directory, "sass", "\n".join(line for line, _ in PLANTED), "-gencode=arch=compute_80,code=sm_80")
    run = subprocess.run([program, "--dump-sass", to], capture_output=True, text=True,
                         env=dict(os.environ, PATH=tools + ":" + os.environ["PATH"]))
    faults = list(rules.faults_of_sass(run.stdout.splitlines()))
    expect(any("MUFU.EX2" in one and "_Z1aPf" in one for one in faults), f"MUFU.EX2 is not seen: {faults}")
    expect(any("_Z1bPf" in one and "arrival" in one for one in faults), "an atomic sum of floats is not seen")
    expect(not any("_Z1fPf" in one for one in faults), f"division and root: {faults}")


def main(nvcc, tools):
    if not nvcc:
        print("skipped: this build has no nvcc")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        test_ptx(nvcc, directory)
        test_ptxas(nvcc, directory)
        test_module(nvcc, directory)
        test_sass(nvcc, directory, tools)
    return failures != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
