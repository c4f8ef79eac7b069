"""Two builds beside each other: ./dev bench engine --against BUILD_DIR.

Each pair runs one bench of both builds, the order swapped from pair to pair, and gives the ratio ours / theirs of each figure.
A figure's ratio is the median over the pairs, its interval the 95 % bootstrap interval of that median (4000 resamples). `ratio` is of
tokens per second of wall time (the best of a run's rounds). `cpu_ratio` is of tokens per processor second, which other programs disturb
less; of training it counts the whole process, its start too.
"""
import json
import os
import random
import resource
import statistics
import subprocess
import sys

STEPS = {"1M": 20, "10M": 5, "50M": 3, "125M": 2}  # of training, in each run


def run(build, program, words):
    """JSON lines of one run, and the processor seconds that it took."""
    path = os.path.join(build, "tests", program)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([path, *map(str, words)], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit("%s: %s" % (path, done.stderr.strip()))
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return [json.loads(line) for line in done.stdout.splitlines()], cpu


def decode_figures(build, size, threads):
    lines, _ = run(build, "bench_decode", [threads, size])
    return {("decode", "slots %d, temperature %g, kv %s" % (r["slots"], r["temperature"], r["kv"])):
            (r["tokens_per_s"], r["tokens_per_cpu_s"]) for r in lines}


def train_figures(build, size, threads):
    lines, cpu = run(build, "bench_train", [threads, STEPS[size], size])
    return {("train", "%d tokens" % r["tokens"]): (r["tokens_per_s"], 1 / cpu) for r in lines}


def interval(ratios):
    lots = random.Random(1)
    medians = sorted(statistics.median(lots.choices(ratios, k=len(ratios))) for _ in range(4000))
    return [round(medians[100], 4), round(medians[3899], 4)]


def summary(ratios):
    return round(statistics.median(ratios), 4), interval(ratios)


def compare(ours, theirs, sizes, threads, pairs, only, say):
    figures = [f for name, f in (("decode", decode_figures), ("train", train_figures)) if only in (None, name)]
    for size in sizes:
        for measure in figures:
            ratios = {}
            for pair in range(pairs):
                got = {}
                for build in (ours, theirs) if pair % 2 else (theirs, ours):
                    got[build] = measure(build, size, threads)
                for key, mine in got[ours].items():
                    if key in got[theirs]:
                        ratios.setdefault(key, []).append([a / b for a, b in zip(mine, got[theirs][key])])
            for (bench, what), rows in ratios.items():
                (wall, wall_interval), (cpu, cpu_interval) = (summary([r[i] for r in rows]) for i in (0, 1))
                say(bench=bench, model=size, what=what, threads=threads, pairs=len(rows), ratio=wall, interval=wall_interval,
                    cpu_ratio=cpu, cpu_interval=cpu_interval)
