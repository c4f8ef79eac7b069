"""What nvcc made of common/tensor/cuda, held against the rules of exact arithmetic and of speed.

    rules.py ptxas BUILD            the logs of cmake/nvcc_logged: spills, shared memory, serialised wgmma
    rules.py module BUILD           librlhfd_cuda.so: real code for each architecture, no PTX
    rules.py ptx BUILD NVCC         each .cu as PTX: roundings, denormals, atomics, fused products, block sizes
    rules.py sass BUILD TOOLS       machine code, by a cuobjdump of TOOLS (fetch) or of PATH

Status 1: something is against a rule; 77: what is to be looked at is not there. Rules take texts, so self_test.py breaks each."""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
KERNELS = os.path.join(SOURCE, "common/tensor/cuda")
ARCHITECTURES = {"80", "90a", "100"}
HOPPER = {"90a"}
SHARED_MAX = 99 * 1024  # of sm_86 and sm_89; an A100 has more

# Kernels that may spill, by a part of their name: bytes of stores at most, and why.
SPILLS = {
}


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


# ---- ptxas' log

def kernels_of_log(text):
    """Yields (architecture, kernel, registers, spilled bytes, static shared bytes)."""
    name = sm = None
    spilled = 0
    for line in text.splitlines():
        if found := re.search(r"Compiling entry function '(\w+)' for 'sm_(\w+)'", line):
            name, sm = found[1], found[2]
        elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilled = max(int(found[1]), int(found[2]))
        elif name and (found := re.search(r"Used (\d+) registers", line)):
            shared = re.search(r"(\d+) bytes smem", line)
            yield sm, name, int(found[1]), spilled, int(shared[1]) if shared else 0
            name = None


def spill_allowed(kernel, spilled):
    return any(part in kernel and spilled <= bytes_ for part, (bytes_, _) in SPILLS.items())


def faults_of_allowed(kernels):
    for part, (bytes_, _) in SPILLS.items():
        if not any(part in kernel and spilled for _, kernel, _, spilled, _ in kernels):
            yield f"SPILLS allows '{part}' {bytes_} bytes, and no such kernel spills"


def faults_of_log(text):
    for sm, kernel, registers, spilled, shared in kernels_of_log(text):
        if spilled and not spill_allowed(kernel, spilled):
            yield f"{kernel} (sm_{sm}): {spilled} bytes spilled with {registers} registers; SPILLS allows it none, or less"
        if shared > SHARED_MAX:
            yield f"{kernel} (sm_{sm}): {shared} bytes of shared memory, at most {SHARED_MAX}"
    for line in text.splitlines():
        if "C75" in line or "serialized" in line:
            yield "wgmma runs one by one: " + line.strip()


# ---- the module's containers of code: magic, version, header's bytes, size; then entries (kind, header's bytes, payload's)

CONTAINER, PTX, ELF = b"\x50\xed\x55\xba", 1, 2
ARCHITECTURE_SPECIFIC = 1 << 20


def containers(data):
    """Yields for each container what is in it: PTX or ELF, and the architecture."""
    at = data.find(CONTAINER)
    while at >= 0:
        header, size = struct.unpack_from("<HQ", data, at + 6)
        entry, end, inside = at + header, at + header + size, []
        while entry < end:
            kind, _, own, payload = struct.unpack_from("<HHIQ", data, entry)
            sm, flags = struct.unpack_from("<I8xI", data, entry + 28)
            inside.append((kind, str(sm) + ("a" if flags & ARCHITECTURE_SPECIFIC else "")))
            entry += own + payload
        yield inside
        at = data.find(CONTAINER, end)


def faults_of_module(data):
    found = list(containers(data))
    if not found:
        yield "no code for a device in it"
    for number, inside in enumerate(found):
        for kind, sm in inside:
            if kind != ELF:
                yield f"container {number}: PTX for {sm}; a driver would compile it to other bits"
        real = {sm for kind, sm in inside if kind == ELF}
        if real != ARCHITECTURES and real != HOPPER:
            yield f"container {number}: code for {sorted(real)}, expected {sorted(ARCHITECTURES)} or, of Hopper's own, {sorted(HOPPER)}"
    if found and not any({sm for _, sm in inside} == ARCHITECTURES for inside in found):
        yield "no file was compiled for all architectures"


# ---- PTX

LOOSE = re.compile(r"\.(approx|ftz|full)\b")
FLOAT_ATOMIC = re.compile(r"^(atom|red)\b.*\.(f32|f64|f16|f16x2|bf16|bf16x2)$")
ROUNDED = re.compile(r"^(add|sub|mul|fma|mad|div|sqrt|rcp)\.(?!r[nzmp]\.).*(f32|f64)$")
REGISTERS = 65536
THREADS_MAX = 1024


def statement(lines, number):
    """The source's statement at a line: back to the end of the one before, on to its own."""
    first = last = number - 1
    while first > 0 and not lines[first - 1].rstrip().endswith((";", "{", "}", ":")):
        first -= 1
    while last + 1 < len(lines) and not lines[last].rstrip().endswith((";", "{", "}")):
        last += 1
    return " ".join(lines[first:last + 1])


def faults_of_ptx(text, read):
    """read(path) -> lines of a source. A fused product comes from a source's own call of fma; -fmad=false makes no others."""
    files = {number: path for number, path in re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]+)"', text, re.M)}
    place, where = None, "?"
    for line in text.splitlines():
        if found := re.match(r"\s*\.loc\s+(\d+)\s+(\d+)(?:.*inlined_at (\d+) (\d+))?", line):
            place = (files.get(found[1]), int(found[2]))
            caller = (files.get(found[3]), found[4]) if found[3] else place
            where = f"{os.path.basename(caller[0] or '?')}:{caller[1]}"
            continue
        found = re.match(r"\s+(?:@!?%p\d+\s+)?([a-z][\w.:]*)\s", line)
        if not found:
            continue
        code = found[1]
        if LOOSE.search(code):
            yield f"{where}: {code}"
        if FLOAT_ATOMIC.match(code):
            yield f"{where}: {code} adds in the order of arrival"
        if ROUNDED.match(code):
            yield f"{where}: {code} says no rounding, so ptxas may fuse it"
        if code.startswith(("fma.", "mad.")) and code.endswith(("f32", "f64")) and place and place[0] and place[1]:
            if "fma" not in statement(read(place[0]), place[1]):
                yield f"{where}: {code} where the source has no fma"


def faults_of_block_sizes(text, registers):
    """registers: kernel -> registers. One whose block may not fit by default says its size: __launch_bounds__."""
    for name, header in re.findall(r"\.entry (\w+)\(.*?\)(.*?)\{", text, re.S):
        if registers.get(name, 0) * THREADS_MAX > REGISTERS and ".maxntid" not in header:
            yield f"{name}: {registers[name]} registers and no __launch_bounds__"


# ---- machine code

# Division, square roots and remainders of integers begin with these.
APPROXIMATIONS = {"MUFU.RCP", "MUFU.RCP64H", "MUFU.RSQ", "MUFU.RSQ64H"}


def faults_of_sass(lines):
    kernel = "?"
    for line in lines:
        if "Function :" in line:
            kernel = line.split(":", 1)[1].strip()
            continue
        found = re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", line)
        if not found:
            continue
        code = found[1]
        if code.startswith("MUFU") and code not in APPROXIMATIONS:
            yield f"{kernel}: {code}"
        if re.match(r"(ATOM|RED)[GS]?\..*(F32|F64|F16|BF16)", code):
            yield f"{kernel}: {code} adds in the order of arrival"
        if code.startswith("FFMA.FTZ"):
            yield f"{kernel}: {code}"


# ---- the commands

def module_of(build):
    path = os.path.join(build, "bin/librlhfd_cuda.so")
    return path if os.path.exists(path) else skip(f"this build has no {path}")


def logs_of(build):
    module_of(build)
    directory, end = os.path.join(build, "CMakeFiles"), ".cu.o.ptxas"
    paths = [os.path.join(top, name) for top, _, names in os.walk(directory) for name in names if name.endswith(end)]
    # A build directory keeps objects of sources that are gone.
    return [(name, open(path).read()) for path, name in ((path, os.path.basename(path)) for path in sorted(paths))
            if os.path.exists(os.path.join(KERNELS, name[:-len(".o.ptxas")]))]


def check_ptxas(build):
    logs, faults = logs_of(build), []
    kernels = [one for _, text in logs for one in kernels_of_log(text)]
    if not kernels:
        faults.append("no kernel in the logs beside the objects; was the module built through cmake/nvcc_logged?")
    faults += faults_of_allowed(kernels)
    for name, text in logs:
        faults += [f"{name}: {fault}" for fault in faults_of_log(text)]
    for sm, kernel, registers, spilled, shared in sorted(kernels, key=lambda one: -one[2])[:12]:
        print(f"sm_{sm}: {registers} registers, {spilled} bytes spilled, {shared} bytes of shared memory: {kernel}")
    print(len(kernels), "kernels by architecture;", sum(1 for one in kernels if one[3]), "spill")
    return faults


def check_module(build):
    data = open(module_of(build), "rb").read()
    print(len(list(containers(data))), "containers of code,", len(data), "bytes")
    return list(faults_of_module(data))


def ptx_of(nvcc, source, to, include=os.path.join(SOURCE, "common"), options=("-fmad=false",)):
    sm = "90a" if source.endswith("_hopper.cu") else "80"
    return subprocess.Popen([nvcc, "-ptx", "-lineinfo", "-std=c++17", *options, f"-arch=compute_{sm}", "-I", include, "-o", to, source])


def source_reader():
    kept = {}

    def read(path):
        if path not in kept:
            kept[path] = open(path).read().splitlines()
        return kept[path]
    return read


def check_ptx(build, nvcc):
    registers, faults = {}, []
    for _, text in logs_of(build):
        for _, kernel, count, _, _ in kernels_of_log(text):
            registers[kernel] = max(count, registers.get(kernel, 0))
    sources = sorted(name for name in os.listdir(KERNELS) if name.endswith(".cu"))
    read = source_reader()
    with tempfile.TemporaryDirectory() as directory:
        for first in range(0, len(sources), 2):  # two compilers at a time
            pair = sources[first:first + 2]
            running = [ptx_of(nvcc, os.path.join(KERNELS, name), os.path.join(directory, name)) for name in pair]
            if any([one.wait() for one in running]):
                return [f"{nvcc} failed"]
        for name in sources:
            text = open(os.path.join(directory, name)).read()
            found = list(faults_of_ptx(text, read)) + list(faults_of_block_sizes(text, registers))
            faults += [f"{name}: {fault}" for fault in found]
            print(f"{name}: {len(text)} bytes of PTX, {text.count('.entry ')} kernels")
    return faults


def cuobjdump_of(tools):
    for path in (os.path.join(tools, "cuobjdump"), shutil.which("cuobjdump")):
        if path and os.access(path, os.X_OK):
            return path
    return skip(f"no cuobjdump on PATH or in {tools} (tests/cuda/lint/fetch {tools})")


def check_sass(build, tools):
    module, program = module_of(build), cuobjdump_of(tools)
    environment = dict(os.environ, PATH=tools + ":" + os.environ["PATH"])  # it runs nvdisasm
    run = subprocess.Popen([program, "--dump-sass", module], stdout=subprocess.PIPE, text=True, env=environment)
    seen = [0]

    def counted():
        for line in run.stdout:
            seen[0] += 1
            yield line
    faults = sorted(set(faults_of_sass(counted())))
    if run.wait() or seen[0] < 1000:
        faults.append(f"{program} failed, or said little: {seen[0]} lines")
    print(seen[0], "lines of machine code")
    return faults


def main(command, *arguments):
    faults = {"ptxas": check_ptxas, "module": check_module, "ptx": check_ptx, "sass": check_sass}[command](*arguments)
    for fault in faults:
        print("FAULT", fault)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
