#!/usr/bin/env python3
# needs: torch==2.15.0 numpy==2.4.6 peft==0.21.2
# run: python tests/golden/merge.py > tests/golden/merge.json
"""Writes merge.json: tensors of models, and what NumPy makes of them by linear, task_arithmetic and ties.

Sums are in float64 and rounded once; task vectors are float32 differences. The formulas are mergekit's (linear,
task_arithmetic and ties, there with float32 sums). With equal weights PEFT's own functions must agree to 1e-6.
"""
import json
import sys

import numpy as np
import torch
from peft.utils.merge_utils import task_arithmetic, ties as peft_ties

F32 = np.float32


def linear(case, base, values):
    weights = np.array(case["weights"])
    total = np.tensordot(weights, values.astype(np.float64), 1)
    return total / (weights.sum() if case["normalize"] else 1)


def deltas(base, values):
    return (values - base).astype(F32).astype(np.float64)


def arithmetic(case, base, values):
    weights = np.array(case["weights"])
    mixed = np.tensordot(weights, deltas(base, values), 1)
    mixed = mixed / (weights.sum() if case["normalize"] else 1)
    return base.astype(np.float64) + case["lambda"] * mixed


def trim(delta, density):
    """The first of equal sizes are kept."""
    keep = np.argsort(-np.abs(delta), kind="stable")[: max(1, int(density * delta.size))]
    mask = np.zeros(delta.size)
    mask[keep] = 1
    return delta * mask


def ties(case, base, values):
    weights = np.array(case["weights"])[:, None]
    kept = np.stack([trim(d, share) for d, share in zip(deltas(base, values), case["density"])])
    weighted = kept * weights
    majority = np.where(weighted.sum(0) >= 0, 1, -1)
    mask = np.sign(weighted) == majority
    mixed = (weighted * mask).sum(0)
    if case["normalize"]:
        divisor = (weights * mask).sum(0)
        mixed = mixed / np.where(divisor == 0, 1, divisor)
    return base.astype(np.float64) + case["lambda"] * mixed


METHODS = {"linear": linear, "task_arithmetic": arithmetic, "ties": ties}


def agree_with_peft(case, base, values, merged):
    if len(set(case["weights"])) != 1:
        return 0
    tasks = [torch.tensor(d) for d in deltas(base, values)]
    ones = torch.ones(len(tasks), dtype=torch.float64)
    if case["method"] == "task_arithmetic" and not case["normalize"]:
        theirs = task_arithmetic(tasks, ones * case["weights"][0])
    elif case["method"] == "ties" and case["normalize"] and len(set(case["density"])) == 1:
        theirs = peft_ties(tasks, ones, case["density"][0], "total")
    else:
        return 0
    whole = base + case["lambda"] * theirs.numpy()
    assert np.abs(whole - merged).max() < 1e-6, (case["method"], np.abs(whole - merged).max())
    return 1


def case_of(rng, method, count, n, **more):
    base = rng.normal(size=n).astype(F32)
    values = (base + 0.1 * rng.normal(size=(count, n)) * rng.integers(0, 2, size=(count, n))).astype(F32)
    if more.pop("coarse", False):  # many sizes that are equal, and zeros
        values = (base + F32(0.125) * rng.integers(-3, 4, size=(count, n)).astype(F32)).astype(F32)
    case = {"method": method, "weights": [1.0] * count, "density": [1.0] * count, "lambda": 1.0,
            "normalize": method != "task_arithmetic"} | more
    merged = METHODS[method](case, base, values)
    agreed = agree_with_peft(case, base, values, merged)
    case |= {"base": base.tolist(), "values": values.tolist(), "merged": merged.astype(F32).tolist()}
    return case, agreed


def main():
    rng = np.random.default_rng(20240605)
    plan = [
        ("linear", 3, 17, {}),
        ("linear", 2, 33, {"weights": [0.7, 0.3]}),
        ("linear", 3, 9, {"weights": [0.5, 2.0, -1.25], "normalize": False}),
        ("task_arithmetic", 2, 31, {"lambda": 0.4}),
        ("task_arithmetic", 3, 13, {"weights": [1.0, -0.5, 0.25], "lambda": 1.5}),
        ("task_arithmetic", 3, 13, {"weights": [1.0, 3.0, 0.25], "normalize": True}),
        ("ties", 3, 200, {"density": [0.2] * 3}),
        ("ties", 4, 211, {"density": [0.37] * 4, "lambda": 0.8}),
        ("ties", 3, 97, {"density": [0.5, 0.1, 1.0], "weights": [1.0, 0.5, 0.25]}),
        ("ties", 3, 64, {"density": [0.3] * 3, "normalize": False}),
        ("ties", 3, 160, {"density": [0.4, 0.55, 0.6], "coarse": True}),
        ("ties", 2, 3, {"density": [0.1, 0.2]}),
        ("ties", 1, 50, {"density": [0.5]}),
    ]
    cases = [case_of(rng, method, count, n, **more) for method, count, n, more in plan]
    print(json.dumps([case for case, _ in cases]).replace("{", "\n{"))
    print(f"{sum(agreed for _, agreed in cases)} of {len(cases)} cases agree with PEFT's functions", file=sys.stderr)


if __name__ == "__main__":
    main()
